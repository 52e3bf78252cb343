#include "tests/unit/kube_server/client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

namespace sluice::test::kube {

namespace asio = boost::asio;

struct RawClient::Parts {
  asio::io_context context;
  asio::ssl::context tls{asio::ssl::context::tls_client};
  std::unique_ptr<asio::ssl::stream<asio::ip::tcp::socket>> stream;
};

RawClient::RawClient(const ServerThread& server) : parts_(std::make_unique<Parts>()) {
  parts_->tls.load_verify_file(server.files().ca);
  parts_->tls.set_verify_mode(asio::ssl::verify_peer);
  parts_->tls.set_verify_callback(asio::ssl::host_name_verification("127.0.0.1"));
  parts_->stream =
      std::make_unique<asio::ssl::stream<asio::ip::tcp::socket>>(parts_->context, parts_->tls);
  parts_->stream->lowest_layer().connect({asio::ip::address_v4::loopback(), server.port()});
  parts_->stream->handshake(asio::ssl::stream_base::client);
}

RawClient::~RawClient() = default;

void RawClient::send(const std::string& method_and_target, const std::string& token,
                     const std::string& more, const std::string& body) {
  std::string text = method_and_target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + more;
  if (!token.empty()) text += "Authorization: Bearer " + token + "\r\n";
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  asio::write(*parts_->stream, asio::buffer(text + "\r\n" + body));
}

bool RawClient::read_some() {
  char buffer[65536];
  boost::system::error_code error;
  const std::size_t got = parts_->stream->read_some(asio::buffer(buffer), error);
  received_.append(buffer, got);
  if (error) ended_ = true;
  return !error;
}

const std::string& RawClient::read_until(const std::string& text) {
  while (received_.find(text) == std::string::npos && read_some()) {
  }
  return received_;
}

const std::string& RawClient::read_bytes(std::size_t bytes) {
  while (received_.size() < bytes && read_some()) {
  }
  return received_;
}

const std::string& RawClient::read_all() {
  while (read_some()) {
  }
  return received_;
}

std::string fetch(const ServerThread& server, const std::string& method_and_target,
                  const std::string& token, const std::string& more, const std::string& body) {
  RawClient client(server);
  client.send(method_and_target, token, "Connection: close\r\n" + more, body);
  return client.read_all();
}

}  // namespace sluice::test::kube
