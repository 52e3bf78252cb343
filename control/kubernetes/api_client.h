// ApiClient: HTTP/1.1 to one Kubernetes API server, over TLS 1.2 or later.
// Purpose: requests with whole answers over a few kept connections, and streams (watches, long
// lists), each over a connection of its own. Chain and name of the server's certificate are
// verified, IP addresses too; CA, client certificate and token are read again as their files
// change. Plain http is spoken to loopback addresses only (kubectl proxy). Redirects are not
// followed. Ownership: the caller keeps the client alive while a coroutine or a stream of it is.
// Thread: the executor's, one. Bounds: bodies by Request, headers 64 KiB, gzip by what it inflates
// to. Errors: a Response is never thrown away: `failure` says what kind of thing went wrong,
// `status` and `reason` what the server answered, `error` is a sentence for people. Source: RFC
// 9112, RFC 9110; kubernetes.io/docs/reference/using-api/api-concepts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/kubernetes/credentials.h"
#include "proto/result.h"

namespace sluice::kube {

inline constexpr std::size_t kDefaultBodyBytes = 4u << 20;
inline constexpr std::size_t kListBodyBytes = 64u << 20;

enum class Failure {
  kNone,         // The server answered: see status.
  kCredentials,  // Token, certificate or key cannot be read or used.
  kTransport,    // Name resolution, connecting, sending, or the connection was cut.
  kTls,          // The server's certificate, or no common TLS; `error` says what did not match.
  kTimeout,      // The deadline passed.
  kTooLarge,     // The body has more bytes than allowed.
  kProtocol,     // What came is not HTTP, or not gzip where it says so.
};

struct Request {
  std::string method = "GET";
  std::string target;        // Path and query, "/api/v1/services?limit=500"; see query_escape().
  std::string content_type;  // Of `body`: application/json, application/apply-patch+yaml, ...
  std::string accept = "application/json";
  std::string body;
  std::chrono::milliseconds deadline{15'000};  // For all of it, waiting for a connection included.
  std::size_t max_bytes = kDefaultBodyBytes;   // Of the answer's body, inflated.
  // Sent again once when a kept connection turns out to be closed. GET, PUT and DELETE always are;
  // true for a PATCH that may be applied twice.
  bool repeatable = false;
};

struct Response {
  Failure failure = Failure::kNone;
  unsigned status = 0;  // HTTP status; 0 if none was received.
  std::string body;
  std::string content_type;
  std::optional<std::chrono::seconds> retry_after;  // Of the header or the Status; at most an hour.
  std::string reason;                               // Of a Status: "Conflict", "Expired", ...
  std::string error;                                // Empty if ok().

  bool ok() const { return failure == Failure::kNone && status >= 200 && status < 300; }
};

// A piece of a stream's body.
struct Piece {
  std::string_view bytes;  // Valid until the next read; empty at the end and with a failure.
  bool end = false;        // The body ended as HTTP says it should.
  Failure failure = Failure::kNone;
  std::string error;

  bool ok() const { return failure == Failure::kNone; }
};

// The body of one answer as it arrives. Destroying it closes the connection.
class ApiStream {
 public:
  class Impl;
  explicit ApiStream(std::unique_ptr<Impl> impl);
  ~ApiStream();
  ApiStream(const ApiStream&) = delete;
  ApiStream& operator=(const ApiStream&) = delete;

  // Waits for bytes, at most the idle deadline. At most about 16 MiB at once, usually under 64 KiB.
  boost::asio::awaitable<Piece> read();
  void close();  // A read that waits fails with kTransport.

 private:
  std::unique_ptr<Impl> impl_;
};

struct Opened {
  Response response;                  // Without body if ok().
  std::unique_ptr<ApiStream> stream;  // Set exactly if response.ok().
};

struct StreamRequest {
  std::string target;
  std::string accept = "application/json";
  std::chrono::milliseconds deadline{15'000};  // Until the answer's header has arrived.
  std::chrono::milliseconds idle{60'000};      // Longest wait for the next bytes of the body.
};

struct ApiClientOptions {
  std::string user_agent = "sluice-agent";
  std::size_t max_connections = 4;                    // For requests; streams are not counted.
  std::chrono::seconds keep_alive{60};                // An idle connection is closed after that.
  std::chrono::milliseconds connect_timeout{10'000};  // For resolving, connecting and TLS.
};

class ApiClient {
 public:
  ApiClient(boost::asio::any_io_executor executor, ServerAccess access,
            ApiClientOptions options = {});
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  boost::asio::awaitable<Response> request(Request request);
  boost::asio::awaitable<Opened> stream(StreamRequest request);

  const ServerAccess& access() const;
  // For good: whatever waits for an answer, or asks from now on, fails (kTransport); streams too.
  void close();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

// For values of a query: all but unreserved characters (RFC 3986) as %XX.
std::string query_escape(std::string_view text);

}  // namespace sluice::kube
