// Fuzzes what people write: manifests and gateway.yaml. Input: the text.
// A manifest that is accepted must print as YAML that is accepted again and means the same; every
// refusal must say where.
#include <string>
#include <string_view>

#include "config/gateway_config.h"
#include "control/manifest/manifest.h"
#include "control/manifest/show.h"
#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

const std::string kFile = "fuzz.yaml";

void check_error(const std::string& error) {
  FUZZ_CHECK(error.starts_with(kFile));
}

// What the object says, without what its header says of the reading (fields that were unknown).
std::string content(v1::Object object) {
  object.clear_header();
  return object.DebugString();
}

void check_manifests(std::string_view text) {
  const Result<Manifest> manifest = parse_manifests(text, kFile);
  if (!manifest) return check_error(manifest.error());
  std::vector<const v1::Object*> objects;
  for (const ManifestObject& object : manifest->objects) objects.push_back(&object.object);
  const std::string printed = documents_yaml(objects);
  const Result<Manifest> again = parse_manifests(printed, kFile);
  if (!again) std::fprintf(stderr, "%s\n%s\n", again.error().c_str(), printed.c_str());
  FUZZ_CHECK(again.ok());
  FUZZ_CHECK(again->objects.size() == objects.size());
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const std::string before = content(*objects[i]);
    const std::string after = content(again->objects[i].object);
    if (before != after) std::fprintf(stderr, "%s\nis not\n%s\n", before.c_str(), after.c_str());
    FUZZ_CHECK(before == after);
  }
}

void check_gateway_config(std::string_view text) {
  const Result<v1::GatewayConfig> config = parse_gateway_config(std::string(text), kFile);
  if (!config) return check_error(config.error());
  FUZZ_CHECK(changed_fields(*config, *config).empty());
}

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sluice::fuzz::check_manifests(text);
  sluice::fuzz::check_gateway_config(text);
  return 0;
}
