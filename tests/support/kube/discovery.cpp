// Paths that name no object: version, health, what resources there are.
#include <boost/json.hpp>

#include "tests/support/kube/api.h"

namespace sluice::test::kube {
namespace {

namespace json = boost::json;

json::object group_version(const std::string& group, const std::string& version) {
  return {{"groupVersion", group + "/" + version}, {"version", version}};
}

json::object api_group(const std::string& name) {
  return {{"name", name},
          {"versions", json::array{group_version(name, "v1")}},
          {"preferredVersion", group_version(name, "v1")}};
}

Answer resource_list(const std::string& group, const std::string& version) {
  json::array list;
  std::string shown;
  for (const Resource& resource : resources()) {
    if (resource.group != group || resource.version != version) continue;
    shown = api_version(resource);
    json::array verbs;
    for (const char* verb : {"create", "delete", "get", "list", "patch", "update", "watch"}) {
      verbs.emplace_back(verb);
    }
    std::string singular(resource.kind);
    for (char& c : singular) c = static_cast<char>(std::tolower(c));
    list.push_back(json::object{{"name", resource.plural},
                                {"singularName", singular},
                                {"namespaced", resource.namespaced},
                                {"kind", resource.kind},
                                {"verbs", std::move(verbs)}});
    if (!resource.has_status) continue;
    list.push_back(json::object{{"name", std::string(resource.plural) + "/status"},
                                {"singularName", ""},
                                {"namespaced", resource.namespaced},
                                {"kind", resource.kind},
                                {"verbs", json::array{"get", "patch", "update"}}});
  }
  if (list.empty()) return no_such_path();
  const json::object answer{{"kind", "APIResourceList"},
                            {"apiVersion", "v1"},
                            {"groupVersion", shown},
                            {"resources", std::move(list)}};
  return {200, json::serialize(answer) + "\n", 0};
}

constexpr const char* kVersion = R"({
  "major": "1",
  "minor": "32",
  "gitVersion": "v1.32.13",
  "platform": "linux/amd64"
})";

}  // namespace

Answer discovery(const Target& target) {
  const std::vector<std::string>& path = target.path;
  const std::string first = path.empty() ? "" : path[0];
  if (path.size() == 1) {
    if (first == "version") return {200, kVersion, 0};
    if (first == "healthz" || first == "livez" || first == "readyz") return {200, "ok", 0};
    if (first == "api") {
      return {200, R"({"kind":"APIVersions","versions":["v1"]})", 0};
    }
    if (first == "apis") {
      json::array groups;
      for (const char* name : {"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io"}) {
        groups.push_back(api_group(name));
      }
      const json::object answer{
          {"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
      return {200, json::serialize(answer) + "\n", 0};
    }
  }
  if (path.size() == 2 && first == "api") return resource_list("", path[1]);
  if (path.size() == 3 && first == "apis") return resource_list(path[1], path[2]);
  if (path.size() == 2 && first == "apis" && find_resource(path[1], "v1", "endpointslices")) {
    json::object answer{{"kind", "APIGroup"}, {"apiVersion", "v1"}};
    for (auto& [name, value] : api_group(path[1])) answer[name] = value;
    return {200, json::serialize(answer) + "\n", 0};
  }
  return no_such_path();
}

}  // namespace sluice::test::kube
