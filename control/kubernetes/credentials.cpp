#include "control/kubernetes/credentials.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "config/yaml_tree.h"
#include "proto/address.h"

namespace sluice::kube {
namespace {

constexpr std::size_t kTokenBytes = 64u << 10;
constexpr std::size_t kPemBytes = 1u << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// One line, as it goes into a header.
Result<std::string> read_token(const std::string& file) {
  Result<std::string> text = read_text_file(file, kTokenBytes);
  if (!text) return Error{"cannot read the token: " + text.error()};
  while (!text->empty() && static_cast<unsigned char>(text->back()) <= ' ') text->pop_back();
  const bool plain =
      std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c < 127; });
  if (text->empty() || !plain) {
    return Error{file + ": is not a bearer token: one line of letters, digits and signs"};
  }
  return text;
}

Result<std::string> read_pem(const PemSource& source) {
  return source.file.empty() ? Result<std::string>(source.text)
                             : read_text_file(source.file, kPemBytes);
}

Result<TlsMaterial> read_material(const ServerAccess& access) {
  TlsMaterial material;
  const std::pair<const PemSource*, std::string*> parts[] = {
      {&access.ca, &material.ca},
      {&access.client_certificate, &material.client_certificate},
      {&access.client_key, &material.client_key}};
  for (const auto& [source, text] : parts) {
    Result<std::string> pem = read_pem(*source);
    if (!pem) return Error{pem.error()};
    *text = std::move(*pem);
  }
  return material;
}

}  // namespace

std::string ServerAccess::url() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return std::string(tls ? "https://" : "http://") + (bracketed ? "[" + host + "]" : host) + ":" +
         port + path_prefix;
}

bool in_cluster() {
  return !environment("KUBERNETES_SERVICE_HOST").empty() &&
         !environment("KUBERNETES_SERVICE_PORT").empty();
}

Result<ServerAccess> in_cluster_access(const InClusterPlaces& places) {
  ServerAccess access;
  access.host = places.host.value_or(environment("KUBERNETES_SERVICE_HOST"));
  access.port = places.port.value_or(environment("KUBERNETES_SERVICE_PORT"));
  if (access.host.empty() || access.port.empty()) {
    return Error{
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; outside of "
        "the cluster name a kubeconfig file"};
  }
  access.token_file = places.directory + "/token";
  access.ca.file = places.directory + "/ca.crt";
  access.origin = "in-cluster configuration (" + places.directory + ")";
  // Whatever is missing is better said at the start than at the first request.
  if (const auto token = read_token(access.token_file); !token) return Error{token.error()};
  if (const auto ca = read_pem(access.ca); !ca) return Error{ca.error()};
  if (const auto ns = read_text_file(places.directory + "/namespace", kTokenBytes)) {
    access.default_namespace = ns->substr(0, ns->find_first_of(" \r\n"));
  }
  return access;
}

Credentials::Credentials(ServerAccess access) : access_(std::move(access)), token_(access_.token) {}

Result<std::string> Credentials::token(Clock::time_point now) {
  if (access_.token_file.empty()) return token_;
  if (token_read_ && now - *token_read_ < kRereadInterval) return token_;
  Result<std::string> token = read_token(access_.token_file);
  if (!token && token_.empty()) return Error{token.error()};
  token_read_ = now;
  if (token) {
    token_ = *token;
  } else {
    spdlog::warn("the last token stays in use reason=\"{}\"", token.error());
  }
  return token_;
}

bool Credentials::reread_token(Clock::time_point now) {
  if (access_.token_file.empty()) return false;
  const std::string before = token_;
  token_read_.reset();
  const Result<std::string> token_now = token(now);
  return token_now && *token_now != before;
}

Result<TlsMaterial> Credentials::tls(Clock::time_point now, bool force) {
  if (material_ && !force && now - material_read_ < kRereadInterval) return *material_;
  Result<TlsMaterial> material = read_material(access_);
  if (!material && !material_) return material;
  material_read_ = now;
  if (material) {
    material_ = std::move(*material);
  } else {
    spdlog::warn("the last certificates stay in use reason=\"{}\"", material.error());
  }
  return *material_;
}

}  // namespace sluice::kube
