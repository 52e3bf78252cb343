// Certificates: a CA, server and client certificates (P-256), and the files clients read.
// Ownership: PEM texts by value. Thread: any. Errors: std::runtime_error.
#pragma once

#include <string>

namespace sluice::test::kube {

struct KeyPair {
  std::string certificate, key;  // PEM.
};

struct CertificateOptions {
  std::string common_name;
  std::string organization;  // The group of a client.
  std::string names;         // subjectAltName: "DNS:localhost,IP:127.0.0.1"; empty: none.
  long valid_from_s = -3600, valid_to_s = 10 * 24 * 3600;  // From now.
  bool client = false;
};

KeyPair make_ca(const std::string& common_name);
KeyPair make_certificate(const KeyPair& ca, const CertificateOptions& options);

// Mode 0600 for keys and tokens.
void write_file(const std::string& path, const std::string& text, bool secret = false);

}  // namespace sluice::test::kube
