// Fields that Kubernetes has and Sluice makes no use of. Thread: any, pure.
// Source: Kubernetes API reference 1.32, core/v1 and discovery.k8s.io/v1.
#pragma once

#include <string>

#include "store.pb.h"

namespace sluice {

// `path` from the object's root, elements of lists as "[]": "spec.containers[].image".
bool is_passed_over(v1::Kind kind, const std::string& path);

}  // namespace sluice
