#include "control/cli/get.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <utility>

#include "control/cli/dataplane_tables.h"
#include "control/cli/object_tables.h"
#include "control/cli/pool_commands.h"
#include "control/cli/watch.h"
#include "control/manifest/show.h"
#include "control/store/keys.h"
#include "control/store/ledger.h"

namespace sluice {
namespace {

using Clock = std::chrono::system_clock;

void print_message(const google::protobuf::Message& message, const GetOptions& options) {
  std::cout << (options.output == "json" ? message_json(message) : message_yaml(message));
}

int print_table(const Table& table, const GetOptions& options, const std::string& none) {
  if (table.empty()) {
    std::cerr << none << '\n';
  } else {
    std::cout << table.text({.header = !options.no_headers});
  }
  return kExitOk;
}

void print_objects(const Objects& objects, bool as_list, const GetOptions& options) {
  const bool json = options.output == "json";
  if (!as_list && objects.size() == 1) {
    const v1::Object& only = objects.front()->object;
    std::cout << (json ? object_json(only) : object_yaml(only));
    return;
  }
  std::vector<const v1::Object*> list;
  for (const auto* object : objects) list.push_back(&object->object);
  std::cout << (json ? list_json(list) : list_yaml(list));
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

// Several kinds at once: the selections, in the order asked for.
Result<std::vector<Selection>> select(Context& context, store::Redis& redis,
                                      const std::vector<ResourceNames>& wanted,
                                      const GetOptions& options) {
  std::vector<Selection> selections;
  for (const ResourceNames& one : wanted) {
    auto selection = select_objects(context, redis, one, options);
    if (!selection) return Error{selection.error()};
    selections.push_back(std::move(*selection));
  }
  return selections;
}

int report_missing(const std::vector<Selection>& selections) {
  int code = kExitOk;
  for (const Selection& selection : selections)
    for (const std::string& text : selection.missing()) code = fail(text);
  return code;
}

void print_names(const std::vector<Selection>& selections) {
  for (const Selection& selection : selections)
    for (const auto* object : selection.chosen())
      std::cout << qualified_name(object->key.kind, object->key.name) << '\n';
}

std::string nothing_found(const std::vector<Selection>& selections) {
  const bool everywhere = std::ranges::all_of(selections, [](const Selection& s) {
    return s.query().ns.empty() || !kind_is_namespaced(s.query().kind);
  });
  return everywhere ? "No resources found"
                    : "No resources found in " + selections.front().query().ns + " namespace.";
}

int print_tables(Context& context, store::Redis& redis, const std::vector<ResourceNames>& wanted,
                 const std::vector<Selection>& selections, const GetOptions& options) {
  bool printed = false, named = false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Objects objects = selections[i].chosen();
    named = named || !wanted[i].names.empty();
    if (objects.empty()) continue;
    TableOptions look = table_options(options);
    look.sources = selections[i].several_sources();
    look.kinds = wanted.size() > 1;
    const auto table = object_table(context, redis, wanted[i].resource, objects, look);
    if (!table) return fail(table.error());
    if (std::exchange(printed, true)) std::cout << '\n';
    std::cout << table->text({.header = !options.no_headers});
  }
  if (!printed && !named) std::cerr << nothing_found(selections) << '\n';
  return kExitOk;
}

int get_objects(Context& context, const std::vector<ResourceNames>& wanted,
                const GetOptions& options) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  if (options.watch || options.watch_only) return watch_objects(context, wanted.front(), options);
  const auto selections = select(context, **redis, wanted, options);
  if (!selections) return fail(selections.error());
  if (options.structured()) {
    Objects all;
    for (const Selection& selection : *selections)
      std::ranges::copy(selection.chosen(), std::back_inserter(all));
    const bool one = wanted.size() == 1 && wanted.front().names.size() == 1;
    if (!all.empty() || wanted.front().names.empty()) print_objects(all, !one, options);
  } else if (options.output == "name") {
    print_names(*selections);
  } else if (int code = print_tables(context, **redis, wanted, *selections, options); code != 0) {
    return code;
  }
  return report_missing(*selections);
}

int get_gateways(Context& context, const std::vector<std::string>& names,
                 const GetOptions& options) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  auto gateways = context.run(store::list_gateways(**redis));
  if (!gateways) return fail(gateways.error());
  if (!names.empty())
    std::erase_if(*gateways, [&](const store::Gateway& gateway) {
      return std::ranges::find(names, gateway.name) == names.end();
    });
  if (options.structured()) {
    for (const store::Gateway& gateway : *gateways) {
      if (options.output == "yaml") std::cout << "---\n";
      print_message(gateway.presence, options);
    }
    return kExitOk;
  }
  return print_table(gateway_table(*gateways, options.output == "wide", Clock::now()), options,
                     "No gateways found. Is sluice-control running, with this Redis?");
}

