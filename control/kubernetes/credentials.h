// Credentials: where the API server is, and how a client shows who it is.
// Two origins: the files of a pod's service account ("in-cluster configuration") and a kubeconfig
// file. What is read from files is read again as they change: tokens rotate, certificates renew.
// Ownership: by value. Thread: any, one at a time; reading the (small, bounded) files blocks.
// Errors: name the file and field, say what is right, and never show a token or key. Source:
// kubernetes.io/docs: "Accessing the API from a Pod", "Organizing Cluster Access Using kubeconfig".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "proto/result.h"

namespace sluice::kube {

// One PEM text: given as such, or in a file that may change. Neither: none.
struct PemSource {
  std::string text;
  std::string file;
  bool empty() const { return text.empty() && file.empty(); }
};

struct ServerAccess {
  bool tls = true;               // False: plain http, only ever to a loopback address.
  std::string host;              // Name or address, without brackets.
  std::string port;              // Decimal.
  std::string path_prefix;       // Put before every path: "" or "/k8s/clusters/c-1".
  std::string tls_server_name;   // The name the certificate must have; empty: `host`.
  bool skip_tls_verify = false;  // Anybody may pose as the server: logged loudly.
  PemSource ca;                  // Certificates to trust; none: the system's.
  PemSource client_certificate;  // With its key, or neither.
  PemSource client_key;
  std::string token;              // Bearer token; token_file goes first.
  std::string token_file;         // Read again as it rotates.
  std::string default_namespace;  // Of the service account or context; may be empty.
  std::string origin;             // For people: "kubeconfig FILE, context NAME".

  std::string url() const;  // "https://host:port/prefix", for messages.
};

struct InClusterPlaces {
  std::string directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::optional<std::string> host;  // Absent: of the environment, KUBERNETES_SERVICE_HOST.
  std::optional<std::string> port;  // Absent: of the environment, KUBERNETES_SERVICE_PORT.
};
// Whether this process looks like a pod's: both variables of the environment are set.
bool in_cluster();
Result<ServerAccess> in_cluster_access(const InClusterPlaces& places = {});
// `context` empty: the file's current-context. Relative paths in it are relative to its folder.
// Refused with what to do instead: exec, auth-provider, username, proxy-url.
Result<ServerAccess> kubeconfig_access(const std::string& file, const std::string& context = "");

// What a TLS client needs, as PEM texts; empty where there is none.
struct TlsMaterial {
  std::string ca;
  std::string client_certificate;
  std::string client_key;
  friend bool operator==(const TlsMaterial&, const TlsMaterial&) = default;
};

// The access with its files as they are now.
class Credentials {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kRereadInterval{10};

  explicit Credentials(ServerAccess access);

  const ServerAccess& access() const { return access_; }
  // Bearer token, empty if there is none. A file is read at most every kRereadInterval. When it
  // cannot be read the last token stays in use; an Error if there was none.
  Result<std::string> token(Clock::time_point now);
  // After a 401: reads the file at once. True if the token is another one now.
  bool reread_token(Clock::time_point now);
  // Read at most every kRereadInterval, or at once if `force`. As with the token, the last good
  // material stays in use.
  Result<TlsMaterial> tls(Clock::time_point now, bool force = false);

 private:
  ServerAccess access_;
  std::string token_;
  std::optional<Clock::time_point> token_read_;
  std::optional<TlsMaterial> material_;
  Clock::time_point material_read_;
};

}  // namespace sluice::kube
