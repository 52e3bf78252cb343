// ClusterCache: the cluster's objects as last seen, encoded as they are published.
// Purpose: what reflectors tell becomes one set per kind, and "this one may differ from Redis now".
// Ownership: by value; refers to the observer. Thread: one. Bounds: the encoded bytes of what the
// API server has. Errors: an object that cannot be used stays as it was last usable, or, if it
// never was, as Redis has it; so does all that is missing from a list with a nameless object in it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/agent/write_back.h"
#include "control/kubernetes/reflector.h"
#include "control/model/key.h"

namespace sluice::agent {

// The kinds an agent publishes.
inline constexpr std::array kPublishedKinds = {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE,
                                               v1::KIND_NODE, v1::KIND_NAMESPACE};

struct CachedObject {
  std::string uid;
  std::string resource_version;
  // As published, shared with who is publishing it; null: it exists, and was never usable.
  std::shared_ptr<const std::string> bytes;
  std::string conditions;  // Of a Service: a ServiceObjectStatus with what is not published.
  std::uint64_t list = 0;  // The list that last named it.
  bool unusable = false;   // What the server has now cannot be used.

  std::size_t size() const { return bytes ? bytes->size() : 0; }
};

class CacheObserver {
 public:
  using Time = std::chrono::steady_clock::time_point;
  virtual ~CacheObserver() = default;
  // The object is another one, or gone (then with the uid it had).
  virtual void on_differs(const ObjectKey& key, const std::string& uid, Time arrived) = 0;
  // Something of a Service changed, published or not.
  virtual void on_service(const ServiceName& name) = 0;
  virtual void on_listed(v1::Kind kind) = 0;
};

// By kind, for metrics and readiness.
struct KindState {
  bool synced = false;  // A whole list has been seen.
  std::uint64_t lists = 0, events = 0;
  std::size_t objects = 0, unusable = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::uint64_t> errors;                   // By their word.
  std::string last_error;                                        // Empty again after contact.
  std::optional<std::chrono::steady_clock::time_point> contact;  // Last event, bookmark or list.
};

class ClusterCache final : public ClusterServices {
 public:
  // `writer` is "program version", as published objects name it.
  ClusterCache(std::string source, std::string writer, CacheObserver& observer);
  ~ClusterCache() override;

  kube::ReflectorHandler& handler(v1::Kind kind);  // One of kPublishedKinds.

  bool synced() const;  // All kinds.
  // UID of namespace kube-system: the cluster's identity. Empty if there is none.
  std::string cluster_uid() const;
  const CachedObject* find(const ObjectKey& key) const;
  void for_each(const std::function<void(const ObjectKey&, const CachedObject&)>& visit) const;
  // Whether the kind's last list named all there is.
  bool absence_proven(v1::Kind kind) const;
  KindState state(v1::Kind kind) const;

  bool services_synced() const override;
  std::optional<SeenService> find_service(const std::string& ns,
                                          const std::string& name) const override;
  std::vector<ServiceName> service_names() const override;

 private:
  class KindCache;
  const KindCache& of(v1::Kind kind) const;

  std::string source_;
  std::array<std::unique_ptr<KindCache>, kPublishedKinds.size()> kinds_;
};

}  // namespace sluice::agent
