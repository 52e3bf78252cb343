// `sluice diff`: what apply would change, by diff(1), as kubectl shows it.
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>

#include "control/cli/apply.h"
#include "control/manifest/show.h"
#include "control/manifest/validate.h"

extern char** environ;

namespace sluice {
namespace {

namespace fs = std::filesystem;

// Of kubectl; so that one setting does for both.
constexpr const char* kExternalDiff = "KUBECTL_EXTERNAL_DIFF";

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const char* name) {
    std::error_code error;
    const fs::path parent = fs::temp_directory_path(error);
    path_ = ((error ? fs::path("/tmp") : parent) / (std::string(name) + "-XXXXXX")).string();
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  bool write(const std::string& name, const std::string& text) const {
    std::ofstream out(path_ + "/" + name, std::ios::binary);
    return static_cast<bool>(out << text << std::flush);
  }

 private:
  std::string path_;
};

// "discovery.k8s.io.v1.EndpointSlice.default.web", as kubectl names them.
std::string file_name(const ObjectKey& key) {
  std::string version = api_version(key.kind);
  if (const auto slash = version.find('/'); slash != std::string::npos) version[slash] = '.';
  return version + "." + kind_name(key.kind) + "." + key.ns + "." + key.name;
}

// The generation counts what is about to change; it is no change itself.
std::string text_of(v1::Object object, std::int64_t generation) {
  set_defaults(&object);
  mutable_metadata_of(&object)->set_generation(generation);
  return object_yaml(object);
}

bool write_change(const PlannedChange& change, const TemporaryFolder& live,
                  const TemporaryFolder& merged) {
  const std::string name = file_name(change.key);
  if (!change.live) {  // What only apply will give it is left out.
    v1::Object object = change.object;
    mutable_metadata_of(&object)->clear_uid();
    mutable_metadata_of(&object)->clear_creation_timestamp();
    return merged.write(name, text_of(std::move(object), 0));
  }
  const std::int64_t generation = metadata_of(*change.live)->generation();
  return live.write(name, text_of(*change.live, generation)) &&
         merged.write(name, text_of(change.object, generation));
}

std::vector<std::string> diff_words() {
  const char* external = std::getenv(kExternalDiff);
  std::vector<std::string> words;
  std::istringstream in(external ? external : "");
  for (std::string word; in >> word;) words.push_back(word);
  if (words.empty()) words = {"diff", "-u", "-N"};
  return words;
}

int run_diff(std::vector<std::string> words) {
  std::cout.flush();
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = -1;
  if (const int error =
          ::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ);
      error != 0) {
    fail(words.front() + " cannot be run: " + std::strerror(error) +
         "; install diffutils, or set " + kExternalDiff);
    return kDiffFailed;
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return kDiffFailed;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kDiffFailed;
}

int failed(const std::string& text) {
  fail(text);
  return kDiffFailed;
}

int show(const std::vector<PlannedChange>& changes,
         const std::vector<store::StoredObject>& pruned) {
  const TemporaryFolder live("LIVE"), merged("MERGED");
  if (live.path().empty() || merged.path().empty())
    return failed("no temporary folder can be made; check TMPDIR");
  bool written = true;
  for (const PlannedChange& change : changes)
    written = written && write_change(change, live, merged);
  for (const store::StoredObject& object : pruned)
    written =
        written && live.write(file_name(object.key),
                              text_of(object.object, metadata_of(object.object)->generation()));
  if (!written) return failed("the temporary folder cannot be written: is the disk full?");
  std::vector<std::string> words = diff_words();
  words.push_back(live.path());
  words.push_back(merged.path());
  return run_diff(std::move(words));
}

}  // namespace

int diff_command(Context& context, const DiffOptions& options) {
  if (Status s = check_writable(options.source); !s) return failed(s.error());
  if (Status s = check_prune(options.prune, options.selector); !s) return failed(s.error());
  const auto labels = LabelSelector::parse(options.selector);
  if (!labels) return failed(labels.error());
  auto objects = read_objects(options.manifests, options.validation, *labels);
  if (!objects) return failed(objects.error());
  auto redis = context.redis();
  if (!redis) return failed(redis.error());
  const auto changes = plan_changes(context, *redis, std::move(*objects));
  if (!changes) return failed(changes.error());
  std::vector<store::StoredObject> pruned;
  if (options.prune.prune) {
    const auto kinds = prune_kinds(options.prune);
    if (!kinds) return failed(kinds.error());
    auto found = plan_prune(context, **redis, *changes, *kinds, *labels);
    if (!found) return failed(found.error());
    pruned = std::move(*found);
  }
  return show(*changes, pruned);
}

}  // namespace sluice
