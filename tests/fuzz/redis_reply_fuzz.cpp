// Fuzzes what comes from Redis: replies, stream entries, source hashes with their markers, key
// names and object values. Input: one byte, the size of the pieces the bytes after it arrive in.
#include <string>
#include <vector>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"
#include "control/store/reply.h"
#include "control/store/source_hash.h"
#include "control/store/stream.h"
#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

using store::RedisValue;
namespace keys = store::keys;

constexpr std::size_t kMaxBytes = 1u << 16, kMaxElements = 256;

void check_entries(const RedisValue& value) {
  for (const store::StreamEntry& entry : store::parse_entries(value)) {
    (void)store::compare_ids(entry.id, "1700000000000-0");
    if (entry.source.empty()) continue;
    FUZZ_CHECK(!entry.incarnation.empty());
    FUZZ_CHECK(entry.source == keys::kLedgerSource || keys::valid_source(entry.source));
    if (entry.key) FUZZ_CHECK(keys::valid(*entry.key) && entry.key->source == entry.source);
  }
}

void check_source_hash(const RedisValue& value) {
  const store::SourceHash hash = store::parse_source_hash("manual", value);
  if (hash.marker) {
    FUZZ_CHECK(hash.problem.empty() && hash.marker->source() == "manual");
    FUZZ_CHECK(hash.marker->header().major() == store::kMajor);
  }
  for (const v1::Kind kind : store::all_kinds()) {
    if (hash.complete(kind)) FUZZ_CHECK(hash.marker.has_value());
  }
}

// Whatever is read back is what was named, and is stored as the same bytes again.
void check_object(const ObjectKey& key, const std::string& bytes) {
  const Result<v1::Object> object = store::decode_object(key, bytes);
  if (!object) {
    FUZZ_CHECK(!object.error().empty());
    return;
  }
  FUZZ_CHECK(key_of(key.source, *object) == key);
  const std::string stored = store::encode(*object);
  const Result<v1::Object> again = store::decode_object(key, stored);
  FUZZ_CHECK(again.ok() && store::encode(*again) == stored);
}

// Pairs of key and value, as SCAN and MGET would give them.
void check_objects(const RedisValue& value) {
  for (std::size_t i = 0; i < value.elements.size(); ++i) {
    const std::string& text = value.elements[i].text;
    (void)keys::parse_number(text);
    (void)store::parse_endpoint(text);
    const auto key = keys::parse_object(text);
    if (!key) continue;
    FUZZ_CHECK(keys::object(*key) == text);
    check_object(*key, value.at(i + 1).text);
  }
}

void check(const RedisValue& value) {
  FUZZ_CHECK(value.elements.size() <= kMaxElements);
  if (value.is_error()) FUZZ_CHECK(!store::explain_error("GET", value.text).empty());
  check_entries(value);
  check_entries(value.at(0).at(1));  // As XREAD gives them.
  check_source_hash(value);
  check_objects(value);
}

}  // namespace

void run(Input input) {
  store::ReplyParser parser(kMaxBytes, kMaxElements);
  const std::size_t piece = input.byte() + std::size_t{1};
  while (!input.empty()) {
    if (!parser.feed(input.take(piece))) return;
    for (;;) {
      const auto value = parser.next();
      if (!value) return;
      if (!value->has_value()) break;
      check(**value);
    }
  }
}

}  // namespace sluice::fuzz
