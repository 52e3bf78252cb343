#include "control/manifest/manifest.h"

#include <map>
#include <utility>

#include "config/yaml_message.h"
#include "control/manifest/passed_over.h"
#include "control/manifest/show.h"
#include "control/manifest/validate.h"
#include "control/model/key.h"

namespace sluice {
namespace {

constexpr std::size_t kMaxErrors = 100;
constexpr int kMaxListDepth = 4;

google::protobuf::Message* content_of(v1::Object* object, v1::Kind kind) {
  switch (kind) {
    case v1::KIND_SERVICE:
      return object->mutable_service();
    case v1::KIND_ENDPOINT_SLICE:
      return object->mutable_endpoint_slice();
    case v1::KIND_ENDPOINTS:
      return object->mutable_endpoints();
    case v1::KIND_POD:
      return object->mutable_pod();
    case v1::KIND_NODE:
      return object->mutable_node();
    case v1::KIND_NAMESPACE:
      return object->mutable_namespace_();
    case v1::KIND_ADDRESS_POOL:
      return object->mutable_address_pool();
    default:
      return nullptr;
  }
}

// A group's part of an apiVersion: "" for core/v1.
std::string group_of(const std::string& version) {
  const auto slash = version.find('/');
  return slash == std::string::npos ? "" : version.substr(0, slash);
}

class Reader {
 public:
  Reader(std::string file, const ManifestOptions& options)
      : file_(std::move(file)), options_(options) {}

  // What an element of a ServiceList does not say again.
  struct Inherited {
    std::string kind;
    std::string version;
  };

  void read(const YamlNode& node, int depth = 0, const Inherited& inherited = {}) {
    if (node.kind != YamlNode::Kind::map) {
      return error(node, "expected an object (a map with apiVersion and kind)");
    }
    std::string kind = text_of(node, "kind");
    std::string version = text_of(node, "apiVersion");
    if (kind.empty() && version.empty()) {
      kind = inherited.kind;
      version = inherited.version;
    }
    if (kind.empty())
      return error(node, "kind: is missing; every object needs kind and apiVersion");
    if (version.empty()) {
      return error(node, "apiVersion: is missing; every object needs kind and apiVersion");
    }
    if (kind.ends_with("List") && node.find("items") != nullptr) {
      kind.resize(kind.size() - 4);
      return read_list(node, depth, kind.empty() ? Inherited{} : Inherited{kind, version});
    }
    const auto known = kind_from_name(kind);
    if (!known || group_of(version) != group_of(api_version(*known)))
      return skip(node, kind, version);
    if (version != api_version(*known)) {
      return error(node, "apiVersion: " + kind + " of \"" + version + "\" is not known; write " +
                             api_version(*known));
    }
    read_object(node, *known);
  }

  Result<Manifest> finish() {
    if (errors_.empty()) return std::move(manifest_);
    std::string text;
    for (const std::string& line : errors_) text += (text.empty() ? "" : "\n") + line;
    return Error{text};
  }

 private:
  static std::string text_of(const YamlNode& node, const char* field) {
    const YamlNode* value = node.find(field);
    return value != nullptr && value->kind == YamlNode::Kind::scalar ? value->scalar : "";
  }
  void error(const YamlNode& node, const std::string& text) {
    add_error(yaml_where(file_, node.mark) + ": " + text);
  }
  void add_error(std::string line) {
    if (errors_.size() < kMaxErrors) errors_.push_back(std::move(line));
  }

  void read_list(const YamlNode& node, int depth, const Inherited& inherited) {
    const YamlNode& items = *node.find("items");
    if (items.kind == YamlNode::Kind::null) return;
    if (items.kind != YamlNode::Kind::sequence) return error(items, "items: expected a list");
    if (depth >= kMaxListDepth) return error(items, "items: lists within lists, too deep");
    for (const YamlNode& item : items.items) read(item, depth + 1, inherited);
  }

  void skip(const YamlNode& node, const std::string& kind, const std::string& version) {
    const YamlNode* metadata = node.find("metadata");
    const std::string name = metadata == nullptr ? "" : text_of(*metadata, "name");
    manifest_.warnings.push_back(file_ + ":" + std::to_string(node.mark.line) + ": " + kind +
                                 (name.empty() ? "" : " " + name) + " (" + version +
                                 ") is skipped: not a kind Sluice uses");
  }

  void read_object(const YamlNode& node, v1::Kind kind) {
    ManifestObject object;
    object.file = file_;
    object.line = node.mark.line;
    YamlReadOptions options;
    options.file = file_;
    options.unknown = options_.validation == FieldValidation::strict ? UnknownFields::refuse
                                                                     : UnknownFields::collect;
    options.passed_over = [kind](const std::string& path) { return is_passed_over(kind, path); };
    options.strict_strings = true;
    options.ignored = {"apiVersion", "kind"};
    YamlReport report;
    read_message(node, options, content_of(&object.object, kind), &report);
    v1::ObjectMeta* metadata = mutable_metadata_of(&object.object);
    if (kind_is_namespaced(kind) && metadata->namespace_().empty()) {
      metadata->set_namespace_(options_.default_namespace);
    }
    // A value that could not be read looks absent; do not complain of it twice.
    if (report.errors.empty()) {
      set_defaults(&object.object);
      for (const FieldError& e : validate(object.object)) report.error_at(e.path, e.text);
      object.warnings = warnings_of(object.object);
    }
    // A field of ours that is misspelt would let in whom it was to keep out.
    for (const std::string& path : report.unknown_fields) {
      if (kind == v1::KIND_ADDRESS_POOL && path.starts_with("spec.")) {
        report.error_at(path, "is no field of an AddressPool");
      }
    }
    const ObjectKey key = key_of(kManualSource, object.object);
    const std::string who =
        std::string(kind_name(kind)) + " " + (key.ns.empty() ? "" : key.ns + "/") + key.name;
    for (const std::string& line : report.errors) add_error(named(line, who));
    if (options_.validation == FieldValidation::warn)
      for (const std::string& line : report.unknown_errors)
        manifest_.warnings.push_back(named(line, who));
    if (const auto [at, is_new] = seen_.try_emplace(key, node.mark.line);
        !is_new && !key.name.empty()) {
      error(node, who + " is given twice; first in line " + std::to_string(at->second));
    }
    v1::Header* header = object.object.mutable_header();
    header->set_major(1);
    header->set_writer(options_.writer);
    for (std::string& path : report.unknown_fields) header->add_unknown_fields(std::move(path));
    manifest_.objects.push_back(std::move(object));
  }

  // "FILE:LINE:COLUMN: PATH: text" with the object's name after the place.
  std::string named(const std::string& line, const std::string& who) const {
    const auto end = line.find(": ", file_.size());
    return line.substr(0, end) + ": " + who + line.substr(end);
  }

  const std::string file_;
  const ManifestOptions& options_;
  Manifest manifest_;
  std::vector<std::string> errors_;
  std::map<ObjectKey, int> seen_;  // Line of the first.
};

}  // namespace

Result<Manifest> parse_manifests(std::string_view text, const std::string& file,
                                 const ManifestOptions& options) {
  const auto documents = parse_yaml(text, file);
  if (!documents) return Error{documents.error()};
  Reader reader(file, options);
  for (const YamlNode& document : *documents) reader.read(document);
  return reader.finish();
}

}  // namespace sluice
