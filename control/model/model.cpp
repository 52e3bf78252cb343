#include "control/model/model.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <initializer_list>

namespace sluice {
namespace {

constexpr const char* kServiceNameLabel = "kubernetes.io/service-name";

std::string service_of_slice(const v1::Object& object) {
  const auto& labels = object.endpoint_slice().metadata().labels();
  const auto label = labels.find(kServiceNameLabel);
  return label == labels.end() ? "" : label->second;
}

// Maps of messages have no order; which term stands for a selector must not depend on it.
std::pair<std::string, std::string> first_term(const v1::Service& service) {
  const auto& selector = service.spec().selector();
  const auto least =
      std::min_element(selector.begin(), selector.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
  return {least->first, least->second};
}

template <typename Map, typename Key>
void erase_from(Map* map, const Key& key, const std::string& name) {
  const auto at = map->find(key);
  if (at == map->end()) return;
  at->second.erase(name);
  if (at->second.empty()) map->erase(at);
}

}  // namespace

bool selector_matches(const v1::Service& service, const v1::ObjectMeta& pod) {
  const auto& selector = service.spec().selector();
  return !selector.empty() && std::all_of(selector.begin(), selector.end(), [&](const auto& term) {
    const auto label = pod.labels().find(term.first);
    return label != pod.labels().end() && label->second == term.second;
  });
}

void Model::upsert(const ObjectKey& key, ObjectPointer object) {
  Source& source = sources_[key.source];
  ObjectPointer& place = source.objects[key.kind][{key.ns, key.name}];
  if (place != nullptr) {
    if (google::protobuf::util::MessageDifferencer::Equals(*place, *object)) return;
    mark_changed(source, key, *place);
    unindex(source, key, *place);
  }
  place = std::move(object);
  index(source, key, *place);
  mark_changed(source, key, *place);
}

void Model::remove(const ObjectKey& key) {
  Source& source = sources_[key.source];
  auto& objects = source.objects[key.kind];
  const auto at = objects.find({key.ns, key.name});
  if (at == objects.end()) return;
  mark_changed(source, key, *at->second);
  unindex(source, key, *at->second);
  objects.erase(at);
}

void Model::set_complete(const std::string& name, v1::Kind kind, bool complete) {
  Source& source = sources_[name];
  const bool changed =
      complete ? source.complete.insert(kind).second : source.complete.erase(kind) > 0;
  if (!changed) return;
  completeness_changed_ = true;
  for (const auto& [key, service] : source.objects[v1::KIND_SERVICE]) {
    changed_.insert({name, key.first, key.second});
  }
}

bool Model::complete(const std::string& source, v1::Kind kind) const {
  const auto at = sources_.find(source);
  return at != sources_.end() && at->second.complete.contains(kind);
}

ObjectPointer Model::find(const ObjectKey& key) const {
  const auto source = sources_.find(key.source);
  if (source == sources_.end()) return nullptr;
  const auto kind = source->second.objects.find(key.kind);
  if (kind == source->second.objects.end()) return nullptr;
  const auto at = kind->second.find({key.ns, key.name});
  return at == kind->second.end() ? nullptr : at->second;
}

std::vector<ObjectPointer> Model::list(const std::string& source_name, v1::Kind kind) const {
  std::vector<ObjectPointer> result;
  const auto source = sources_.find(source_name);
  if (source == sources_.end()) return result;
  const auto objects = source->second.objects.find(kind);
  if (objects == source->second.objects.end()) return result;
  for (const auto& [key, object] : objects->second) result.push_back(object);
  return result;
}

std::set<std::string> Model::sources() const {
  std::set<std::string> names;
  for (const auto& [name, source] : sources_) names.insert(name);
  return names;
}

std::vector<ServiceKey> Model::services() const {
  std::vector<ServiceKey> keys;
  for (const auto& [name, source] : sources_) {
    const auto objects = source.objects.find(v1::KIND_SERVICE);
    if (objects == source.objects.end()) continue;
    for (const auto& [key, object] : objects->second) keys.push_back({name, key.first, key.second});
  }
  return keys;
}

std::map<std::string, ObjectPointer> Model::pools() const {
  std::map<std::string, ObjectPointer> pools;
  for (const ObjectPointer& pool : list(kManualSource, v1::KIND_ADDRESS_POOL)) {
    pools[pool->address_pool().metadata().name()] = pool;
  }
  return pools;
}

ServiceInputs Model::inputs(const ServiceKey& key) const {
  ServiceInputs inputs;
  inputs.key = key;
  inputs.service = find({key.source, v1::KIND_SERVICE, key.ns, key.name});
  inputs.endpoints = find({key.source, v1::KIND_ENDPOINTS, key.ns, key.name});
  const auto all_complete = [&](std::initializer_list<v1::Kind> kinds) {
    return std::all_of(kinds.begin(), kinds.end(),
                       [&](v1::Kind kind) { return complete(key.source, kind); });
  };
  inputs.endpoints_known = all_complete({v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE});
  const auto source = sources_.find(key.source);
  if (source == sources_.end()) return inputs;
  const auto ns = source->second.namespaces.find(key.ns);
  if (ns != source->second.namespaces.end()) {
    const auto slices = ns->second.slices_by_service.find(key.name);
    if (slices != ns->second.slices_by_service.end()) {
      for (const std::string& name : slices->second) {
        inputs.slices.push_back(find({key.source, v1::KIND_ENDPOINT_SLICE, key.ns, name}));
      }
    }
  }
  if (key.source != kManualSource || inputs.service == nullptr) return inputs;
  const v1::Service& service = inputs.service->service();
  if (service.spec().selector().empty()) {
    inputs.endpoints_known = inputs.endpoints_known && all_complete({v1::KIND_ENDPOINTS});
    return inputs;
  }
  inputs.endpoints_known = inputs.endpoints_known && all_complete({v1::KIND_POD});
  if (ns == source->second.namespaces.end()) return inputs;
  const auto candidates = ns->second.pods_by_label.find(first_term(service));
  if (candidates == ns->second.pods_by_label.end()) return inputs;
  for (const std::string& name : candidates->second) {
    ObjectPointer pod = find({key.source, v1::KIND_POD, key.ns, name});
    if (selector_matches(service, pod->pod().metadata())) inputs.pods.push_back(std::move(pod));
  }
  return inputs;
}

void Model::index(Source& source, const ObjectKey& key, const v1::Object& object) {
  Namespace& ns = source.namespaces[key.ns];
  if (object.has_pod()) {
    for (const auto& [label, value] : object.pod().metadata().labels()) {
      ns.pods_by_label[{label, value}].insert(key.name);
    }
  } else if (object.has_service() && !object.service().spec().selector().empty()) {
    ns.services_by_term[first_term(object.service())].insert(key.name);
  } else if (object.has_endpoint_slice()) {
    if (const std::string service = service_of_slice(object); !service.empty()) {
      ns.slices_by_service[service].insert(key.name);
    }
  }
}

void Model::unindex(Source& source, const ObjectKey& key, const v1::Object& object) {
  Namespace& ns = source.namespaces[key.ns];
  if (object.has_pod()) {
    for (const auto& [label, value] : object.pod().metadata().labels()) {
      erase_from(&ns.pods_by_label, Term{label, value}, key.name);
    }
  } else if (object.has_service() && !object.service().spec().selector().empty()) {
    erase_from(&ns.services_by_term, first_term(object.service()), key.name);
  } else if (object.has_endpoint_slice()) {
    erase_from(&ns.slices_by_service, service_of_slice(object), key.name);
  }
}

void Model::mark_changed(const Source& source, const ObjectKey& key, const v1::Object& object) {
  const auto mark = [&](const std::string& name) { changed_.insert({key.source, key.ns, name}); };
  if (object.has_service() || object.has_endpoints()) {
    mark(key.name);
  } else if (object.has_endpoint_slice()) {
    if (const std::string service = service_of_slice(object); !service.empty()) mark(service);
  } else if (object.has_address_pool()) {
    pools_changed_ = true;
  } else if (object.has_node()) {
    changed_nodes_.insert({key.source, key.name});
  } else if (object.has_namespace_()) {
    namespaces_changed_ = true;
  } else if (object.has_pod()) {
    const auto ns = source.namespaces.find(key.ns);
    if (ns == source.namespaces.end()) return;
    for (const auto& [label, value] : object.pod().metadata().labels()) {
      const auto services = ns->second.services_by_term.find({label, value});
      if (services == ns->second.services_by_term.end()) continue;
      for (const std::string& name : services->second) {
        const ObjectPointer service = find({key.source, v1::KIND_SERVICE, key.ns, name});
        if (selector_matches(service->service(), object.pod().metadata())) mark(name);
      }
    }
  }
}

}  // namespace sluice
