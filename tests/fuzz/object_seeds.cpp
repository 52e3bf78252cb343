// Writes the first inputs of object_fuzz, of the objects in manifests:
// object_seeds FOLDER MANIFEST...
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "control/manifest/manifest.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seed_folder.h"

namespace sluice::fuzz {
namespace {

enum Step : unsigned { kPut = 0, kRemove = 3, kComplete = 4, kProgram = 6, kOfCluster = 8 };

void add(unsigned step, std::string_view bytes, std::string* out) {
  out->push_back(static_cast<char>(step));
  put_counted(*out, bytes);
}

void write(const Folder& folder, const std::string& name, const Manifest& manifest,
           unsigned source) {
  std::string input, removal;
  for (const ManifestObject& one : manifest.objects) {
    const std::string bytes = one.object.SerializeAsString();
    // Pools are of `manual` whoever uses them.
    add(kPut | (one.object.has_address_pool() ? 0 : source), bytes, &input);
    add(kRemove | source, bytes, &removal);
  }
  folder.write(name, input);
  add(kProgram, "", &input);
  add(kComplete | source, "\x01", &input);  // EndpointSlices are in doubt.
  folder.write(name + "-complete", input + removal);
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) {
  using namespace sluice::fuzz;
  if (argc < 3) {
    std::cerr << "usage: object_seeds FOLDER MANIFEST...\n";
    return 2;
  }
  const Folder folder(argv[1]);
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i]);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto manifest = sluice::parse_manifests(text, argv[i]);
    if (!manifest) continue;  // Some are there to be refused.
    const std::filesystem::path path(argv[i]);
    const std::string name = path.parent_path().filename().string() + "-" + path.stem().string();
    write(folder, name, *manifest, 0);
    write(folder, name + "-cluster", *manifest, kOfCluster);
  }
}
