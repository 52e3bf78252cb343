// scripts: the Lua scripts of control/store/scripts, compiled in, and how they are run.
// Purpose: everything that changes shared state does so by one of these; what each checks and
// writes stands at its top and in proto/README.md. Thread: the connection's. Errors: a transport
// error ends the run; an error reply of one call is a value (is_error()), so that the others of the
// batch are not lost.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

struct Script {
  const char* name;
  const char* sha1;  // Of the text, as EVALSHA takes it.
  const char* text;
};
extern const Script kPutScript;
extern const Script kDeleteScript;
extern const Script kMarkerScript;
extern const Script kRenewScript;
extern const Script kClaimScript;
extern const Script kLeadScript;
extern const Script kResignScript;
extern const Script kLedgerApplyScript;
extern const Script kLedgerRebuildScript;
extern const Script kSecretScript;
extern const Script kMergedStatusScript;

struct ScriptCall {
  std::vector<std::string> keys;
  std::vector<std::string> arguments;
};
// Pipelined in bounded batches; EVALSHA, and EVAL for those Redis answers NOSCRIPT to.
boost::asio::awaitable<Result<std::vector<RedisValue>>> run_script(Redis& redis,
                                                                   const Script& script,
                                                                   std::vector<ScriptCall> calls);
// The same for words that stand elsewhere, so that large values are copied once: `fill` is asked
// for those of call i when they are sent, again if Redis did not know the script.
struct ScriptWords {
  std::vector<std::string_view> keys;
  std::vector<std::string_view> arguments;
};
using FillWords = std::function<void(std::size_t, ScriptWords*)>;
boost::asio::awaitable<Result<std::vector<RedisValue>>> run_script(Redis& redis,
                                                                   const Script& script,
                                                                   std::size_t calls,
                                                                   FillWords fill);
// One call; an error reply is an Error.
boost::asio::awaitable<Result<RedisValue>> run_script_once(Redis& redis, const Script& script,
                                                           ScriptCall call);

// 128 random bits as hex: an incarnation, an instance.
std::string random_id();

}  // namespace sluice::store
