// A kubeconfig file to a ServerAccess.
#include <openssl/evp.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <filesystem>

#include "config/yaml_tree.h"
#include "control/kubernetes/credentials.h"

namespace sluice::kube {
namespace {

constexpr std::size_t kFileBytes = 4u << 20;
constexpr const char* kServiceAccountAdvice =
    "; make a kubeconfig for a service account instead: `kubectl create token ACCOUNT "
    "--duration=8760h`, put what it prints into a file and name it as users[].user.tokenFile";

std::string text_of(const YamlNode& node, const char* field) {
  const YamlNode* value = node.kind == YamlNode::Kind::map ? node.find(field) : nullptr;
  return value != nullptr && value->kind == YamlNode::Kind::scalar ? value->scalar : "";
}

bool has(const YamlNode& node, const char* field) {
  const YamlNode* value = node.kind == YamlNode::Kind::map ? node.find(field) : nullptr;
  return value != nullptr && value->kind != YamlNode::Kind::null;
}

Result<std::string> from_base64(std::string text) {
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  std::string out(text.size() / 4 * 3, '\0');
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  // Padding counts as zero bytes there.
  const std::size_t padding = text.size() - 1 - std::min(text.find_last_not_of('='), text.size());
  if (text.empty() || size < 0 || padding > 2) return Error{"is not base64"};
  out.resize(static_cast<std::size_t>(size) - padding);
  return out;
}

class KubeconfigReader {
 public:
  KubeconfigReader(const YamlNode& root, const std::string& file) : root_(root), file_(file) {}

  Result<ServerAccess> read(std::string context) {
    if (context.empty()) context = text_of(root_, "current-context");
    if (context.empty()) return error(root_, "current-context: is not set; name a context");
    access_.origin = "kubeconfig " + file_ + ", context " + context;
    const Result<const YamlNode*> chosen = named("contexts", context, "context");
    if (!chosen) return Error{chosen.error()};
    access_.default_namespace = text_of(**chosen, "namespace");
    const auto cluster = named("clusters", text_of(**chosen, "cluster"), "cluster");
    if (!cluster) return Error{cluster.error()};
    if (const Status status = read_cluster(**cluster); !status) return Error{status.error()};
    const std::string user_name = text_of(**chosen, "user");
    if (user_name.empty()) return access_;  // Anonymous, as behind kubectl proxy.
    const auto user = named("users", user_name, "user");
    if (!user) return Error{user.error()};
    if (const Status status = read_user(**user); !status) return Error{status.error()};
    return access_;
  }

 private:
  Error error(const YamlNode& node, const std::string& text) const {
    return Error{yaml_where(file_, node.mark) + ": " + text};
  }
  Error error(const YamlNode& node, const char* field, const std::string& text) const {
    const YamlNode* value = node.find(field);
    return error(value == nullptr ? node : *value, field + (": " + text));
  }

  // The `inner` map of the element of `list` with that name.
  Result<const YamlNode*> named(const char* list, const std::string& name,
                                const char* inner) const {
    const YamlNode* elements = root_.kind == YamlNode::Kind::map ? root_.find(list) : nullptr;
    if (elements != nullptr && elements->kind == YamlNode::Kind::sequence) {
      for (const YamlNode& element : elements->items) {
        if (name.empty() || text_of(element, "name") != name) continue;
        const YamlNode* found = element.find(inner);
        if (found != nullptr && found->kind == YamlNode::Kind::map) return found;
      }
    }
    return error(elements == nullptr ? root_ : *elements,
                 std::string(list) + ": there is no " + inner + " \"" + name + "\"");
  }

  std::string resolved(const std::string& path) const {
    return (std::filesystem::path(file_).parent_path() / path).string();
  }

