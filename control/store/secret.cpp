#include "control/store/secret.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "control/store/keys.h"
#include "control/store/objects.h"
#include "control/store/scripts.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxBytes = 4096;

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  while (seed == 0) {
    const std::string digits = random_id();
    std::from_chars(digits.data(), digits.data() + 16, seed, 16);
  }
  return seed;
}

Result<std::uint64_t> decode_seed(const std::string& bytes) {
  v1::ClusterSecret secret;
  if (bytes.size() > kMaxBytes || !secret.ParseFromString(bytes))
    return Error{"its value is not a ClusterSecret message"};
  if (secret.header().major() != kMajor) {
    return Error{"its value has layout version " + std::to_string(secret.header().major()) +
                 ", this program reads " + std::to_string(kMajor)};
  }
  if (secret.maglev_seed() == 0) return Error{"its value has no seed"};
  return secret.maglev_seed();
}

}  // namespace

Secret::Secret(Redis& redis, std::string writer) : redis_(redis), writer_(std::move(writer)) {}

void Secret::adopt(std::uint64_t seed, bool prefer) {
  if (seed != 0 && !confirmed_ && (prefer || seed_ == 0)) seed_ = seed;
}

void Secret::take(const std::string& bytes) {
  const Result<std::uint64_t> seed = decode_seed(bytes);
  if (!seed) {
    state_ = SecretState::kUnusable;
    problem_ = seed.error();
    return;
  }
  state_ = SecretState::kThere;
  seed_ = *seed;
  confirmed_ = true;
}

asio::awaitable<Status> Secret::refresh() {
  std::vector<std::string> names{std::string(keys::kSecret)};
  const auto values = co_await fetch(redis_, std::move(names), kMaxBytes);
  if (!values) co_return Error{values.error()};
  const Fetched& value = values->front();
  problem_.clear();
  if (value.state == Fetched::State::kPresent) {
    take(value.bytes);
  } else if (value.state == Fetched::State::kAbsent) {
    state_ = SecretState::kAbsent;
  } else {
    state_ = SecretState::kUnusable;
    problem_ = value.problem;
  }
  co_return Ok{};
}

asio::awaitable<Status> Secret::establish(const Leader& leader) {
  v1::ClusterSecret secret;
  stamp(secret.mutable_header(), writer_);
  secret.set_maglev_seed(seed_ != 0 ? seed_ : random_seed());
  ScriptCall call;
  call.keys = {std::string(keys::kLeader), std::string(keys::kSecret)};
  call.arguments = {leader.instance, std::to_string(leader.token), encode(secret)};
  const auto reply = co_await run_script_once(redis_, kSecretScript, std::move(call));
  if (!reply) co_return Error{reply.error()};
  take(reply->text);
  co_return Ok{};
}

}  // namespace sluice::store
