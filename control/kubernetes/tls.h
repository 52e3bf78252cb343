// TLS as a client: a context from PEM texts, and why a handshake failed, in words.
// Ownership: by shared pointer; connections keep their context. Thread: one. Errors: say which text
// or certificate is not usable, never what a key says.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "control/kubernetes/credentials.h"

namespace sluice::kube {

// TLS 1.2 or later, HTTP/1.1 by ALPN. Certificates of `material.ca` are trusted as they are, root
// or not, as the cluster's own clients do; without any the system's are.
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const TlsMaterial& material);

// Before a handshake: name indication, and which name or address the certificate must have.
// `problem` gets what verification finds wrong; it must outlive the connection.
Status prepare_tls(SSL* ssl, const std::string& name, bool verify, std::string* problem);

}  // namespace sluice::kube
