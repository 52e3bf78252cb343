#include "dataplane/server/transaction.h"

#include <spdlog/spdlog.h>

#include <string>
#include <utility>

#include "dataplane/server/apply.h"

namespace sluice {

Transaction::Transaction(Generations& generations, const FlowTimers& defaults)
    : generations_(generations), defaults_(defaults) {}

// What a full state of this dataplane's capacity can need, with texts, and no more.
std::size_t Transaction::max_bytes() const {
  const StateLimits& limits = generations_.limits();
  return (std::size_t{16} << 20) + (std::size_t{limits.vips} + limits.backends) * 1024 +
         limits.members * 16;
}

v1::ApplyReply Transaction::reply() const {
  v1::ApplyReply reply;
  reply.set_generation(generations_.serving()->generation());
  return reply;
}

Status Transaction::check_owner(Client client) const {
  if (open_ && open_->owner == client) return Ok{};
  return Error{"no transaction of this connection is open; send ApplyBegin first"};
}

Status Transaction::check_begin(Client client, const v1::ApplyBegin& request) const {
  const std::uint64_t serving = generations_.serving()->generation();
  if (open_ && (open_->owner == client || Clock::now() - open_->last < kIdle)) {
    return Error{std::string("a transaction of ") +
                 (open_->owner == client ? "this connection" : "another connection") +
                 " is open; one at a time is possible, so commit, abort or wait"};
  }
  if (request.generation() <= serving) {
    return Error{"generation " + std::to_string(request.generation()) + " is not greater than " +
                 std::to_string(serving) + ", the one serving"};
  }
  if (request.base() != 0 && request.base() != serving) {
    return Error{"the parts change generation " + std::to_string(request.base()) + ", but " +
                 std::to_string(serving) +
                 " is serving; ask for a report, or send the whole with base 0"};
  }
  return Ok{};
}

Result<v1::ApplyReply> Transaction::begin(Client client, const v1::ApplyBegin& request) {
  if (Status status = check_begin(client, request); !status) return Error{status.error()};
  if (open_) spdlog::warn("transaction taken away generation={} reason=idle", open_->generation);
  const auto scope = request.base() == 0 ? StateBuilder::Scope::whole : StateBuilder::Scope::delta;
  open_.emplace(Open{client, request.generation(),
                     StateBuilder(generations_.serving(), generations_.limits(), scope), 0,
                     Clock::now()});
  open_->builder.set_maglev_seed(request.maglev_seed());
  return reply();
}

Result<v1::ApplyReply> Transaction::part(Client client, const v1::ApplyPart& request) {
  if (Status status = check_owner(client); !status) return Error{status.error()};
  const std::size_t bytes = request.ByteSizeLong();
  open_->bytes += bytes;
  open_->last = Clock::now();
  Status status = Ok{};
  if (bytes > kMaxPart) {
    status = Error{"a part of " + std::to_string(bytes) + " bytes; at most " +
                   std::to_string(kMaxPart) + " are possible, split it"};
  } else if (open_->bytes > max_bytes()) {
    status = Error{"the parts together are beyond " + std::to_string(max_bytes()) +
                   " bytes, more than a full state needs"};
  } else {
    status = add_part(open_->builder, request, defaults_);
  }
  if (status) return reply();
  open_.reset();
  return Error{status.error()};
}

Result<v1::ApplyReply> Transaction::commit(Client client) {
  if (Status status = check_owner(client); !status) return Error{status.error()};
  Open open = *std::exchange(open_, std::nullopt);
  Result<Generations::Committed> committed = generations_.commit(open.builder, open.generation);
  if (!committed) {
    spdlog::warn("apply refused generation={} serving={} reason=\"{}\"", open.generation,
                 generations_.serving()->generation(), committed.error());
    return Error{committed.error()};
  }
  const ForwardingState& state = *generations_.serving();
  if (const auto left_out = applied_log_.admit()) {
    spdlog::info(
        "applied generation={} vips={} backends={} addresses={} tables_built={} microseconds={} "
        "left_out={}",
        state.generation(), state.vip_count(), state.backend_count(), state.address_count(),
        committed->tables_built, committed->microseconds, *left_out);
  }
  v1::ApplyReply answer = reply();
  answer.set_build_microseconds(committed->microseconds);
  answer.set_tables_built(committed->tables_built);
  return answer;
}

v1::ApplyReply Transaction::abort(Client client) {
  if (open_ && open_->owner == client) {
    spdlog::info("apply aborted generation={}", open_->generation);
    open_.reset();
  }
  return reply();
}

}  // namespace sluice
