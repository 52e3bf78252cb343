#include "control/kubernetes/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <utility>

#include "proto/address.h"

namespace sluice::kube {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

namespace {

constexpr int kMostNames = 10;

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <typename T, auto kFree>
using Owned = std::unique_ptr<T, Free<kFree>>;

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text;
}

std::string time_text(const ASN1_TIME* time) {
  const Owned<BIO, BIO_free_all> bio(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(bio.get(), time);
  return text_of(bio.get());
}

std::string subject_text(X509* certificate) {
  const Owned<BIO, BIO_free_all> bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE);
  return text_of(bio.get()).substr(0, 200);
}

std::string names_text(X509* certificate) {
  const Owned<GENERAL_NAMES, GENERAL_NAMES_free> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::string text;
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count && i < kMostNames; ++i) {
    const Owned<BIO, BIO_free_all> bio(BIO_new(BIO_s_mem()));
    GENERAL_NAME_print(bio.get(), sk_GENERAL_NAME_value(names.get(), i));
    text += (i == 0 ? "" : ", ") + text_of(bio.get()).substr(0, 200);
  }
  if (count > kMostNames) text += ", ...";
  return count == 0 ? "no name" : text;
}

std::string problem_text(X509_STORE_CTX* store, const std::string& name) {
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  const int code = X509_STORE_CTX_get_error(store);
  const std::string what = X509_verify_cert_error_string(code);
  if (certificate == nullptr) return what;
  const std::string whose = "the certificate of \"" + subject_text(certificate) + "\" ";
  switch (code) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return whose + "is for " + names_text(certificate) + ", not for " + name;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return whose + "expired at " + time_text(X509_get0_notAfter(certificate));
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return whose + "is not valid before " + time_text(X509_get0_notBefore(certificate)) +
             "; is this machine's clock right?";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return whose + "is not signed by the authority this client trusts (" + what +
             "); is the CA certificate the cluster's?";
    default:
      return whose + "is refused: " + what;
  }
}

// Where the callback finds what it needs: the connection's name and its place for the problem.
struct VerifyState {
  std::string name;
  std::string* problem;
};

int verify_state_index() {
  static const int index = SSL_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* state, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<VerifyState*>(state);
      });
  return index;
}

int on_verified(int good, X509_STORE_CTX* store) {
  const auto* connection =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* state = static_cast<VerifyState*>(SSL_get_ex_data(connection, verify_state_index()));
  if (good == 0 && state != nullptr && state->problem->empty()) {
    *state->problem = problem_text(store, state->name);
  }
  return good;
}

Status add_authorities(SSL_CTX* context, const std::string& pem) {
  const Owned<BIO, BIO_free_all> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int count = 0;
  for (;;) {
    const Owned<X509, X509_free> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    X509_STORE_add_cert(store, certificate.get());
    ++count;
  }
  ERR_clear_error();  // The end of the text counts as one.
  if (count == 0) return Error{"the CA certificate is not PEM with a certificate in it"};
  return Ok{};
}

}  // namespace

Result<std::shared_ptr<ssl::context>> make_tls_context(const TlsMaterial& material) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX* native = context->native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  constexpr std::array<unsigned char, 9> kHttp11{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  SSL_CTX_set_alpn_protos(native, kHttp11.data(), kHttp11.size());
  X509_STORE_set_flags(SSL_CTX_get_cert_store(native), X509_V_FLAG_PARTIAL_CHAIN);
  // A key with a passphrase is refused; the library's own way would ask at the terminal.
  error_code error;
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return ""; },
                                 error);
  if (material.ca.empty()) {
    context->set_default_verify_paths(error);
    if (error) return Error{"cannot load the system's certificates: " + error.message()};
  } else if (const Status status = add_authorities(native, material.ca); !status) {
    return Error{status.error()};
  }
  if (material.client_certificate.empty()) return context;
  context->use_certificate_chain(boost::asio::buffer(material.client_certificate), error);
  if (error) return Error{"the client certificate is not usable PEM: " + error.message()};
  context->use_private_key(boost::asio::buffer(material.client_key), ssl::context::pem, error);
  if (error) {
    return Error{"the client key is not usable PEM, or not the certificate's: " + error.message()};
  }
  return context;
}

Status prepare_tls(SSL* ssl, const std::string& name, bool verify, std::string* problem) {
  const bool is_address = IpAddress::parse(name).has_value();
  if (!is_address) SSL_set_tlsext_host_name(ssl, name.c_str());
  if (!verify) {
    SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
    return Ok{};
  }
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(
      parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const int set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str())
                             : X509_VERIFY_PARAM_set1_host(parameters, name.c_str(), name.size());
  if (set != 1 || name.empty()) return Error{"\"" + name + "\" is no name a certificate can have"};
  SSL_set_ex_data(ssl, verify_state_index(), new VerifyState{name, problem});
  SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verified);
  return Ok{};
}

}  // namespace sluice::kube
