#include "control/cli/admin_commands.h"

#include <algorithm>
#include <iostream>
#include <utility>
#include <vector>

#include "config/gateway_config.h"
#include "control/cli/selection.h"
#include "control/cli/table.h"
#include "control/manifest/show.h"
#include "control/store/disk.h"
#include "control/store/objects.h"

namespace sluice {

int check_config_command(const std::string& file) {
  const auto config = load_gateway_config(file);
  if (!config) return fail(config.error());
  if (Status s = check_for_dataplane(*config); !s)
    warn("good for sluice-control, but not for sluice-dataplane: " + s.error());
  std::cout << (file.empty() ? kDefaultConfigFile : file) << ": ok\n";
  return kExitOk;
}

namespace {

struct Exported {
  std::vector<v1::Object> objects;
  bool whole = true;
};

Result<Exported> from_disk(Context& context, const std::string& source) {
  auto config = context.config();
  if (!config) return Error{config.error()};
  const std::string path = (*config)->control().state_directory() + "/state.pb";
  const auto loaded = store::load_disk_state(path);
  if (!loaded) return Error{loaded.error()};
  if (!loaded->state)
    return Error{loaded->warning.empty() ? path + ": sluice-control has left no copy there"
                                         : loaded->warning};
  Exported exported;
  std::vector<std::string> names;
  for (const v1::DiskSource& one : loaded->state->sources()) {
    names.push_back(one.marker().source());
    if (names.back() == source) exported.objects.assign(one.objects().begin(), one.objects().end());
  }
  if (std::ranges::find(names, source) == names.end())
    return Error{path + ": has no source \"" + source + "\"; there are: " + joined(names, ", ")};
  return exported;
}

Result<Exported> from_redis(Context& context, const std::string& source) {
  auto redis = context.redis();
  if (!redis) return Error{redis.error()};
  if (Status s = check_source(context, **redis, source); !s) return Error{s.error()};
  auto listing = context.run(store::list_objects(**redis, source, v1::KIND_UNSPECIFIED));
  if (!listing) return Error{listing.error()};
  for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
  Exported exported;
  exported.whole = listing->problems.empty();
  for (store::StoredObject& stored : listing->objects)
    exported.objects.push_back(std::move(stored.object));
  return exported;
}

}  // namespace

int export_command(Context& context, const ExportOptions& options) {
  const std::string source = options.source.empty() ? kManualSource : options.source;
  const auto exported =
      options.from_disk ? from_disk(context, source) : from_redis(context, source);
  if (!exported) return fail(exported.error());
  std::vector<const v1::Object*> list;
  for (const v1::Object& object : exported->objects) list.push_back(&object);
  std::cout << documents_yaml(list);
  return exported->whole ? kExitOk : fail("not all of source " + source + " could be read");
}

}  // namespace sluice
