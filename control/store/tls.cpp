#include "control/store/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace sluice::store {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr off_t kMaxFileBytes = 4 << 20;

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

Status check_file(const char* setting, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size > kMaxFileBytes) {
    return Error{std::string("redis.tls.") + setting + " " + path +
                 ": not a PEM file that can be read"};
  }
  return Ok{};
}

// Reads one of the files by `load(path)`, which returns OpenSSL's error.
template <typename Load>
Status load_file(const char* setting, const std::string& path, Load load) {
  if (const Status there = check_file(setting, path); !there) return there;
  const error_code error = load(path);
  if (!error) return Ok{};
  return Error{std::string("redis.tls.") + setting + " " + path + ": " + error.message()};
}

Status load_files(asio::ssl::context& context, const TlsOptions& options) {
  error_code error;
  Status status = Ok{};
  if (options.ca.empty()) {
    context.set_default_verify_paths(error);
  } else {
    status = load_file("ca", options.ca, [&](const std::string& path) {
      error_code e;
      return context.load_verify_file(path, e);
    });
  }
  if (!status || options.certificate.empty()) return status;
  status = load_file("certificate", options.certificate, [&](const std::string& path) {
    error_code e;
    return context.use_certificate_chain_file(path, e);
  });
  if (!status) return status;
  // A key with a passphrase must not make the program ask for it on the terminal.
  context.set_password_callback(
      [](std::size_t, asio::ssl::context::password_purpose) { return ""; }, error);
  return load_file("key", options.key, [&](const std::string& path) {
    error_code e;
    return context.use_private_key_file(path, asio::ssl::context::pem, e);
  });
}

std::string explain_certificate(long result, const std::string& name) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "has a certificate that has expired: renew it, and check the clocks";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "has a certificate that is not valid yet: check the clocks";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "has a certificate that is not for \"" + name +
             "\": set redis.tls.serverName to a name it is for";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "has a certificate of an authority that is not trusted here: set redis.tls.ca to that "
             "authority's certificate";
    default:
      return std::string("has a certificate that is refused: ") +
             X509_verify_cert_error_string(result);
  }
}

}  // namespace

struct TlsStream::Impl {
  Impl(Socket& socket, asio::ssl::context made, std::string wanted)
      : context(std::move(made)), stream(socket, context), name(std::move(wanted)) {}

  asio::ssl::context context;
  asio::ssl::stream<Socket&> stream;
  std::string name;  // That the certificate must be for.
};

TlsStream::TlsStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TlsStream::~TlsStream() = default;

Result<std::unique_ptr<TlsStream>> TlsStream::make(Socket& socket, const TlsOptions& options,
                                                   const std::string& host) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  const Status loaded = load_files(context, options);
  if (!loaded) return Error{loaded.error()};
  const std::string& name = options.server_name.empty() ? host : options.server_name;
  auto impl = std::make_unique<Impl>(socket, std::move(context), name);
  SSL* ssl = impl->stream.native_handle();
  SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  error_code not_an_address;
  asio::ip::make_address(name, not_an_address);
  const bool set = not_an_address
                       ? SSL_set1_host(ssl, name.c_str()) == 1 &&
                             SSL_set_tlsext_host_name(ssl, name.c_str()) == 1
                       : X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
  if (!set) return Error{"redis.tls.serverName \"" + name + "\" cannot be verified"};
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(impl)));
}

asio::awaitable<Status> TlsStream::handshake() {
  error_code error;
  co_await impl_->stream.async_handshake(asio::ssl::stream_base::client, awaiting(error));
  if (!error) co_return Ok{};
  const long verified = SSL_get_verify_result(impl_->stream.native_handle());
  if (verified != X509_V_OK) co_return Error{explain_certificate(verified, impl_->name)};
  const std::string meaning = explain(error);
  if (!meaning.empty()) co_return Error{meaning};
  co_return Error{"ended the TLS handshake: " + error.message() +
                  "; is it a port for TLS (tls-port)?"};
}

asio::awaitable<void> TlsStream::write(std::string_view bytes, error_code& error) {
  co_await asio::async_write(impl_->stream, asio::buffer(bytes), awaiting(error));
}

asio::awaitable<std::size_t> TlsStream::read(char* bytes, std::size_t size, error_code& error) {
  co_return co_await impl_->stream.async_read_some(asio::buffer(bytes, size), awaiting(error));
}

std::string TlsStream::explain(const error_code& error) {
  if (error.category() != asio::error::get_ssl_category()) return {};
  switch (ERR_GET_REASON(static_cast<unsigned long>(error.value()))) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_HTTP_REQUEST:
      return "does not speak TLS: check the port, or set redis.tls.enabled to false";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return "refuses our certificate or wants one: check redis.tls.certificate and redis.tls.key "
             "(" +
             error.message() + ")";
    default:
      return {};
  }
}

}  // namespace sluice::store
