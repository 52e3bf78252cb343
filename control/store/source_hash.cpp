#include "control/store/source_hash.h"

#include <algorithm>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"

namespace sluice::store {
namespace {

constexpr std::string_view kCountPrefix = "count:";

bool take_number(const std::string& text, std::uint64_t* number) {
  const std::optional<std::uint64_t> value = keys::parse_number(text);
  if (value) *number = *value;
  return value.has_value();
}

std::string take_marker(const std::string& bytes, SourceHash* hash) {
  v1::SourceMarker marker;
  if (!marker.ParseFromString(bytes)) return "its marker is not a SourceMarker message";
  if (marker.header().major() != kMajor) {
    return "its marker has layout version " + std::to_string(marker.header().major()) +
           ", this program reads " + std::to_string(kMajor) + ": upgrade it";
  }
  hash->marker = std::move(marker);
  hash->marker_bytes = bytes;
  return {};
}

void take_field(const std::string& field, const std::string& value, SourceHash* hash) {
  bool good = true;
  if (field == "incarnation") {
    hash->incarnation = value;
  } else if (field == "sequence") {
    good = take_number(value, &hash->sequence);
  } else if (field == "entry") {
    hash->entry = value;
  } else if (field == "token") {
    good = take_number(value, &hash->token);
  } else if (field == "marker") {
    const std::string problem = take_marker(value, hash);
    if (!problem.empty()) hash->problem = problem;
  } else if (field.starts_with(kCountPrefix)) {
    const auto kind = kind_from_name(field.substr(kCountPrefix.size()));
    if (kind) good = take_number(value, &hash->counts[*kind]);
  }
  if (!good)
    hash->problem = "its field " + field + " is \"" + value.substr(0, 32) + "\", not a number";
}

}  // namespace

std::uint64_t SourceHash::count(v1::Kind kind) const {
  const auto found = counts.find(kind);
  return found == counts.end() ? 0 : found->second;
}

bool SourceHash::complete(v1::Kind kind) const {
  if (!marker) return false;
  return std::ranges::find(marker->complete(), static_cast<int>(kind)) != marker->complete().end();
}

RedisCommand source_hash_command(const std::string& source) {
  RedisCommand command;
  command.push_back("HGETALL");
  command.push_back(keys::source(source));
  return command;
}

SourceHash parse_source_hash(const std::string& source, const RedisValue& reply) {
  SourceHash hash;
  if (!reply.is_array()) {
    hash.problem = reply.is_error() ? explain_error("HGETALL", reply.text) : "it is not a hash";
    return hash;
  }
  for (std::size_t i = 0; i + 1 < reply.elements.size(); i += 2) {
    take_field(reply.elements[i].text, reply.elements[i + 1].text, &hash);
  }
  if (hash.marker && hash.marker->source() != source) {
    hash.problem = "its marker is of source \"" + hash.marker->source() + "\"";
  }
  if (!hash.problem.empty()) hash.marker.reset();
  return hash;
}

boost::asio::awaitable<Result<SourceHash>> read_source_hash(Redis& redis, std::string source) {
  std::vector<RedisCommand> commands;
  commands.push_back(source_hash_command(source));
  auto replies = co_await redis.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};
  co_return parse_source_hash(source, replies->front());
}

const std::vector<v1::Kind>& all_kinds() {
  static const std::vector<v1::Kind> kinds = [] {
    std::vector<v1::Kind> all;
    for (int kind = v1::Kind_MIN; kind <= v1::Kind_MAX; ++kind) {
      if (v1::Kind_IsValid(kind) && kind != v1::KIND_UNSPECIFIED) {
        all.push_back(static_cast<v1::Kind>(kind));
      }
    }
    return all;
  }();
  return kinds;
}

}  // namespace sluice::store
