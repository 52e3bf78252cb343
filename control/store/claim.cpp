#include "control/store/claim.h"

#include "control/store/keys.h"
#include "control/store/scripts.h"

namespace sluice::store {

boost::asio::awaitable<Result<std::uint64_t>> claim_source(Redis& redis, std::string source,
                                                           std::uint64_t token) {
  ScriptCall call;
  call.keys.push_back(keys::source(source));
  call.arguments.push_back(std::to_string(token));
  auto reply = co_await run_script_once(redis, kClaimScript, std::move(call));
  if (!reply) co_return Error{reply.error()};
  if (reply->text.empty()) co_return std::uint64_t{0};
  const auto newest = keys::parse_number(reply->text);
  if (!newest)
    co_return Error{"source " + source + " has the token \"" + reply->text +
                    "\", which is not a number"};
  co_return *newest;
}

}  // namespace sluice::store
