#include "control/agent/cluster_cache.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "config/logging.h"
#include "control/agent/published.h"
#include "control/store/keys.h"

namespace sluice::agent {

using kube::Decoded;
using Clock = std::chrono::steady_clock;

class ClusterCache::KindCache final : public kube::ReflectorHandler {
 public:
  KindCache(std::string source, std::string writer, v1::Kind kind, CacheObserver& observer)
      : source_(std::move(source)), writer_(std::move(writer)), kind_(kind), observer_(observer) {}

  void on_list_begin() override {
    ++list_;
    listing_nameless_ = false;
  }
  void on_item(Decoded decoded) override { store(std::move(decoded), Clock::now()); }
  void on_list_end() override;
  void on_change(Decoded decoded, Time arrived) override {
    ++state_.events;
    store(std::move(decoded), arrived);
  }
  void on_delete(Decoded decoded, Time arrived) override;
  void on_contact() override {
    state_.contact = Clock::now();
    state_.last_error.clear();
  }
  void on_error(const std::string& kind, const std::string& text) override;

  std::string name_of(const ObjectKey& key) const { return key.ns + "/" + key.name; }
  ObjectKey key_of(const std::string& name) const {
    const std::size_t slash = name.find('/');
    return {source_, kind_, name.substr(0, slash), name.substr(slash + 1)};
  }

  using Objects = std::unordered_map<std::string, CachedObject>;
  Objects objects_;  // By "NAMESPACE/NAME".
  KindState state_;
  bool nameless_ = false;  // The last whole list had an object whose name could not be read.

 private:
  void store(Decoded decoded, Time arrived);
  void unusable(const std::string& name, const Decoded& decoded);
  Objects::iterator erase(Objects::iterator found, Time arrived);
  void tell_service(const std::string& name) {
    if (kind_ != v1::KIND_SERVICE) return;
    const ObjectKey key = key_of(name);
    observer_.on_service({key.ns, key.name});
  }

