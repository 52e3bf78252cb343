// Secret: what all gateways of one Redis share and nobody else may know, sluice:1:secret.
// Purpose: the seed of Maglev's flow hash. The leading control writes it once; all read it. The
// last good one is held whatever Redis shows: gone, flushed, or a value that cannot be used.
// Ownership: refers to the Redis, which must outlive it. Thread: the connection's. Units: 64 random
// bits; 0 means not known. Errors: a Redis that does not answer; a value that cannot be used is a
// state() with problem(). The seed itself is in no text.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "control/store/lead.h"
#include "control/store/redis.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

enum class SecretState {
  kUnknown,   // Never read.
  kThere,     // maglev_seed() is what Redis has.
  kAbsent,    // The leading control has to write it.
  kUnusable,  // Not ours, or of another version: left alone, problem() says why.
};

class Secret {
 public:
  Secret(Redis& redis, std::string writer);  // "program version".

  // Last good state from the disk; before the first refresh().
  void load(const v1::DiskState& disk) { seed_ = disk.maglev_seed(); }
  void save(v1::DiskState* disk) const { disk->set_maglev_seed(seed_); }
  // What another who was told it remembers (the dataplane, a copy of the disk): taken if Redis has
  // said nothing yet and, with `prefer` false, nothing else has either.
  void adopt(std::uint64_t seed, bool prefer);

  boost::asio::awaitable<Status> refresh();
  SecretState state() const { return state_; }
  const std::string& problem() const { return problem_; }
  std::uint64_t maglev_seed() const { return seed_; }  // Last good one.

  // The leader, when state() is kAbsent: writes the last good seed, else a random one. What
  // somebody else has written meanwhile stays and is read.
  boost::asio::awaitable<Status> establish(const Leader& leader);

 private:
  void take(const std::string& bytes);

  Redis& redis_;
  std::string writer_;
  SecretState state_ = SecretState::kUnknown;
  std::string problem_;
  std::uint64_t seed_ = 0;
  bool confirmed_ = false;  // seed_ was in Redis since the start.
};

}  // namespace sluice::store
