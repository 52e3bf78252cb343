// The objects of all sources as last read, what is complete, and which Services a change concerns.
// Ownership: shares the objects. Thread: one.
// An object that is not here is absent only if its source and kind are complete; else it is
// unknown.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/model/key.h"

namespace sluice {

using ObjectPointer = std::shared_ptr<const v1::Object>;

// All that decides what a Service's endpoints are.
struct ServiceInputs {
  ServiceKey key;
  ObjectPointer service;              // Null if there is none.
  std::vector<ObjectPointer> pods;    // That the selector matches, by name.
  std::vector<ObjectPointer> slices;  // Labelled kubernetes.io/service-name, by name.
  ObjectPointer endpoints;            // Of the Service's name; null if there are none.
  bool endpoints_known = false;       // The kinds they come from are complete.
};

class Model {
 public:
  void upsert(const ObjectKey& key, ObjectPointer object);
  void remove(const ObjectKey& key);
  void set_complete(const std::string& source, v1::Kind kind, bool complete);

  bool complete(const std::string& source, v1::Kind kind) const;
  ObjectPointer find(const ObjectKey& key) const;
  // In the order of namespace and name.
  std::vector<ObjectPointer> list(const std::string& source, v1::Kind kind) const;
  std::set<std::string> sources() const;
  std::vector<ServiceKey> services() const;
  std::map<std::string, ObjectPointer> pools() const;  // Of source manual, by name.

  ServiceInputs inputs(const ServiceKey& key) const;

  // Services whose inputs changed since the last call, deleted ones included.
  std::set<ServiceKey> take_changed() { return std::exchange(changed_, {}); }
  bool take_namespaces_changed() { return std::exchange(namespaces_changed_, false); }
  bool take_pools_changed() { return std::exchange(pools_changed_, false); }
  // Of which source, by name.
  using NodeKey = std::pair<std::string, std::string>;
  std::set<NodeKey> take_changed_nodes() { return std::exchange(changed_nodes_, {}); }
  // Whether all of some source's objects of a kind are known.
  bool take_completeness_changed() { return std::exchange(completeness_changed_, false); }

 private:
  using Term = std::pair<std::string, std::string>;     // Label and value.
  using NameKey = std::pair<std::string, std::string>;  // Namespace and name.
  struct Namespace {
    std::map<Term, std::set<std::string>> pods_by_label;  // Pod names.
    std::map<Term, std::set<std::string>>
        services_by_term;  // Services by the first term of their selector.
    std::map<std::string, std::set<std::string>> slices_by_service;
  };
  struct Source {
    std::map<v1::Kind, std::map<NameKey, ObjectPointer>> objects;
    std::map<std::string, Namespace> namespaces;
    std::set<v1::Kind> complete;
  };

  void unindex(Source& source, const ObjectKey& key, const v1::Object& object);
  void index(Source& source, const ObjectKey& key, const v1::Object& object);
  void mark_changed(const Source& source, const ObjectKey& key, const v1::Object& object);

  std::map<std::string, Source> sources_;
  std::set<ServiceKey> changed_;
  bool namespaces_changed_ = false;  // Labels that pools select by, or whether all are known.
  bool pools_changed_ = false;
  bool completeness_changed_ = false;
  std::set<NodeKey> changed_nodes_;
};

// The selector matches if every one of its labels is there. An empty one matches nothing.
bool selector_matches(const v1::Service& service, const v1::ObjectMeta& pod);

}  // namespace sluice
