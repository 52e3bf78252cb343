// Answer: what the fake API server answers to one request; failures are Status objects with the
// texts of a real kube-apiserver. Ownership: by value. Thread: any.
// Source: recorded answers (tests/fixtures/kubernetes), apimachinery's api/errors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/kube/resource.h"

namespace sluice::test::kube {

struct Answer {
  unsigned status = 200;
  std::string body;            // JSON.
  unsigned retry_after_s = 0;  // Header Retry-After, where not 0.
  bool ok() const { return status < 300; }
};

// One of the causes of a 422.
struct Cause {
  std::string reason;   // "FieldValueInvalid"
  std::string message;  // "Invalid value: ..."
  std::string field;    // "spec.ports[0].port"
};
Cause invalid_value(std::string field, const std::string& quoted_value, const std::string& why);
Cause required_value(std::string field, const std::string& why = "");
Cause forbidden_value(std::string field, const std::string& why);
Cause unsupported_value(std::string field, const std::string& value, const std::string& supported);
Cause duplicate_value(std::string field, const std::string& quoted_value);

// `status` with no further details.
Answer failure(unsigned status, const std::string& reason, const std::string& message);
Answer unauthorized();
Answer forbidden(const Resource& resource, const std::string& name, const std::string& why);
Answer no_such_path();
Answer not_found(const Resource& resource, const std::string& name);
Answer already_exists(const Resource& resource, const std::string& name);
Answer conflict(const Resource& resource, const std::string& name, const std::string& why = "");
Answer invalid(const std::string& group, const std::string& kind, const std::string& name,
               const std::vector<Cause>& causes);
Answer invalid(const Resource& resource, const std::string& name, const std::vector<Cause>& causes);
Answer bad_request(const std::string& message);
Answer expired(const std::string& message, const std::string& fallback_continue = "");
Answer future_version(const std::string& wanted, const std::string& current);
// A conflict of server-side apply; pairs of manager and field.
Answer apply_conflict(const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace sluice::test::kube
