#include "control/cli/manifest_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <utility>

#include "control/model/key.h"

namespace sluice {

namespace fs = std::filesystem;

namespace {

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

Result<std::string> read_stream(std::istream& in, const std::string& name) {
  std::string text;
  char block[65536];
  while (in.read(block, sizeof(block)) || in.gcount() > 0) {
    text.append(block, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kMaxManifestBytes)
      return Error{name + ": larger than " + std::to_string(kMaxManifestBytes >> 20) +
                   " MiB; split it"};
  }
  if (in.bad()) return Error{name + ": cannot be read"};
  return text;
}

Result<std::string> read_path(const std::string& path) {
  if (path == "-") return read_stream(std::cin, "stdin");
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{path + ": cannot be opened; does the file exist, and may you read it?"};
  return read_stream(in, path);
}

template <typename Iterator>
Status list_directory(const std::string& directory, std::vector<std::string>* found) {
  std::error_code error;
  for (Iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (is_manifest(at->path()) && at->is_regular_file(ignored)) found->push_back(at->path());
  }
  if (error) return Error{directory + ": cannot be read: " + error.message()};
  return Ok{};
}

Status add_directory(const std::string& directory, bool recursive,
                     std::vector<std::string>* paths) {
  std::vector<std::string> found;
  const Status listed = recursive
                            ? list_directory<fs::recursive_directory_iterator>(directory, &found)
                            : list_directory<fs::directory_iterator>(directory, &found);
  if (!listed) return listed;
  if (found.empty())
    return Error{directory + ": has no manifests (*.yaml, *.yml, *.json)" +
                 (recursive ? "" : "; -R looks below it too")};
  std::ranges::sort(found);
  paths->insert(paths->end(), found.begin(), found.end());
  return Ok{};
}

bool is_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

// As kubectl: -n and a manifest that says otherwise are a mistake of one of them.
std::string other_namespace(const ManifestObject& object, const ManifestSources& sources) {
  const v1::ObjectMeta& metadata = *metadata_of(object.object);
  if (sources.ns.empty() || metadata.namespace_().empty() || metadata.namespace_() == sources.ns)
    return "";
  return object.file + ":" + std::to_string(object.line) + ": " +
         kind_name(kind_of(object.object)) + " " + metadata.name() + ": metadata.namespace: is \"" +
         metadata.namespace_() + "\", but -n says \"" + sources.ns + "\"; leave one of them out";
}

}  // namespace

Result<std::vector<std::string>> manifest_paths(const ManifestSources& sources) {
  std::vector<std::string> paths;
  bool stdin_given = false;
  for (const std::string& file : sources.files) {
    if (is_url(file))
      return Error{file + ": URLs are not fetched; try: curl -fsS " + file + " | sluice ... -f -"};
    if (file == "-" && std::exchange(stdin_given, true))
      return Error{"-f -: stdin can be read once"};
    std::error_code error;
    if (file == "-" || !fs::is_directory(file, error)) {
      paths.push_back(file);
    } else if (Status s = add_directory(file, sources.recursive, &paths); !s) {
      return Error{s.error()};
    }
  }
  return paths;
}

Result<Manifest> read_manifests(const ManifestSources& sources, ManifestOptions options) {
  const auto paths = manifest_paths(sources);
  if (!sources.ns.empty()) options.default_namespace = sources.ns;
  if (!paths) return Error{paths.error()};
  Manifest all;
  std::string errors;
  std::map<ObjectKey, std::string> places;
  for (const std::string& path : *paths) {
    auto text = read_path(path);
    auto manifest = text ? parse_manifests(*text, path == "-" ? "stdin" : path, options)
                         : Result<Manifest>(Error{text.error()});
    if (!manifest) {
      errors += (errors.empty() ? "" : "\n") + manifest.error();
      continue;
    }
    std::ranges::move(manifest->warnings, std::back_inserter(all.warnings));
    for (ManifestObject& object : manifest->objects) {
      const ObjectKey key = key_of(kManualSource, object.object);
      const std::string place = object.file + ":" + std::to_string(object.line);
      const auto [at, fresh] = places.emplace(key, place);
      if (!fresh)
        errors += (errors.empty() ? "" : "\n") + place + ": " + kind_name(key.kind) + " " +
                  (key.ns.empty() ? "" : key.ns + "/") + key.name + ": given before at " +
                  at->second + "; keep one of them";
      if (const std::string wrong = other_namespace(object, sources); !wrong.empty())
        errors += (errors.empty() ? "" : "\n") + wrong;
      all.objects.push_back(std::move(object));
    }
  }
  if (!errors.empty()) return Error{errors};
  return all;
}

}  // namespace sluice
