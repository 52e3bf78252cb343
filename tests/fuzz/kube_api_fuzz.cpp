// Fuzzes what comes from a Kubernetes API server: lists, watches, single objects, Statuses, Leases,
// alone or as the body of an HTTP answer. Input: one byte, what it is (2 bits), which kind (2 bits)
// and whether HTTP is around it; one byte, the size of the pieces the bytes after it arrive in.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/kubernetes/api_json.h"
#include "control/kubernetes/http_message.h"
#include "control/kubernetes/lease_record.h"
#include "control/model/key.h"
#include "proto/address.h"
#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

using kube::Decoded;

constexpr std::size_t kMaxBody = 1u << 16, kMaxEvent = 1u << 15, kMaxProblems = 20;

constexpr std::array kKinds{v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_NODE,
                            v1::KIND_NAMESPACE};

// What the rest of the program relies on in an object it is given.
void check_usable(v1::Kind kind, const v1::Object& object) {
  const ObjectKey key = key_of("cluster-1", object);
  FUZZ_CHECK(key.kind == kind && !key.name.empty());
  FUZZ_CHECK(kind_is_namespaced(kind) != key.ns.empty());
  if (kind != v1::KIND_ENDPOINT_SLICE) return;
  const v1::EndpointSlice& slice = object.endpoint_slice();
  if (slice.address_type() != "IPv4" && slice.address_type() != "IPv6") return;
  for (const v1::Endpoint& endpoint : slice.endpoints()) {
    FUZZ_CHECK(!endpoint.addresses().empty());  // The first is the one that is used.
    const auto address = IpAddress::parse(endpoint.addresses(0));
    FUZZ_CHECK(address && address->is_v6() == (slice.address_type() == "IPv6"));
  }
}

// As text, to compare readings.
std::string check_decoded(v1::Kind kind, const Decoded& decoded) {
  FUZZ_CHECK(decoded.problems.size() <= kMaxProblems);
  const std::string bytes = decoded.object.SerializeAsString();
  v1::Object again;  // Refuses what is not UTF-8.
  FUZZ_CHECK(again.ParseFromString(bytes));
  FUZZ_CHECK(decoded.error.size() < 4096);
  if (decoded.error.empty()) check_usable(kind, decoded.object);
  return again.ShortDebugString() + "|" + decoded.error;
}

struct List {
  std::string items, error;
  kube::ListMetadata metadata;
};

List read_list(v1::Kind kind, Input input, std::size_t piece) {
  List list;
  kube::ListReader reader(kind,
                          [&](const Decoded& d) { list.items += check_decoded(kind, d) + "\n"; });
  while (!input.empty()) {
    // A copy of its exact length, so that a sanitizer sees a read past its end.
    const std::vector<char> bytes = [&] {
      const std::string_view taken = input.take(piece);
      return std::vector<char>(taken.begin(), taken.end());
    }();
    if (const Status fed = reader.feed({bytes.data(), bytes.size()}); !fed) {
      FUZZ_CHECK(!fed.error().empty());
      list.error = fed.error();
      return list;
    }
  }
  if (const Status whole = reader.finish(); !whole) {
    list.error = whole.error();
    return list;
  }
  list.metadata = reader.metadata();
  FUZZ_CHECK(!list.metadata.resource_version.empty());
  return list;
}

// Pieces make no difference.
void check_list(v1::Kind kind, std::string_view text, std::size_t piece) {
  const auto input = [&] {
    return Input(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  const List parts = read_list(kind, input(), piece), whole = read_list(kind, input(), text.size());
  FUZZ_CHECK(parts.error.empty() == whole.error.empty());
  FUZZ_CHECK(!parts.error.empty() || parts.items == whole.items);
  FUZZ_CHECK(parts.metadata.resource_version == whole.metadata.resource_version);
  FUZZ_CHECK(parts.metadata.continue_token == whole.metadata.continue_token);
}

void check_event(v1::Kind kind, std::string_view line) {
  const Result<kube::WatchEvent> event = kube::decode_event(kind, line);
  if (!event) {
    FUZZ_CHECK(!event.error().empty());
    return;
  }
  if (event->type == kube::WatchEvent::Type::kError) return;
  if (event->type != kube::WatchEvent::Type::kBookmark) (void)check_decoded(kind, event->decoded);
}

void check_watch(v1::Kind kind, Input input, std::size_t piece) {
  std::string lines, given;
  kube::JsonLines splitter(kMaxEvent);
  while (!input.empty()) {
    const std::string bytes(input.take(piece));
    lines += bytes;
    if (!splitter.feed(bytes)) return;
    while (const auto line = splitter.next()) {
      given.append(*line).push_back('\n');
      check_event(kind, *line);
    }
  }
  // What was given out is all up to the last newline.
  FUZZ_CHECK(given.size() <= lines.size());
  FUZZ_CHECK(splitter.partial() == (!lines.empty() && lines.back() != '\n'));
}

void check_single(v1::Kind kind, std::string_view text) {
  if (const auto decoded = kube::decode_object(kind, text))
    (void)check_decoded(kind, *decoded);
  else
    FUZZ_CHECK(!decoded.error().empty());
  if (const auto status = kube::decode_status(text); status && status->retry_after_seconds)
    FUZZ_CHECK(*status->retry_after_seconds >= 0);
}

// What is written back is a Lease again, and says what it was to say.
void check_lease(std::string_view text) {
  const Result<kube::LeaseRecord> lease = kube::parse_lease(text);
  if (!lease) return;
  FUZZ_CHECK(lease->transitions <= kube::kMaxTransitions);
  const kube::LeaseWrite write{"me", std::chrono::seconds(15), lease->transitions, true};
  const Result<kube::LeaseRecord> again = kube::parse_lease(kube::lease_update(*lease, write));
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->holder == "me" && again->transitions == lease->transitions);
  FUZZ_CHECK(again->same_as(*lease));
}

// The body; nullopt: not an answer, or one cut short.
std::optional<std::string> check_answer(Input input, std::size_t piece) {
  kube::AnswerReader reader(kMaxBody);
  std::string body;
  const auto take = [&] {
    body += reader.body();
    reader.body().clear();
    FUZZ_CHECK(body.size() <= kMaxBody);
  };
  while (!input.empty() && !reader.done()) {
    const std::string bytes(input.take(piece));
    const auto problem = reader.feed(bytes);
    take();
    if (problem) {
      FUZZ_CHECK(!problem->text.empty());
      return std::nullopt;
    }
    if (reader.header_done()) FUZZ_CHECK(reader.status() >= 100 && reader.status() <= 999);
  }
  if (!reader.done() && reader.feed_end()) return std::nullopt;
  take();
  if (reader.done()) (void)reader.keep_alive();
  return body;
}

}  // namespace

void run(Input input) {
  const std::uint8_t what = input.byte();
  const std::size_t piece = input.byte() + std::size_t{1};
  const v1::Kind kind = kKinds[(what >> 2) & 3];
  std::string text(input.rest());
  const auto view = [&] {
    return Input(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  if ((what & 16) != 0) {
    auto body = check_answer(view(), piece);
    if (!body) return;
    text = std::move(*body);
  }
  switch (what & 3) {
    case 0:
      return check_list(kind, text, piece);
    case 1:
      return check_watch(kind, view(), piece);
    case 2:
      return check_single(kind, text);
    default:
      return check_lease(text);
  }
}

}  // namespace sluice::fuzz
