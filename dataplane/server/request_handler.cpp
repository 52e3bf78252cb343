#include "dataplane/server/request_handler.h"

#include <spdlog/spdlog.h>

#include <random>
#include <string_view>
#include <utility>

#include "dataplane/server/inspect.h"
#include "dataplane/server/report.h"

namespace sluice {
namespace {

std::string random_bytes(std::size_t count) {
  std::random_device random;  // getrandom() or RDRAND in this C++ library.
  std::string bytes;
  while (bytes.size() < count) bytes.push_back(static_cast<char>(random()));
  return bytes;
}

// A name of the client's own choosing, as it may stand in the log.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 64));
  for (char& c : out) {
    if (c < ' ' || c > '~' || c == '"') c = '?';
  }
  return out;
}

}  // namespace

RequestHandler::RequestHandler(Host& host, Generations& generations, const FlowTimers& defaults,
                               std::string version)
    : host_(host),
      generations_(generations),
      defaults_(defaults),
      transaction_(generations, defaults),
      version_(std::move(version)),
      boot_(random_bytes(16)) {}

ReplyStream RequestHandler::handle(Session& session, const v1::Request& request) {
  if (request.request_case() == v1::Request::kHello) return hello(session, request.hello());
  if (!session.greeted)
    return refusal("say hello first, with protocol major " + std::to_string(kProtocolMajor));
  const ForwardingState& state = *generations_.serving();
  switch (request.request_case()) {
    case v1::Request::kApplyBegin:
    case v1::Request::kApplyPart:
    case v1::Request::kApplyCommit:
    case v1::Request::kApplyAbort:
      return apply(session, request);
    case v1::Request::kReport:
      return report(generations_, boot_, defaults_, request.report().full());
    case v1::Request::kStatistics:
      return statistics(host_, generations_, request.statistics());
    case v1::Request::kFlows:
      return flows(host_, state, request.flows());
    case v1::Request::kTrace:
      return trace_packet(host_, state, request.trace());
    case v1::Request::kPorts:
      return ports(host_);
    default:
      return refusal("unknown request; this is sluice-dataplane " + version_ +
                     ", is the client newer?");
  }
}

ReplyStream RequestHandler::hello(Session& session, const v1::Hello& request) {
  session.name = printable(request.client());
  session.greeted = request.major() == kProtocolMajor;
  if (!session.greeted) {
    spdlog::warn("client refused client=\"{}\" major={} ours={}", session.name, request.major(),
                 kProtocolMajor);
    return refusal("protocol major " + std::to_string(request.major()) + " is not " +
                   std::to_string(kProtocolMajor) + ", the one of sluice-dataplane " + version_ +
                   "; install the same release on both sides");
  }
  const StateLimits& limits = generations_.limits();
  v1::Reply reply;
  v1::HelloReply& hello = *reply.mutable_hello();
  hello.set_major(kProtocolMajor);
  hello.set_version(version_);
  hello.set_boot(boot_);
  hello.set_generation(generations_.serving()->generation());
  hello.set_workers(static_cast<std::uint32_t>(host_.workers().size()));
  hello.mutable_capacity()->set_vips(limits.vips);
  hello.mutable_capacity()->set_backends(limits.backends);
  hello.mutable_capacity()->set_vip_ids(limits.vip_ids);
  return one_reply(std::move(reply));
}

ReplyStream RequestHandler::apply(const Session& session, const v1::Request& request) {
  const auto step = [&]() -> Result<v1::ApplyReply> {
    switch (request.request_case()) {
      case v1::Request::kApplyBegin:
        return transaction_.begin(session.client, request.apply_begin());
      case v1::Request::kApplyPart:
        return transaction_.part(session.client, request.apply_part());
      case v1::Request::kApplyCommit:
        return transaction_.commit(session.client);
      default:
        return transaction_.abort(session.client);
    }
  };
  Result<v1::ApplyReply> answer = step();
  if (!answer) return refusal(answer.error());
  v1::Reply reply;
  *reply.mutable_apply() = std::move(*answer);
  return one_reply(std::move(reply));
}

}  // namespace sluice