  const std::string source_, writer_;
  const v1::Kind kind_;
  CacheObserver& observer_;
  std::uint64_t list_ = 0;
  bool listing_nameless_ = false;
  LogLimiter unusable_log_, error_log_;
};

void ClusterCache::KindCache::store(Decoded decoded, Time arrived) {
  v1::ObjectMeta* metadata = mutable_metadata_of(&decoded.object);
  if (metadata == nullptr || metadata->name().empty()) {
    listing_nameless_ = nameless_ = true;
    unusable("", decoded);
    return;
  }
  const std::string name = metadata->namespace_() + "/" + metadata->name();
  CachedObject& entry = objects_[name];
  entry.list = list_;
  if (entry.unusable) --state_.unusable;
  entry.unusable = !decoded.error.empty();
  if (entry.unusable) {
    ++state_.unusable;
    unusable(name, decoded);
    return;
  }
  for (const std::string& problem : decoded.problems) {
    if (const auto left_out = unusable_log_.admit())
      spdlog::warn("left out kind={} object={} problem=\"{}\" left_out={}", kind_name(kind_), name,
                   problem, *left_out);
  }
  bool seen_before = entry.resource_version == metadata->resource_version();
  entry.resource_version = metadata->resource_version();
  entry.uid = metadata->uid();
  if (decoded.object.has_service()) {
    v1::ServiceObjectStatus rest;
    *rest.mutable_conditions() = decoded.object.service().status().conditions();
    std::string conditions = rest.SerializeAsString();
    seen_before = seen_before && conditions == entry.conditions;
    entry.conditions = std::move(conditions);
  }
  std::string bytes = encode_published(std::move(decoded.object), writer_);
  if (entry.bytes == nullptr || bytes != *entry.bytes) {
    seen_before = false;
    state_.bytes += bytes.size();
    state_.bytes -= entry.size();
    bytes.shrink_to_fit();
    entry.bytes = std::make_shared<const std::string>(std::move(bytes));
    observer_.on_differs(key_of(name), entry.uid, arrived);
  }
  if (!seen_before) tell_service(name);
}

void ClusterCache::KindCache::unusable(const std::string& name, const Decoded& decoded) {
  ++state_.errors["unusable"];
  if (const auto left_out = unusable_log_.admit()) {
    spdlog::error(
        "unusable object, its last good state is kept kind={} object={} problem=\"{}\" "
        "left_out={}",
        kind_name(kind_), name, decoded.error, *left_out);
  }
}

ClusterCache::KindCache::Objects::iterator ClusterCache::KindCache::erase(Objects::iterator found,
                                                                          Time arrived) {
  const std::string name = found->first;
  const std::string uid = found->second.uid;
  state_.bytes -= found->second.size();
  if (found->second.unusable) --state_.unusable;
  const auto next = objects_.erase(found);
  observer_.on_differs(key_of(name), uid, arrived);
  tell_service(name);
  return next;
}

void ClusterCache::KindCache::on_list_end() {
  nameless_ = listing_nameless_;
  const auto now = Clock::now();
  for (auto entry = objects_.begin(); entry != objects_.end() && !nameless_;) {
    entry = entry->second.list == list_ ? std::next(entry) : erase(entry, now);
  }
  ++state_.lists;
  state_.synced = true;
  observer_.on_listed(kind_);
}

void ClusterCache::KindCache::on_delete(Decoded decoded, Time arrived) {
  ++state_.events;
  const v1::ObjectMeta* metadata = metadata_of(decoded.object);
  if (metadata == nullptr || metadata->name().empty()) {
    unusable("", decoded);
    return;
  }
  const auto found = objects_.find(metadata->namespace_() + "/" + metadata->name());
  if (found != objects_.end()) erase(found, arrived);
}

void ClusterCache::KindCache::on_error(const std::string& kind, const std::string& text) {
  ++state_.errors[kind];
  state_.last_error = text;
  if (const auto left_out = error_log_.admit()) {
    spdlog::warn("watch kind={} error={} text=\"{}\" left_out={}", kind_name(kind_), kind, text,
                 *left_out);
  }
}

ClusterCache::ClusterCache(std::string source, std::string writer, CacheObserver& observer)
    : source_(std::move(source)) {
  for (std::size_t i = 0; i < kPublishedKinds.size(); ++i) {
    kinds_[i] = std::make_unique<KindCache>(source_, writer, kPublishedKinds[i], observer);
  }
}

ClusterCache::~ClusterCache() = default;

const ClusterCache::KindCache& ClusterCache::of(v1::Kind kind) const {
  const auto found = std::ranges::find(kPublishedKinds, kind);
  return *kinds_[static_cast<std::size_t>(found - kPublishedKinds.begin())];
}

kube::ReflectorHandler& ClusterCache::handler(v1::Kind kind) {
  return const_cast<KindCache&>(of(kind));
}

bool ClusterCache::synced() const {
  return std::ranges::all_of(kinds_, [](const auto& kind) { return kind->state_.synced; });
}

std::string ClusterCache::cluster_uid() const {
  const auto& namespaces = of(v1::KIND_NAMESPACE).objects_;
  const auto found = namespaces.find("/kube-system");
  return found == namespaces.end() ? std::string() : found->second.uid;
}

const CachedObject* ClusterCache::find(const ObjectKey& key) const {
  const KindCache& kind = of(key.kind);
  const auto found = kind.objects_.find(kind.name_of(key));
  return found == kind.objects_.end() ? nullptr : &found->second;
}

void ClusterCache::for_each(
    const std::function<void(const ObjectKey&, const CachedObject&)>& visit) const {
  for (const auto& kind : kinds_) {
    for (const auto& [name, object] : kind->objects_) visit(kind->key_of(name), object);
  }
}

bool ClusterCache::absence_proven(v1::Kind kind) const {
  return !of(kind).nameless_;
}

KindState ClusterCache::state(v1::Kind kind) const {
  KindState state = of(kind).state_;
  state.objects = of(kind).objects_.size();
  return state;
}

bool ClusterCache::services_synced() const {
  return of(v1::KIND_SERVICE).state_.synced;
}

std::optional<SeenService> ClusterCache::find_service(const std::string& ns,
                                                      const std::string& name) const {
  const CachedObject* found = find({source_, v1::KIND_SERVICE, ns, name});
  if (found == nullptr || found->bytes == nullptr) return std::nullopt;
  v1::Object object;
  v1::ServiceObjectStatus rest;
  if (!object.ParseFromString(*found->bytes) || !rest.ParseFromString(found->conditions))
    return std::nullopt;
  SeenService seen;
  seen.resource_version = found->resource_version;
  seen.service = std::move(*object.mutable_service());
  seen.service.mutable_metadata()->set_resource_version(found->resource_version);
  if (rest.conditions_size() > 0) seen.service.mutable_status()->MergeFrom(rest);
  return seen;
}

std::vector<ServiceName> ClusterCache::service_names() const {
  std::vector<ServiceName> names;
  const KindCache& services = of(v1::KIND_SERVICE);
  names.reserve(services.objects_.size());
  for (const auto& [name, object] : services.objects_) {
    ObjectKey key = services.key_of(name);
    names.push_back({std::move(key.ns), std::move(key.name)});
  }
  return names;
}

}  // namespace sluice::agent
