// A server that answers each request with the bytes a test says, cut as it says, over TLS or not.
// Ownership: lives as long as its io_context runs. Thread: the io_context's. Listens on 127.0.0.1.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "certificates.h"

namespace sluice::kube {

struct SeenRequest {
  std::string head;  // Up to the empty line.
  std::string body;
  int connection = 0;  // Counted from 1.
  bool has(const std::string& text) const { return head.find(text) != std::string::npos; }
};

struct Answer {
  std::vector<std::string> pieces;     // Written one after the other, as they are.
  std::chrono::milliseconds pause{0};  // Before each.
  bool close = false;                  // The connection, without a TLS farewell.
};

// "HTTP/1.1 STATUS X", headers, Content-Length, body.
std::string http_answer(int status, const std::string& body,
                        const std::string& headers = "Content-Type: application/json\r\n");
std::string chunk(const std::string& bytes);  // Empty: the last one.
std::string gzip(const std::string& text);

class HttpServer {
 public:
  struct Options {
    bool tls = true;
    testing_certificates::Identity identity;
    std::string client_authority;  // PEM; not empty: clients must show a certificate of it.
  };
  using Handler = std::function<Answer(const SeenRequest&)>;

  HttpServer(boost::asio::io_context& io, Options options, Handler handler);
  ~HttpServer();

  std::string port() const;
  void present(const testing_certificates::Identity& identity);  // From the next connection on.
  int connections() const;
  const std::vector<SeenRequest>& requests() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::kube
