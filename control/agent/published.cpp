#include "control/agent/published.h"

#include <algorithm>
#include <utility>

#include "control/model/key.h"
#include "control/store/objects.h"

namespace sluice::agent {
namespace {

constexpr const char* kTriggerTime = "endpoints.kubernetes.io/last-change-trigger-time";

void keep_ready(v1::NodeStatus* status) {
  auto* conditions = status->mutable_conditions();
  const auto rest = std::remove_if(conditions->begin(), conditions->end(),
                                   [](const v1::NodeCondition& c) { return c.type() != "Ready"; });
  conditions->erase(rest, conditions->end());
  for (v1::NodeCondition& ready : *conditions) {
    ready.clear_reason();
    ready.clear_message();
  }
}

}  // namespace

void keep_what_gateways_read(v1::Object* object) {
  v1::ObjectMeta* metadata = mutable_metadata_of(object);
  if (metadata == nullptr) return;
  metadata->clear_resource_version();
  metadata->mutable_annotations()->erase(kTriggerTime);
  if (object->has_service() && object->service().has_status()) {
    object->mutable_service()->mutable_status()->clear_conditions();
  }
  if (object->has_node() && object->node().has_status()) {
    keep_ready(object->mutable_node()->mutable_status());
  }
}

std::string encode_published(v1::Object object, const std::string& writer) {
  keep_what_gateways_read(&object);
  store::stamp(object.mutable_header(), writer);
  return store::encode(object);
}

}  // namespace sluice::agent
