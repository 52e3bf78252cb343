#include "control/cli/admin_commands.h"

#include <iostream>
#include <vector>

#include "config/gateway_config.h"
#include "control/cli/dataplane_tables.h"
#include "control/manifest/show.h"
#include "control/store/disk.h"
#include "control/store/objects.h"
#include "control/store/publisher.h"

namespace sluice {

int check_config_command(const std::string& file) {
  const auto config = load_gateway_config(file);
  if (!config) return fail(config.error());
  if (Status s = check_for_dataplane(*config); !s)
    warn("good for sluice-control, but not for sluice-dataplane: " + s.error());
  std::cout << (file.empty() ? kDefaultConfigFile : file) << ": ok\n";
  return kExitOk;
}

int source_list_command(Context& context) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  const auto gateways = context.run(store::list_gateways(**redis));
  if (!gateways) return fail(gateways.error());
  const Table table = source_table(*gateways);
  if (table.empty()) {
    std::cerr << "No sources found. Is sluice-control running, with this Redis?\n";
  } else {
    std::cout << table.text();
  }
  return kExitOk;
}

int source_accept_command(Context& context, const std::string& source) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  if (Status s = context.run(store::accept_source(**redis, source)); !s) return fail(s.error());
  std::cout << "source/" << source << " accepted\n";
  return kExitOk;
}

namespace {

Result<std::vector<v1::Object>> manual_from_disk(Context& context) {
  auto config = context.config();
  if (!config) return Error{config.error()};
  const std::string path = (*config)->control().state_directory() + "/state.pb";
  const auto loaded = store::load_disk_state(path);
  if (!loaded) return Error{loaded.error()};
  if (!loaded->state)
    return Error{loaded->warning.empty() ? path + ": sluice-control has left no copy there"
                                         : loaded->warning};
  std::vector<v1::Object> objects;
  for (const v1::DiskSource& source : loaded->state->sources())
    if (source.marker().source() == kManualSource)
      objects.insert(objects.end(), source.objects().begin(), source.objects().end());
  return objects;
}

Result<std::vector<v1::Object>> manual_from_redis(Context& context) {
  auto redis = context.redis();
  if (!redis) return Error{redis.error()};
  auto listing = context.run(store::list_objects(**redis, kManualSource, v1::KIND_UNSPECIFIED));
  if (!listing) return Error{listing.error()};
  for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
  std::vector<v1::Object> objects;
  for (store::StoredObject& stored : listing->objects) objects.push_back(std::move(stored.object));
  return objects;
}

}  // namespace

int export_command(Context& context, bool from_disk) {
  const auto objects = from_disk ? manual_from_disk(context) : manual_from_redis(context);
  if (!objects) return fail(objects.error());
  std::vector<const v1::Object*> list;
  for (const v1::Object& object : *objects) list.push_back(&object);
  std::cout << documents_yaml(list);
  return kExitOk;
}

}  // namespace sluice
