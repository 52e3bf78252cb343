#include "control/manifest/passed_over.h"

#include <algorithm>
#include <span>
#include <string_view>

namespace sluice {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::string_view kMetadata[] = {
    "generateName",    "selfLink",   "deletionGracePeriodSeconds",
    "ownerReferences", "finalizers", "managedFields"};
constexpr std::string_view kReference[] = {"apiVersion", "resourceVersion", "fieldPath"};
constexpr std::string_view kPodSpec[] = {"volumes",
                                         "ephemeralContainers",
                                         "restartPolicy",
                                         "terminationGracePeriodSeconds",
                                         "activeDeadlineSeconds",
                                         "dnsPolicy",
                                         "nodeSelector",
                                         "serviceAccountName",
                                         "serviceAccount",
                                         "automountServiceAccountToken",
                                         "hostPID",
                                         "hostIPC",
                                         "shareProcessNamespace",
                                         "securityContext",
                                         "imagePullSecrets",
                                         "affinity",
                                         "schedulerName",
                                         "tolerations",
                                         "hostAliases",
                                         "priorityClassName",
                                         "priority",
                                         "dnsConfig",
                                         "readinessGates",
                                         "runtimeClassName",
                                         "enableServiceLinks",
                                         "preemptionPolicy",
                                         "overhead",
                                         "topologySpreadConstraints",
                                         "setHostnameAsFQDN",
                                         "os",
                                         "hostUsers",
                                         "schedulingGates",
                                         "resourceClaims",
                                         "resources",
                                         "hostnameOverride"};
constexpr std::string_view kContainer[] = {"image",
                                           "command",
                                           "args",
                                           "workingDir",
                                           "envFrom",
                                           "env",
                                           "resources",
                                           "resizePolicy",
                                           "volumeMounts",
                                           "volumeDevices",
                                           "livenessProbe",
                                           "readinessProbe",
                                           "startupProbe",
                                           "lifecycle",
                                           "terminationMessagePath",
                                           "terminationMessagePolicy",
                                           "imagePullPolicy",
                                           "securityContext",
                                           "stdin",
                                           "stdinOnce",
                                           "tty",
                                           "restartPolicyRules"};
constexpr std::string_view kPodStatus[] = {"message",
                                           "reason",
                                           "nominatedNodeName",
                                           "hostIP",
                                           "hostIPs",
                                           "startTime",
                                           "initContainerStatuses",
                                           "containerStatuses",
                                           "qosClass",
                                           "ephemeralContainerStatuses",
                                           "resize",
                                           "resourceClaimStatuses",
                                           "observedGeneration",
                                           "allocatedResources",
                                           "resources"};
constexpr std::string_view kPodCondition[] = {"lastProbeTime", "lastTransitionTime",
                                              "observedGeneration"};
constexpr std::string_view kNodeSpec[] = {"providerID", "taints", "configSource", "externalID"};
constexpr std::string_view kNodeStatus[] = {
    "capacity",     "allocatable",     "phase",  "daemonEndpoints", "nodeInfo", "images",
    "volumesInUse", "volumesAttached", "config", "runtimeHandlers", "features", "declaredFeatures"};
constexpr std::string_view kNodeCondition[] = {"lastHeartbeatTime", "lastTransitionTime"};
constexpr std::string_view kContainerPort[] = {"hostIP"};
constexpr std::string_view kEndpoint[] = {"deprecatedTopology"};
constexpr std::string_view kHints[] = {"forNodes"};
constexpr std::string_view kNamespace[] = {"spec", "status"};

struct Place {
  v1::Kind kind;  // KIND_UNSPECIFIED: any.
  std::string_view parent;
  Names names;
};

constexpr Place kPlaces[] = {
    {v1::KIND_UNSPECIFIED, "metadata", kMetadata},
    {v1::KIND_NAMESPACE, "", kNamespace},
    {v1::KIND_ENDPOINT_SLICE, "endpoints[]", kEndpoint},
    {v1::KIND_ENDPOINT_SLICE, "endpoints[].hints", kHints},
    {v1::KIND_ENDPOINT_SLICE, "endpoints[].targetRef", kReference},
    {v1::KIND_ENDPOINTS, "subsets[].addresses[].targetRef", kReference},
    {v1::KIND_ENDPOINTS, "subsets[].notReadyAddresses[].targetRef", kReference},
    {v1::KIND_POD, "spec", kPodSpec},
    {v1::KIND_POD, "spec.containers[]", kContainer},
    {v1::KIND_POD, "spec.initContainers[]", kContainer},
    {v1::KIND_POD, "spec.containers[].ports[]", kContainerPort},
    {v1::KIND_POD, "spec.initContainers[].ports[]", kContainerPort},
    {v1::KIND_POD, "status", kPodStatus},
    {v1::KIND_POD, "status.conditions[]", kPodCondition},
    {v1::KIND_NODE, "spec", kNodeSpec},
    {v1::KIND_NODE, "status", kNodeStatus},
    {v1::KIND_NODE, "status.conditions[]", kNodeCondition},
};

}  // namespace

bool is_passed_over(v1::Kind kind, const std::string& path) {
  const std::string_view text = path;
  const auto dot = text.rfind('.');
  const auto parent = dot == std::string_view::npos ? std::string_view() : text.substr(0, dot);
  const auto name = dot == std::string_view::npos ? text : text.substr(dot + 1);
  return std::ranges::any_of(kPlaces, [&](const Place& place) {
    return (place.kind == kind || place.kind == v1::KIND_UNSPECIFIED) && place.parent == parent &&
           std::ranges::find(place.names, name) != place.names.end();
  });
}

}  // namespace sluice
