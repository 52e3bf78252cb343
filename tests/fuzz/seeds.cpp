// Writes the first inputs of the fuzzers that read neither packets nor text: seeds FOLDER makes
// FOLDER/frame_fuzz and FOLDER/redis_reply_fuzz.
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "control/store/keys.h"
#include "control/store/objects.h"
#include "control/store/reply.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seed_folder.h"
#include "tests/unit/server/fake_host.h"

namespace sluice::fuzz {
namespace {

v1::Request hello() {
  v1::Request request;
  request.mutable_hello()->set_major(kProtocolMajor);
  request.mutable_hello()->set_client("seed");
  return request;
}

std::vector<v1::Request> apply(std::uint64_t generation, std::uint64_t base,
                               const v1::ApplyPart& part) {
  std::vector<v1::Request> requests(3);
  requests[0].mutable_apply_begin()->set_generation(generation);
  requests[0].mutable_apply_begin()->set_base(base);
  *requests[1].mutable_apply_part() = part;
  requests[2].mutable_apply_commit();
  return requests;
}

std::vector<v1::Request> look_ups() {
  std::vector<v1::Request> requests(6);
  requests[0].mutable_report()->set_full(true);
  requests[1].mutable_statistics();
  requests[2].mutable_flows();
  requests[3].mutable_ports();
  v1::TraceRequest& trace = *requests[4].mutable_trace();
  trace.set_source(IpAddress::parse("198.51.100.7")->bytes());
  trace.set_destination(IpAddress::parse("192.0.2.1")->bytes());
  trace.set_protocol(v1::PROTOCOL_TCP);
  trace.set_source_port(40000);
  trace.set_destination_port(80);
  requests[5].mutable_apply_abort();
  return requests;
}

void write_frames(const Folder& folder) {
  std::vector<v1::Request> session = {hello()};
  const auto append = [&session](const std::vector<v1::Request>& more) {
    session.insert(session.end(), more.begin(), more.end());
  };
  append(apply(1, 0, web()));
  append(look_ups());
  v1::ApplyPart change;
  *change.add_delete_vips() = key_message("2001:db8::1", 80);
  change.add_delete_backends(3);
  *change.add_upsert_backends() = backend_message(4, "10.0.0.4");
  *change.add_upsert_vips() = vip_message("192.0.2.1", 80, 1, {1, 4});
  append(apply(2, 1, change));
  append(look_ups());
  std::string framed("\x04"), counted("\x01");
  for (const v1::Request& request : session) {
    const std::string bytes = request.SerializeAsString();
    FUZZ_CHECK(append_frame(framed, bytes).ok());
    put_counted(counted, bytes);
  }
  folder.write("session-framed", framed);
  folder.write("session-counted", counted);
  folder.write("oversized", std::string("\x02\x7f\xff\xff\xff", 5));
}

// Commands and arrays of bulk strings are written alike.
std::string array(const std::vector<std::string>& elements) {
  std::string bytes;
  store::append_command(elements, &bytes);
  return bytes;
}

v1::Object service() {
  v1::Object object;
  store::stamp(object.mutable_header(), "seed 1");
  v1::Service& web = *object.mutable_service();
  web.mutable_metadata()->set_namespace_("default");
  web.mutable_metadata()->set_name("web");
  web.mutable_metadata()->set_uid("1");
  (*web.mutable_metadata()->mutable_labels())["app"] = "web";
  web.mutable_spec()->add_ports()->set_port(80);
  return object;
}

void write_replies(const Folder& folder) {
  const std::string start(1, '\x3f');
  v1::SourceMarker marker;
  store::stamp(marker.mutable_header(), "seed 1");
  marker.set_source("manual");
  marker.add_complete(v1::KIND_SERVICE);
  folder.write("source-hash",
               start + array({"incarnation", "0123", "sequence", "7", "entry", "5-0", "token", "1",
                              "count:Service", "1", "marker", store::encode(marker)}));
  const v1::Object object = service();
  const ObjectKey key = key_of("manual", object);
  folder.write("object", start + array({store::keys::object(key), store::encode(object)}));
  const std::string fields =
      array({"source", "manual", "kind", "Service", "key", store::keys::object_name(key), "op",
             "put", "uid", "1", "sequence", "8", "incarnation", "0123"});
  const std::string entries = "*1\r\n*2\r\n$3\r\n6-0\r\n" + fields;
  folder.write("xrange", start + entries);
  folder.write("xread", start + "*1\r\n*2\r\n$15\r\nsluice:1:stream\r\n" + entries);
  folder.write("every-type", start +
                                 "+OK\r\n:42\r\n$5\r\na\r\nb\n\r\n$-1\r\n-NOPERM no\r\n-OOM x\r\n"
                                 "*3\r\n:1\r\n*2\r\n$1\r\nx\r\n*-1\r\n$0\r\n\r\n");
  folder.write("endpoints", start + array({"unix:/run/redis.sock", "[::1]:6379", "redis:6379"}));
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) {
  using namespace sluice;
  if (argc != 2) {
    std::cerr << "usage: seeds FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  fuzz::write_frames(fuzz::Folder(folder / "frame_fuzz"));
  fuzz::write_replies(fuzz::Folder(folder / "redis_reply_fuzz"));
}
