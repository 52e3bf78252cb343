// Rules: what the API server fills in, refuses and takes away, per resource.
// Ownership: by value. Thread: any. Source: Kubernetes API reference v1.32; recorded answers.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/kube/answer.h"
#include "tests/support/kube/resource.h"

namespace sluice::test::kube {

namespace json = boost::json;

// Where new cluster IPs and node ports come from.
struct Allocator {
  std::function<std::string(bool ipv6)> address;
  std::function<int()> node_port;               // 0: all are taken.
  std::function<bool(int)> node_port_is_taken;  // By another Service.
};

// Defaults of the version v1, also of a status. `before` null: a new object.
void apply_defaults(const Resource& resource, json::object& object);
// What a change of a Service's type takes away, and what the server gave it before and the caller
// left out.
void carry_over(const Resource& resource, const json::object& before, json::object& object);
std::vector<Cause> allocate(const Resource& resource, json::object& object,
                            const Allocator& allocator);

std::vector<Cause> validate(const Resource& resource, const json::object& object,
                            const json::object* before);
std::vector<Cause> validate_status(const Resource& resource, const json::object& object);

// rules_service.cpp
void default_service(json::object& object);
void default_ingress(json::object& object);
void carry_over_service(const json::object& before, json::object& object);
std::vector<Cause> allocate_service(json::object& object, const Allocator& allocator);
std::vector<Cause> validate_service(const json::object& object, const json::object* before);
std::vector<Cause> validate_service_status(const json::object& object);

}  // namespace sluice::test::kube
