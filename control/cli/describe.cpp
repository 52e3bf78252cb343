#include "control/cli/describe.h"

#include <iostream>
#include <utility>

#include "control/cli/pool_commands.h"
#include "control/cli/resource.h"
#include "control/cli/selection.h"
#include "control/store/keys.h"

namespace sluice {
namespace {

struct Found {
  Model model;
  std::vector<ServiceKey> services;  // Of this name, one a source at most.
};

Result<Found> find_service(Context& context, store::Redis& redis, const std::string& ns,
                           const std::string& name) {
  auto listing = context.run(store::list_objects(redis, "", v1::KIND_UNSPECIFIED));
  if (!listing) return Error{listing.error()};
  for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
  Found found;
  for (store::StoredObject& stored : listing->objects) {
    const ObjectKey& key = stored.key;
    for (v1::Kind kind :
         {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS, v1::KIND_POD})
      found.model.set_complete(key.source, kind, true);
    if (key.kind == v1::KIND_SERVICE && key.ns == ns && key.name == name)
      found.services.push_back({key.source, ns, name});
    found.model.upsert(key, std::make_shared<const v1::Object>(std::move(stored.object)));
  }
  return found;
}

// The dataplane's part; without it the rest is told all the same.
Status ask_dataplane(Context& context, v1::Report* report, v1::Statistics* statistics) {
  auto dataplane = context.dataplane();
  if (!dataplane) return Error{dataplane.error()};
  auto reported = context.run((*dataplane)->report(true));
  if (!reported) return Error{reported.error()};
  v1::StatisticsRequest request;
  request.set_vips(true);
  auto counted = context.run((*dataplane)->statistics(request));
  if (!counted) return Error{counted.error()};
  *report = std::move(*reported);
  *statistics = std::move(*counted);
  return Ok{};
}

}  // namespace

int describe_command(Context& context, const DescribeOptions& given) {
  DescribeOptions options = given;
  if (const auto slash = options.resource.find('/');
      options.name.empty() && slash != std::string::npos) {
    options.name = options.resource.substr(slash + 1);
    options.resource.resize(slash);
  }
  const auto resource = resource_from_name(options.resource);
  if (resource == Resource::pools && !options.name.empty())
    return describe_pool_command(context, options.name);
  if (resource != Resource::services && resource != Resource::pools) {
    fail("cannot describe \"" + options.resource +
         "\"; try: sluice describe service NAME, sluice describe pool NAME, or: " + "sluice get " +
         options.resource + " -o yaml");
    return kExitUsage;
  }
  if (options.name.empty()) {
    fail("give a NAME, or KIND/NAME");
    return kExitUsage;
  }
  const auto slash = options.name.find('/');
  const std::string ns = slash == std::string::npos ? options.ns : options.name.substr(0, slash);
  const std::string name =
      slash == std::string::npos ? options.name : options.name.substr(slash + 1);
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  if (Status s = check_source(context, **redis, options.source); !s) return fail(s.error());
  auto found = find_service(context, **redis, ns, name);
  if (!found) return fail(found.error());
  std::erase_if(found->services, [&](const ServiceKey& key) {
    return !options.source.empty() && key.source != options.source;
  });
  if (found->services.empty())
    return fail("service \"" + name + "\" not found in namespace \"" + ns + "\"");
  std::vector<store::StatusKey> keys;
  for (const ServiceKey& key : found->services) keys.push_back({key.source, key.ns, key.name});
  auto statuses = context.run(
      store::read_statuses(**redis, std::string(store::keys::kMergedStatus), std::move(keys)));
  if (!statuses) return fail(statuses.error());
  v1::Report report;
  v1::Statistics statistics;
  const Status asked = ask_dataplane(context, &report, &statistics);
  for (const ServiceKey& key : found->services) {
    Description d;
    d.inputs = found->model.inputs(key);
    d.service = &d.inputs.service->service();
    d.source = key.source;
    const auto status = statuses->find({key.source, key.ns, key.name});
    d.status = status == statuses->end() ? nullptr : &status->second;
    d.report = asked ? &report : nullptr;
    d.statistics = asked ? &statistics : nullptr;
    d.dataplane_error = asked ? "" : asked.error();
    d.now = std::chrono::system_clock::now();
    std::cout << describe_text(d);
    if (&key != &found->services.back()) std::cout << '\n';
  }
  return kExitOk;
}

}  // namespace sluice
