// YAML read as JSON: server-side apply's bodies and RBAC manifests.
#include <yaml-cpp/yaml.h>

#include <charconv>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

constexpr int kMaxDepth = 64;

json::value scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return json::value(text);  // Quoted.
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true" || text == "false") return text == "true";
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  if (auto [rest, error] = std::from_chars(text.data(), end, number);
      error == std::errc() && rest == end) {
    return number;
  }
  return json::value(text);
}

json::value convert(const YAML::Node& node, int depth) {
  if (depth > kMaxDepth) throw YAML::Exception(node.Mark(), "nested too deeply");
  if (node.IsMap()) {
    json::object object;
    for (const auto& pair : node) object[pair.first.Scalar()] = convert(pair.second, depth + 1);
    return object;
  }
  if (node.IsSequence()) {
    json::array array;
    for (const YAML::Node& element : node) array.push_back(convert(element, depth + 1));
    return array;
  }
  return node.IsScalar() ? scalar(node) : json::value(nullptr);
}

}  // namespace

Result<std::vector<json::value>> yaml_documents(const std::string& text) {
  try {
    std::vector<json::value> documents;
    for (const YAML::Node& node : YAML::LoadAll(text)) {
      if (node.IsMap()) documents.push_back(convert(node, 0));
    }
    return documents;
  } catch (const YAML::Exception& error) {
    return Error{std::string("YAML: ") + error.what()};
  }
}

Result<json::value> yaml_to_json(const std::string& text) {
  Result<std::vector<json::value>> documents = yaml_documents(text);
  if (!documents) return Error{documents.error()};
  if (documents->size() != 1) return Error{"YAML: one document is wanted"};
  return std::move(documents->front());
}

}  // namespace sluice::test::kube
