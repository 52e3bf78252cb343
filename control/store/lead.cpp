#include "control/store/lead.h"

#include <utility>

#include "control/store/keys.h"
#include "control/store/scripts.h"

namespace sluice::store {

namespace asio = boost::asio;
using std::chrono::steady_clock;

Lead::Lead(Redis& redis, std::string gateway, std::chrono::milliseconds ttl)
    : redis_(redis), ttl_(ttl), leader_{std::move(gateway), random_id(), 0} {}

asio::awaitable<Result<bool>> Lead::hold() {
  // Counted from before the command is sent: the lease in Redis ends no earlier than ours.
  const steady_clock::time_point until = steady_clock::now() + ttl_;
  ScriptCall call;
  call.keys = {std::string(keys::kLeader), std::string(keys::kLeaderToken)};
  call.arguments = {leader_.name, leader_.instance, std::to_string(ttl_.count()),
                    std::to_string(leader_.token)};
  auto reply = co_await run_script_once(redis_, kLeadScript, std::move(call));
  if (!reply) co_return Error{reply.error()};
  const bool ours = reply->at(0).integer == 1;
  const auto token = keys::parse_number(reply->at(1).text);
  holder_ = reply->at(2).text;
  if (!token) co_return Error{"sluice:1:leader holds something that is not ours"};
  leader_.token = *token;  // Also another's: ours, when it comes, has to be larger.
  until_ = ours ? until : steady_clock::time_point{};
  co_return ours;
}

asio::awaitable<Status> Lead::resign() {
  until_ = {};
  ScriptCall call;
  call.keys = {std::string(keys::kLeader)};
  call.arguments = {leader_.instance};
  auto reply = co_await run_script_once(redis_, kResignScript, std::move(call));
  if (!reply) co_return Error{reply.error()};
  co_return Ok{};
}

bool Lead::leading() const {
  return steady_clock::now() < until_;
}

}  // namespace sluice::store
