#include "control/cli/get.h"

#include <algorithm>
#include <iostream>
#include <set>

#include "control/cli/dataplane_tables.h"
#include "control/cli/object_tables.h"
#include "control/cli/resource.h"
#include "control/manifest/show.h"
#include "control/store/keys.h"
#include "control/store/ledger.h"

namespace sluice {
namespace {

using Clock = std::chrono::system_clock;

bool structured(const GetOptions& options) {
  return options.output == "json" || options.output == "yaml";
}

void print_message(const google::protobuf::Message& message, const GetOptions& options) {
  std::cout << (options.output == "json" ? message_json(message) : message_yaml(message));
}

int print_table(const Table& table, const std::string& none) {
  if (table.empty()) {
    std::cerr << none << '\n';
  } else {
    std::cout << table.text();
  }
  return kExitOk;
}

TableOptions table_options(const GetOptions& options) {
  return {options.output == "wide", options.all_namespaces, Clock::now()};
}

// Objects of one kind that the options ask for; what cannot be read is told and left out.
class Selection {
 public:
  static Result<Selection> read(Context& context, store::Redis& redis, v1::Kind kind,
                                const GetOptions& options) {
    auto listing = context.run(store::list_objects(redis, "", kind));
    if (!listing) return Error{listing.error()};
    for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
    const std::string ns = options.ns.empty() ? "default" : options.ns;
    Selection selection;
    selection.listing_ = std::move(*listing);
    const std::set<std::string> names(options.names.begin(), options.names.end());
    std::set<std::string> found;
    for (const auto& object : selection.listing_.objects) {
      const bool here = !kind_is_namespaced(kind) || options.all_namespaces || object.key.ns == ns;
      if (!here || (!names.empty() && !names.contains(object.key.name))) continue;
      found.insert(object.key.name);
      selection.chosen_.push_back(&object);
    }
    for (const std::string& name : names)
      if (!found.contains(name))
        selection.missing_.push_back(
            qualified_kind(kind) + " \"" + name + "\" not found" +
            (kind_is_namespaced(kind) ? " in namespace \"" + ns + "\"" : ""));
    return selection;
  }

  const Objects& chosen() const { return chosen_; }
  // Services: their status as kubectl shows it, from what the gateways say of them.
  void add_status(const MergedStatuses& statuses) {
    for (store::StoredObject& stored : listing_.objects) {
      const auto found = statuses.find({stored.key.source, stored.key.ns, stored.key.name});
      if (found == statuses.end() || !stored.object.has_service()) continue;
      v1::ServiceObjectStatus& status = *stored.object.mutable_service()->mutable_status();
      status.Clear();
      for (const std::string& address : found->second.addresses())
        status.mutable_load_balancer()->add_ingress()->set_ip(address);
      *status.mutable_conditions() = found->second.conditions();
    }
  }
  int report_missing() const {
    for (const std::string& text : missing_) fail(text);
    return missing_.empty() ? kExitOk : kExitFailed;
  }

