// Transaction: the one Apply that may be open, from begin over parts to commit or abort. A refusal
// at any step ends it; what serves stays untouched until the commit has succeeded.
//
// Thread: the server's. Units: bytes of messages. Errors: a sentence that says what to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "config/logging.h"
#include "dataplane.pb.h"
#include "dataplane/forward/state_builder.h"
#include "dataplane/server/generations.h"
#include "proto/result.h"

namespace sluice {

class Transaction {
 public:
  using Client = std::uint64_t;  // Number of a connection.
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxPart = 1u << 20;
  // An open transaction nothing came for this long may be taken away by another client's begin.
  static constexpr std::chrono::seconds kIdle{30};

  Transaction(Generations& generations, const FlowTimers& defaults);

  Result<v1::ApplyReply> begin(Client client, const v1::ApplyBegin& request);
  Result<v1::ApplyReply> part(Client client, const v1::ApplyPart& request);
  Result<v1::ApplyReply> commit(Client client);
  // Also when the client is gone; nothing happens unless the transaction is its own.
  v1::ApplyReply abort(Client client);
  bool open() const { return open_.has_value(); }

 private:
  struct Open {
    Client owner;
    std::uint64_t generation;
    StateBuilder builder;
    std::size_t bytes = 0;
    Clock::time_point last;
  };
  std::size_t max_bytes() const;
  Status check_owner(Client client) const;
  Status check_begin(Client client, const v1::ApplyBegin& request) const;
  v1::ApplyReply reply() const;

  Generations& generations_;
  FlowTimers defaults_;
  std::optional<Open> open_;
  LogLimiter applied_log_;
};

}  // namespace sluice
