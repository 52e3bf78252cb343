// Names of objects: which source, which kind, which namespace and name.
// Ownership: by value. Thread: any. Namespace is empty for cluster-scoped kinds.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "store.pb.h"

namespace sluice {

inline constexpr const char* kManualSource = "manual";

struct ObjectKey {
  std::string source;  // "manual" or a cluster's name.
  v1::Kind kind = v1::KIND_UNSPECIFIED;
  std::string ns;
  std::string name;

  std::string text() const;  // "SOURCE/Kind/NAMESPACE/NAME".
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
  friend bool operator==(const ObjectKey&, const ObjectKey&) = default;
};

struct ServiceKey {
  std::string source;
  std::string ns;
  std::string name;

  std::string text() const { return source + "/" + ns + "/" + name; }  // As in Vip.service.
  friend auto operator<=>(const ServiceKey&, const ServiceKey&) = default;
  friend bool operator==(const ServiceKey&, const ServiceKey&) = default;
};

// "Service", "EndpointSlice", ... as manifests spell it.
const char* kind_name(v1::Kind kind);
std::optional<v1::Kind> kind_from_name(std::string_view name);
bool kind_is_namespaced(v1::Kind kind);

v1::Kind kind_of(const v1::Object& object);
// Null for an Object without content.
const v1::ObjectMeta* metadata_of(const v1::Object& object);
v1::ObjectMeta* mutable_metadata_of(v1::Object* object);
ObjectKey key_of(const std::string& source, const v1::Object& object);

}  // namespace sluice

template <>
struct std::hash<sluice::ObjectKey> {
  std::size_t operator()(const sluice::ObjectKey& k) const noexcept {
    const std::hash<std::string> h;
    std::size_t value = h(k.source) * 31 + static_cast<std::size_t>(k.kind);
    value = value * 1000003 + h(k.ns);
    return value * 1000003 + h(k.name);
  }
};
