#include "control/kubernetes/status_writer.h"

#include <boost/json.hpp>
#include <utility>

#include "control/kubernetes/api_json.h"

namespace sluice::kube {

namespace json = boost::json;

namespace {

std::string path_of(const std::string& ns, const std::string& name) {
  return "/api/v1/namespaces/" + query_escape(ns) + "/services/" + query_escape(name);
}

json::object precondition(const ServiceView& service) {
  json::object metadata;
  metadata["uid"] = service.uid;
  metadata["resourceVersion"] = service.resource_version;
  return metadata;
}

json::object to_json(const v1::LoadBalancerIngress& entry) {
  json::object out;
  if (!entry.ip().empty()) out["ip"] = entry.ip();
  if (!entry.hostname().empty()) out["hostname"] = entry.hostname();
  if (entry.has_ip_mode()) out["ipMode"] = entry.ip_mode();
  json::array ports;
  for (const v1::PortStatus& port : entry.ports()) {
    json::object item;
    item["port"] = port.port();
    item["protocol"] = port.protocol();
    if (port.has_error()) item["error"] = port.error();
    ports.push_back(std::move(item));
  }
  if (!ports.empty()) out["ports"] = std::move(ports);
  return out;
}

json::object to_json(const v1::Condition& condition) {
  json::object out;
  out["type"] = condition.type();
  out["status"] = condition.status();
  out["reason"] = condition.reason();
  out["message"] = condition.message();
  out["lastTransitionTime"] = condition.last_transition_time();
  if (condition.observed_generation() > 0)
    out["observedGeneration"] = condition.observed_generation();
  return out;
}

}  // namespace

Request ingress_patch(const ServiceView& service,
                      const std::vector<v1::LoadBalancerIngress>& ingress) {
  json::array entries;
  for (const v1::LoadBalancerIngress& entry : ingress) entries.push_back(to_json(entry));
  json::object load_balancer, status, patch;
  // Null takes the field away; an empty list would stay as such.
  load_balancer["ingress"] = entries.empty() ? json::value(nullptr) : json::value(entries);
  status["loadBalancer"] = std::move(load_balancer);
  patch["metadata"] = precondition(service);
  patch["status"] = std::move(status);
  Request request;
  request.method = "PATCH";
  request.target = path_of(service.ns, service.name) + "/status?fieldManager=" + kFieldManager;
  request.content_type = "application/merge-patch+json";
  request.body = json::serialize(patch);
  return request;
}

Request conditions_apply(const ServiceView& service, const std::vector<v1::Condition>& conditions) {
  json::array entries;
  for (const v1::Condition& condition : conditions) entries.push_back(to_json(condition));
  json::object metadata = precondition(service), status, patch;
  metadata["name"] = service.name;
  metadata["namespace"] = service.ns;
  if (!entries.empty()) status["conditions"] = std::move(entries);
  patch["apiVersion"] = "v1";
  patch["kind"] = "Service";
  patch["metadata"] = std::move(metadata);
  patch["status"] = std::move(status);
  Request request;
  request.method = "PATCH";
  // Types with our prefix are ours: what somebody else set there is taken over.
  request.target =
      path_of(service.ns, service.name) + "/status?fieldManager=" + kFieldManager + "&force=true";
  request.content_type = "application/apply-patch+yaml";
  request.body = json::serialize(patch);
  return request;
}

Request service_get(const std::string& ns, const std::string& name) {
  Request request;
  request.target = path_of(ns, name);
  return request;
}

Written read_answer(const Response& response, const ServedClasses& served) {
  Written written;
  written.error = response.error;
  if (response.retry_after)
    written.retry_after =
        std::min<std::chrono::seconds>(*response.retry_after, std::chrono::hours(1));
  if (response.ok()) {
    auto decoded = decode_object(v1::KIND_SERVICE, response.body);
    if (!decoded || !decoded->error.empty()) {
      written.error =
          "the API server's answer is no Service: " + (decoded ? decoded->error : decoded.error());
      return written;
    }
    written.outcome = Outcome::kDone;
    written.service = see(decoded->object.service(), served);
    return written;
  }
  switch (response.status) {
    case 409:
      written.outcome = Outcome::kStale;
      break;
    case 404:
      written.outcome = Outcome::kGone;
      break;
    case 400:
    case 415:
    case 422:
      written.outcome = Outcome::kRefused;
      break;
    case 401:
    case 403:
      written.outcome = Outcome::kDenied;
      break;
    default:
      break;
  }
  return written;
}

}  // namespace sluice::kube
