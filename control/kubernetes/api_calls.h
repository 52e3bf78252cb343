// ApiCalls: what reflectors and leases ask of an API server. ApiClient behind it, or a test's own.
// Ownership: of the caller's; what open() gave must not outlive it. Thread: the executor's, one.
// Errors and bounds: as of api_client.h.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "control/kubernetes/api_client.h"

namespace sluice::kube {

// The body of an answer as it arrives. Destroying it closes the connection.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  virtual boost::asio::awaitable<Piece> read() = 0;
  virtual void close() = 0;  // A read that waits fails.
};

struct OpenedBytes {
  Response response;
  std::unique_ptr<ByteStream> stream;  // Set exactly if response.ok().
};

class ApiCalls {
 public:
  virtual ~ApiCalls() = default;
  virtual boost::asio::awaitable<Response> request(Request request) = 0;
  virtual boost::asio::awaitable<OpenedBytes> open(StreamRequest request) = 0;
};

// By an ApiClient, which must outlive it.
std::unique_ptr<ApiCalls> api_calls(ApiClient& client);

}  // namespace sluice::kube