 private:
  store::Listing listing_;  // Moved as a whole: chosen_ points to its elements.
  Objects chosen_;
  std::vector<std::string> missing_;
};

void print_objects(const Objects& objects, const GetOptions& options) {
  const bool json = options.output == "json";
  if (options.names.size() == 1 && objects.size() == 1) {
    const v1::Object& only = objects.front()->object;
    std::cout << (json ? object_json(only) : object_yaml(only));
    return;
  }
  std::vector<const v1::Object*> list;
  for (const auto* object : objects) list.push_back(&object->object);
  std::cout << (json ? list_json(list) : list_yaml(list));
}

Result<MergedStatuses> statuses_of(Context& context, store::Redis& redis, const Objects& services) {
  std::vector<store::StatusKey> keys;
  for (const auto* object : services)
    keys.push_back({object->key.source, object->key.ns, object->key.name});
  return context.run(
      store::read_statuses(redis, std::string(store::keys::kMergedStatus), std::move(keys)));
}

// Everything, for what only the model can tell. All of it is known: Redis was just read.
Result<Model> whole_model(Context& context, store::Redis& redis) {
  auto listing = context.run(store::list_objects(redis, "", v1::KIND_UNSPECIFIED));
  if (!listing) return Error{listing.error()};
  Model model;
  for (store::StoredObject& stored : listing->objects) {
    for (v1::Kind kind : {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS,
                          v1::KIND_POD, v1::KIND_NODE, v1::KIND_NAMESPACE, v1::KIND_ADDRESS_POOL})
      model.set_complete(stored.key.source, kind, true);
    model.upsert(stored.key, std::make_shared<const v1::Object>(std::move(stored.object)));
  }
  return model;
}

Result<Table> object_table(Context& context, store::Redis& redis, Resource resource,
                           const Objects& objects, const GetOptions& options) {
  const TableOptions table = table_options(options);
  switch (resource) {
    case Resource::services: {
      auto statuses = statuses_of(context, redis, objects);
      if (!statuses) return Error{statuses.error()};
      return service_table(objects, *statuses, table);
    }
    case Resource::endpoints: {
      auto model = whole_model(context, redis);
      if (!model) return Error{model.error()};
      return endpoints_table(objects, *model, table);
    }
    case Resource::endpoint_slices:
      return endpoint_slice_table(objects, table);
    case Resource::pods:
      return pod_table(objects, table);
    case Resource::nodes:
      return node_table(objects, table);
    case Resource::namespaces:
      return namespace_table(objects, table);
    case Resource::pools: {
      store::Ledger ledger(redis);
      if (Status s = context.run(ledger.refresh()); !s) return Error{s.error()};
      return pool_table(objects, ledger.records(), table);
    }
    default:
      return Error{"not an object"};
  }
}

int get_objects(Context& context, Resource resource, const GetOptions& options) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  // The table of endpoints has a row for each Service; as objects they are Endpoints.
  const v1::Kind kind = resource == Resource::endpoints && !structured(options)
                            ? v1::KIND_SERVICE
                            : resource_kind(resource);
  auto selection = Selection::read(context, **redis, kind, options);
  if (!selection) return fail(selection.error());
  if (structured(options)) {
    if (kind == v1::KIND_SERVICE) {
      const auto statuses = statuses_of(context, **redis, selection->chosen());
      if (!statuses) return fail(statuses.error());
      selection->add_status(*statuses);
    }
    if (!selection->chosen().empty() || options.names.empty())
      print_objects(selection->chosen(), options);
    return selection->report_missing();
  }
  const auto table = object_table(context, **redis, resource, selection->chosen(), options);
  if (!table) return fail(table.error());
  if (!table->empty() || options.names.empty())
    print_table(*table, options.all_namespaces || !kind_is_namespaced(kind)
                            ? "No resources found"
                            : "No resources found in " +
                                  (options.ns.empty() ? "default" : options.ns) + " namespace.");
  return selection->report_missing();
}

int get_gateways(Context& context, const GetOptions& options) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  auto gateways = context.run(store::list_gateways(**redis));
  if (!gateways) return fail(gateways.error());
  if (!options.names.empty())
    std::erase_if(*gateways, [&](const store::Gateway& gateway) {
      return std::ranges::find(options.names, gateway.name) == options.names.end();
    });
  if (structured(options)) {
    for (const store::Gateway& gateway : *gateways) {
      if (options.output == "yaml") std::cout << "---\n";
      print_message(gateway.presence, options);
    }
    return kExitOk;
  }
  return print_table(gateway_table(*gateways, options.output == "wide", Clock::now()),
                     "No gateways found. Is sluice-control running, with this Redis?");
}

int get_ports(Context& context, DataplaneClient& dataplane, const GetOptions& options) {
  const auto ports = context.run(dataplane.ports());
  if (!ports) return fail(ports.error());
  if (structured(options)) {
    print_message(*ports, options);
    return kExitOk;
  }
  return print_table(port_table(*ports, options.output == "wide"), "No ports found");
}

int get_forwarding(Context& context, DataplaneClient& dataplane, Resource resource,
                   const GetOptions& options) {
  auto report = context.run(dataplane.report(true));
  if (!report) return fail(report.error());
  const bool vips = resource == Resource::vips;
  if (structured(options)) {
    v1::Report shown;
    if (vips)
      shown.mutable_vips()->Swap(report->mutable_vips());
    else
      shown.mutable_backends()->Swap(report->mutable_backends());
    print_message(shown, options);
    return kExitOk;
  }
  v1::StatisticsRequest request;
  request.set_vips(vips);
  request.set_backends(!vips);
  const auto statistics = context.run(dataplane.statistics(request));
  if (!statistics) return fail(statistics.error());
  const bool wide = options.output == "wide";
  return print_table(vips ? vip_table(*report, *statistics, options.ns, wide)
                          : backend_table(*report, *statistics, wide),
                     vips ? "No VIPs found" : "No backends found");
}

}  // namespace

int get_command(Context& context, const GetOptions& options) {
  const auto resource = resource_from_name(options.resource);
  if (!resource) {
    fail("unknown kind \"" + options.resource + "\"; one of: " + resource_names());
    return kExitUsage;
  }
  if (resource_kind(*resource) != v1::KIND_UNSPECIFIED)
    return get_objects(context, *resource, options);
  if (*resource == Resource::gateways) return get_gateways(context, options);
  auto dataplane = context.dataplane();
  if (!dataplane) return fail(dataplane.error());
  if (*resource == Resource::ports) return get_ports(context, **dataplane, options);
  return get_forwarding(context, **dataplane, *resource, options);
}

}  // namespace sluice
