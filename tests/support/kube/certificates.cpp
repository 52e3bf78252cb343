#include "tests/support/kube/certificates.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace sluice::test::kube {
namespace {

struct Free {
  void operator()(X509* value) const { X509_free(value); }
  void operator()(EVP_PKEY* value) const { EVP_PKEY_free(value); }
  void operator()(BIO* value) const { BIO_free(value); }
  void operator()(X509_EXTENSION* value) const { X509_EXTENSION_free(value); }
};
using Certificate = std::unique_ptr<X509, Free>;
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Bio = std::unique_ptr<BIO, Free>;

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("certificate: ") + what);
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(length));
}

KeyPair to_pem(X509* certificate, EVP_PKEY* key) {
  const Bio one(BIO_new(BIO_s_mem())), other(BIO_new(BIO_s_mem()));
  require(PEM_write_bio_X509(one.get(), certificate) == 1, "writing it");
  require(PEM_write_bio_PrivateKey(other.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "writing its key");
  return {text_of(one.get()), text_of(other.get())};
}

void add_extension(X509* certificate, X509* issuer, int id, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, id, value));
  require(extension != nullptr, value);
  require(X509_add_ext(certificate, extension.get(), -1) == 1, value);
}

void add_name(X509_NAME* name, const char* field, const std::string& text) {
  if (text.empty()) return;
  require(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     static_cast<int>(text.size()), -1, 0) == 1,
          "its name");
}

Certificate blank(EVP_PKEY* key, const CertificateOptions& options) {
  Certificate certificate(X509_new());
  require(certificate != nullptr, "no memory");
  X509_set_version(certificate.get(), 2);
  unsigned char bytes[8];
  require(RAND_bytes(bytes, sizeof bytes) == 1, "no random bytes");
  long serial = 0;
  for (int i = 0; i < 7; ++i) serial = serial << 8 | bytes[i];
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), options.valid_from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.valid_to_s);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  add_name(name, "O", options.organization);
  add_name(name, "CN", options.common_name);
  return certificate;
}

}  // namespace

KeyPair make_ca(const std::string& common_name) {
  const Key key(EVP_EC_gen("P-256"));
  require(key != nullptr, "no key");
  CertificateOptions options;
  options.common_name = common_name;
  const Certificate certificate = blank(key.get(), options);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  add_extension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate.get(), certificate.get(), NID_key_usage,
                "critical,keyCertSign,digitalSignature");
  add_extension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash");
  require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "signing it");
  return to_pem(certificate.get(), key.get());
}

KeyPair make_certificate(const KeyPair& ca, const CertificateOptions& options) {
  const Bio ca_text(
      BIO_new_mem_buf(ca.certificate.data(), static_cast<int>(ca.certificate.size())));
  const Bio key_text(BIO_new_mem_buf(ca.key.data(), static_cast<int>(ca.key.size())));
  const Certificate issuer(PEM_read_bio_X509(ca_text.get(), nullptr, nullptr, nullptr));
  const Key issuer_key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  const Key key(EVP_EC_gen("P-256"));
  require(issuer != nullptr && issuer_key != nullptr && key != nullptr, "reading the CA");
  const Certificate certificate = blank(key.get(), options);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  add_extension(certificate.get(), issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate.get(), issuer.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), issuer.get(), NID_ext_key_usage,
                options.client ? "clientAuth" : "serverAuth");
  if (!options.names.empty()) {
    add_extension(certificate.get(), issuer.get(), NID_subject_alt_name, options.names.c_str());
  }
  require(X509_sign(certificate.get(), issuer_key.get(), EVP_sha256()) > 0, "signing it");
  return to_pem(certificate.get(), key.get());
}

void write_file(const std::string& path, const std::string& text, bool secret) {
  const int file =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, secret ? 0600 : 0644);
  if (file < 0) throw std::runtime_error("cannot write " + path);
  const ssize_t written = ::write(file, text.data(), text.size());
  ::close(file);
  if (written != static_cast<ssize_t>(text.size())) throw std::runtime_error("writing " + path);
}

}  // namespace sluice::test::kube
