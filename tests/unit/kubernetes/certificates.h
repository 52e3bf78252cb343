// Certificates for tests, made on the spot. Ownership: by value. Thread: any. Errors: abort.
#pragma once

#include <string>
#include <vector>

namespace sluice::kube::testing_certificates {

struct Identity {
  std::string certificate;  // PEM.
  std::string key;          // PEM.
};

struct Wish {
  std::string subject = "kube-apiserver";
  std::string names =
      "DNS:localhost,IP:127.0.0.1,IP:::1";  // As OpenSSL's subjectAltName; may be empty.
  long valid_from = -3600;                  // Seconds from now.
  long valid_to = 3600;
};

Identity make_authority(const std::string& subject = "test authority");
Identity make_certificate(const Identity& authority, const Wish& wish = {});

}  // namespace sluice::kube::testing_certificates
