// RequestHandler: what the dataplane answers to each request of proto/dataplane.proto. Knows
// nothing of sockets. Thread: the server's. Errors: a refusal, as a reply with error set.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane.pb.h"
#include "dataplane/server/generations.h"
#include "dataplane/server/host.h"
#include "dataplane/server/reply_stream.h"
#include "dataplane/server/transaction.h"

namespace sluice {

inline constexpr std::uint32_t kProtocolMajor = 1;

// What is remembered of one connection.
struct Session {
  Transaction::Client client = 0;  // Its number.
  bool greeted = false;            // Said hello with our major version.
  std::string name;                // Program and version, as it says.
};

class RequestHandler {
 public:
  // `version`: of this program. `defaults`: timers of VIPs that set none.
  RequestHandler(Host& host, Generations& generations, const FlowTimers& defaults,
                 std::string version);

  ReplyStream handle(Session& session, const v1::Request& request);
  // The connection is gone: its open transaction goes with it.
  void disconnected(const Session& session) { transaction_.abort(session.client); }
  const std::string& boot() const { return boot_; }

 private:
  ReplyStream hello(Session& session, const v1::Hello& request);
  ReplyStream apply(const Session& session, const v1::Request& request);

  Host& host_;
  Generations& generations_;
  FlowTimers defaults_;
  Transaction transaction_;
  std::string version_;
  std::string boot_;  // 16 random bytes.
};

}  // namespace sluice