  // FIELD-data goes before FIELD, as in kubectl.
  Status read_pem(const YamlNode& node, const std::string& field, PemSource* pem) const {
    const std::string data_field = field + "-data";
    if (has(node, data_field.c_str())) {
      Result<std::string> text = from_base64(text_of(node, data_field.c_str()));
      if (!text) return error(node, data_field.c_str(), text.error());
      pem->text = std::move(*text);
    } else if (const std::string path = text_of(node, field.c_str()); !path.empty()) {
      pem->file = resolved(path);
    }
    return Ok{};
  }

  Status read_server(const YamlNode& node) {
    const std::string server = text_of(node, "server");
    const auto url = boost::urls::parse_uri(server);
    const bool known = url.has_value() && (url->scheme() == "https" || url->scheme() == "http") &&
                       !url->host().empty() && !url->has_userinfo() && !url->has_query() &&
                       (url->port().empty() || url->port_number() != 0);
    if (!known) {
      return error(node, "server", "\"" + server + "\" is not a URL such as https://10.0.0.1:6443");
    }
    access_.tls = url->scheme() == "https";
    access_.host = url->host_address();
    access_.port = url->port();
    if (access_.port.empty()) access_.port = access_.tls ? "443" : "80";
    access_.path_prefix = url->encoded_path();
    while (access_.path_prefix.ends_with('/')) access_.path_prefix.pop_back();
    return Ok{};
  }

  Status read_cluster(const YamlNode& node) {
    if (const Status status = read_server(node); !status) return status;
    if (!text_of(node, "proxy-url").empty()) {
      return error(node, "proxy-url",
                   "proxies are not supported; the API server must be reachable");
    }
    access_.tls_server_name = text_of(node, "tls-server-name");
    const std::string skip = text_of(node, "insecure-skip-tls-verify");
    if (!skip.empty() && !yaml_is_bool(skip, &access_.skip_tls_verify)) {
      return error(node, "insecure-skip-tls-verify", "is neither true nor false");
    }
    if (access_.skip_tls_verify) {
      spdlog::warn(
          "ANYBODY CAN POSE AS THE API SERVER: its certificate is not verified server={} file={} "
          "hint=\"remove insecure-skip-tls-verify and set certificate-authority\"",
          access_.url(), file_);
    }
    return read_pem(node, "certificate-authority", &access_.ca);
  }

  Status read_user(const YamlNode& node) {
    for (const char* field : {"exec", "auth-provider"}) {
      if (has(node, field)) {
        return error(
            node, field,
            std::string("programs that fetch credentials are not run") + kServiceAccountAdvice);
      }
    }
    for (const char* field : {"username", "password"}) {
      if (has(node, field)) {
        return error(
            node, field,
            std::string("basic authentication is no longer in Kubernetes") + kServiceAccountAdvice);
      }
    }
    if (has(node, "as")) return error(node, "as", "impersonation is not supported");
    if (const Status s = read_pem(node, "client-certificate", &access_.client_certificate); !s)
      return s;
    if (const Status s = read_pem(node, "client-key", &access_.client_key); !s) return s;
    if (access_.client_certificate.empty() != access_.client_key.empty()) {
      return error(node, "client-certificate and client-key go together; one is missing");
    }
    access_.token = text_of(node, "token");
    for (const char c : access_.token) {
      if (c <= ' ' || c > 126) return error(node, "token", "is not a bearer token");
    }
    if (const std::string path = text_of(node, "tokenFile"); !path.empty()) {
      access_.token_file = resolved(path);
    }
    return Ok{};
  }

  const YamlNode& root_;
  const std::string& file_;
  ServerAccess access_;
};

}  // namespace

Result<ServerAccess> kubeconfig_access(const std::string& file, const std::string& context) {
  const Result<std::string> text = read_text_file(file, kFileBytes);
  if (!text) return Error{"cannot read the kubeconfig: " + text.error()};
  const auto documents = parse_yaml(*text, file);
  if (!documents) return Error{documents.error()};
  if (documents->size() != 1 || documents->front().kind != YamlNode::Kind::map) {
    return Error{file + ": is not a kubeconfig: one map with clusters, users and contexts"};
  }
  return KubeconfigReader(documents->front(), file).read(context);
}

}  // namespace sluice::kube
