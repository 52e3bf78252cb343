#include "control/kubernetes/lease_record.h"

#include <boost/json.hpp>
#include <cstdio>
#include <ctime>

namespace sluice::kube {

namespace json = boost::json;

namespace {

constexpr std::int64_t kLongestDuration = 3600;

const json::value* find(const json::value& parent, std::string_view name) {
  const json::object* object = parent.if_object();
  return object == nullptr ? nullptr : object->if_contains(name);
}

std::string text(const json::value* parent, std::string_view name) {
  const json::value* value = parent == nullptr ? nullptr : find(*parent, name);
  const json::string* string = value == nullptr ? nullptr : value->if_string();
  return string == nullptr ? std::string() : std::string(string->data(), string->size());
}

std::int64_t number(const json::value* parent, std::string_view name, std::int64_t most) {
  const json::value* value = parent == nullptr ? nullptr : find(*parent, name);
  const std::int64_t* integer = value == nullptr ? nullptr : value->if_int64();
  return integer == nullptr || *integer < 0 || *integer > most ? 0 : *integer;
}

// metav1.MicroTime.
std::string micro_time() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const std::time_t seconds = us / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32], all[48];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(all, sizeof all, "%s.%06dZ", date, static_cast<int>(us % 1'000'000));
  return all;
}

std::string write_spec(json::object object, const LeaseWrite& write) {
  json::value& spec = object["spec"];
  if (!spec.is_object()) spec = json::object();
  json::object& fields = spec.get_object();
  const std::string now = micro_time();
  fields["holderIdentity"] = write.holder.empty() ? json::value() : json::value(write.holder);
  fields["leaseDurationSeconds"] = write.duration.count();
  fields["leaseTransitions"] = write.transitions;
  fields["renewTime"] = now;
  if (write.acquired) fields["acquireTime"] = now;
  return json::serialize(object);
}

}  // namespace

Result<LeaseRecord> parse_lease(std::string_view body) {
  json::error_code error;
  const json::value value = json::parse({body.data(), body.size()}, error);
  if (error || !value.is_object()) return Error{"the Lease that was read is not a JSON object"};
  const json::value* metadata = find(value, "metadata");
  const json::value* spec = find(value, "spec");
  LeaseRecord record;
  record.resource_version = text(metadata, "resourceVersion");
  record.uid = text(metadata, "uid");
  if (record.resource_version.empty())
    return Error{"the Lease that was read has no resourceVersion"};
  record.holder = text(spec, "holderIdentity");
  record.duration = std::chrono::seconds(number(spec, "leaseDurationSeconds", kLongestDuration));
  record.transitions = static_cast<std::uint64_t>(
      number(spec, "leaseTransitions", static_cast<std::int64_t>(kMaxTransitions)));
  record.acquire_time = text(spec, "acquireTime");
  record.renew_time = text(spec, "renewTime");
  record.json = std::string(body);
  return record;
}

std::string lease_update(const LeaseRecord& before, const LeaseWrite& write) {
  json::error_code error;
  json::value value = json::parse(before.json, error);
  return write_spec(error || !value.is_object() ? json::object() : value.get_object(), write);
}

std::string new_lease(const std::string& ns, const std::string& name, const LeaseWrite& write) {
  return write_spec({{"apiVersion", "coordination.k8s.io/v1"},
                     {"kind", "Lease"},
                     {"metadata", {{"namespace", ns}, {"name", name}}}},
                    write);
}

}  // namespace sluice::kube