int get_ports(Context& context, DataplaneClient& dataplane, const GetOptions& options) {
  const auto ports = context.run(dataplane.ports());
  if (!ports) return fail(ports.error());
  if (options.structured()) {
    print_message(*ports, options);
    return kExitOk;
  }
  return print_table(port_table(*ports, options.output == "wide"), options, "No ports found");
}

int get_forwarding(Context& context, DataplaneClient& dataplane, Resource resource,
                   const GetOptions& options) {
  auto report = context.run(dataplane.report(true));
  if (!report) return fail(report.error());
  const bool vips = resource == Resource::vips;
  if (options.structured()) {
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
                     options, vips ? "No VIPs found" : "No backends found");
}

// What the words and options say together; empty: nothing wrong.
std::string misuse(const std::vector<ResourceNames>& wanted, const GetOptions& options) {
  const bool named =
      std::ranges::any_of(wanted, [](const ResourceNames& one) { return !one.names.empty(); });
  const bool watch = options.watch || options.watch_only;
  for (const ResourceNames& one : wanted) {
    const std::string name = resource_name(one.resource);
    if (resource_kind(one.resource) != v1::KIND_UNSPECIFIED) continue;
    if (wanted.size() > 1) return name + " are no objects; ask for them alone";
    if (watch) return name + " are no objects and cannot be watched; try: watch sluice get " + name;
    if (!options.selector.empty() || !options.source.empty() || options.output == "name" ||
        options.show_labels)
      return name + " are no objects: -l, --source, --show-labels and -o name do not go with them";
  }
  if (named && options.all_namespaces)
    return "an object cannot be asked for by name in all namespaces; give -n NAMESPACE";
  if (named && !options.selector.empty()) return "a name and a selector (-l) do not go together";
  if (options.watch_events && (!watch || options.structured() || options.output == "name"))
    return "--output-watch-events goes with -w, and with tables alone";
  if (watch && wanted.size() > 1) return "one kind alone can be watched";
  return "";
}

}  // namespace

Result<Selection> select_objects(Context& context, store::Redis& redis, const ResourceNames& wanted,
                                 const GetOptions& options) {
  auto labels = LabelSelector::parse(options.selector);
  if (!labels) return Error{labels.error()};
  if (Status s = check_source(context, redis, options.source); !s) return Error{s.error()};
  ObjectQuery query;
  query.kind = listed_kind(wanted.resource, options);
  query.source = options.source;
  if (!options.all_namespaces) query.ns = options.ns.empty() ? "default" : options.ns;
  query.names = wanted.names;
  query.labels = std::move(*labels);
  auto selection = Selection::read(context, redis, std::move(query));
  if (!selection || !options.structured()) return selection;
  if (selection->query().kind == v1::KIND_ADDRESS_POOL) {
    if (Status s = add_pool_status(context, redis, selection->pools()); !s) return Error{s.error()};
  }
  if (selection->query().kind != v1::KIND_SERVICE) return selection;
  const auto statuses = merged_statuses(context, redis, selection->chosen());
  if (!statuses) return Error{statuses.error()};
  selection->add_status(*statuses);
  return selection;
}

TableOptions table_options(const GetOptions& options) {
  TableOptions look;
  look.wide = options.output == "wide";
  look.namespaces = options.all_namespaces;
  look.now = Clock::now();
  look.labels = options.show_labels;
  return look;
}

// The table of endpoints has a row for each Service; as objects they are Endpoints.
v1::Kind listed_kind(Resource resource, const GetOptions& options) {
  const bool table = !options.structured() && options.output != "name";
  return resource == Resource::endpoints && table ? v1::KIND_SERVICE : resource_kind(resource);
}

Result<Table> object_table(Context& context, store::Redis& redis, Resource resource,
                           const Objects& objects, const TableOptions& table) {
  switch (resource) {
    case Resource::services: {
      auto statuses = merged_statuses(context, redis, objects);
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

int get_command(Context& context, const GetOptions& options) {
  const auto wanted = parse_resources(options.words);
  const std::string wrong = wanted ? misuse(*wanted, options) : wanted.error();
  if (!wrong.empty()) {
    fail(wrong);
    return kExitUsage;
  }
  const Resource resource = wanted->front().resource;
  if (resource_kind(resource) != v1::KIND_UNSPECIFIED)
    return get_objects(context, *wanted, options);
  if (resource == Resource::gateways) return get_gateways(context, wanted->front().names, options);
  auto dataplane = context.dataplane();
  if (!dataplane) return fail(dataplane.error());
  if (resource == Resource::ports) return get_ports(context, **dataplane, options);
  return get_forwarding(context, **dataplane, resource, options);
}

}  // namespace sluice
