// Writing the status of one Service: requests to the subresource services/status.
// Purpose: addresses by a merge patch, conditions by server-side apply under our field manager;
// both carry uid and resourceVersion of what the decision was made on, so that the API server
// refuses a stale one (409), in particular of an agent that no longer leads. Pure. Ownership: by
// value. Thread: the executor's. Errors: the Response tells. Source: Kubernetes API concepts
// (patch, server-side apply, resourceVersion).
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "control/kubernetes/api_call.h"
#include "control/kubernetes/status_decision.h"

namespace sluice::kube {

inline constexpr const char* kFieldManager = "sluice-agent";

Request ingress_patch(const ServiceView& service,
                      const std::vector<v1::LoadBalancerIngress>& ingress);
Request conditions_apply(const ServiceView& service, const std::vector<v1::Condition>& conditions);
Request service_get(const std::string& ns, const std::string& name);

// What came of a request about one Service.
enum class Outcome {
  kDone,     // `service` is what the API server has now.
  kStale,    // 409: read again and decide again.
  kGone,     // 404: there is no such Service.
  kRefused,  // 422, 400: the server does not take it; read again, and not soon.
  kDenied,   // 401, 403: our rights.
  kFailed,   // Anything else: try again later.
};
struct Written {
  Outcome outcome = Outcome::kFailed;
  ServiceView service;
  std::string error;
  std::chrono::milliseconds retry_after{0};  // As the server asked, at most an hour.
};
Written read_answer(const Response& response, const ServedClasses& served);

}  // namespace sluice::kube
