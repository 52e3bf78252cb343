#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace sluice::kube::testing_certificates {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

void must(bool good) {
  if (!good) std::abort();
}

std::string taken(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

Identity make(const Wish& wish, bool authority, const Identity* issuer) {
  const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const Certificate certificate(X509_new(), X509_free);
  must(key && certificate);
  X509_set_version(certificate.get(), 2);
  std::uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), static_cast<long>(serial >> 1));
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), wish.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), wish.valid_to);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.subject.c_str()), -1, -1,
                             0);
  Certificate issuer_certificate = certificate;
  Key issuer_key = key;
  if (issuer != nullptr) {
    BIO* bio = BIO_new_mem_buf(issuer->certificate.data(), -1);
    issuer_certificate.reset(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr), X509_free);
    BIO_free(bio);
    bio = BIO_new_mem_buf(issuer->key.data(), -1);
    issuer_key.reset(PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr), EVP_PKEY_free);
    BIO_free(bio);
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer_certificate.get()));
  extend(certificate.get(), issuer_certificate.get(), NID_basic_constraints,
         authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!wish.names.empty() && !authority) {
    extend(certificate.get(), issuer_certificate.get(), NID_subject_alt_name, wish.names);
  }
  must(X509_sign(certificate.get(), issuer_key.get(), EVP_sha256()) > 0);
  Identity identity;
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(bio, certificate.get());
  identity.certificate = taken(bio);
  bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  identity.key = taken(bio);
  return identity;
}

}  // namespace

Identity make_authority(const std::string& subject) {
  Wish wish;
  wish.subject = subject;
  return make(wish, true, nullptr);
}

Identity make_certificate(const Identity& authority, const Wish& wish) {
  return make(wish, false, &authority);
}

}  // namespace sluice::kube::testing_certificates
