#include "config/gateway_config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>

#include "config/default_gateway_yaml.h"
#include "config/gateway_rules.h"
#include "config/yaml_message.h"

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "\n") + line;
  return text;
}

void read_over(const YamlNode& node, const std::string& file, v1::GatewayConfig* config,
               YamlReport* report) {
  YamlReadOptions options;
  options.file = file;
  read_message(node, options, config, report);
}

// A port's fields that are absent, or 0, have these values.
void set_port_defaults(v1::GatewayConfig* config) {
  for (v1::PortConfig& port : *config->mutable_dataplane()->mutable_ports()) {
    if (port.mtu() == 0) port.set_mtu(1500);
    if (port.rss().empty()) port.set_rss("auto");
    if (port.rx_descriptors() == 0) port.set_rx_descriptors(1024);
    if (port.tx_descriptors() == 0) port.set_tx_descriptors(1024);
  }
}

Result<v1::GatewayConfig> read_config(const std::string* text, const std::string& file) {
  v1::GatewayConfig config;
  YamlReport report;
  auto defaults = parse_yaml(kDefaultGatewayYaml, "default gateway.yaml");
  if (!defaults) return Error{defaults.error()};
  for (const YamlNode& node : *defaults) read_over(node, "default gateway.yaml", &config, &report);
  if (text != nullptr) {
    auto documents = parse_yaml(*text, file, {.bytes = 1 << 20, .nodes = 100'000, .depth = 16});
    if (!documents) return Error{documents.error()};
    if (documents->size() > 1) {
      return Error{yaml_where(file, (*documents)[1].mark) +
                   ": a second document; a configuration is one"};
    }
    for (const YamlNode& node : *documents) read_over(node, file, &config, &report);
  }
  set_port_defaults(&config);
  if (report.errors.empty()) check_gateway_config(config, &report);
  if (!report.errors.empty()) return Error{joined(report.errors)};
  return config;
}

void collect_changes(const Message& before, const Message& after, const std::string& path,
                     std::vector<std::string>* changes) {
  for (int i = 0; i < before.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = before.GetDescriptor()->field(i);
    const std::string field_path =
        path.empty() ? field->json_name() : path + "." + field->json_name();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated()) {
      collect_changes(before.GetReflection()->GetMessage(before, field),
                      after.GetReflection()->GetMessage(after, field), field_path, changes);
      continue;
    }
    google::protobuf::util::MessageDifferencer differencer;
    if (!differencer.CompareWithFields(before, after, {field}, {field}))
      changes->push_back(field_path);
  }
}

}  // namespace

Result<v1::GatewayConfig> load_gateway_config(const std::string& path) {
  std::error_code ignored;
  if (path.empty() || (path == kDefaultConfigFile && !std::filesystem::exists(path, ignored))) {
    return read_config(nullptr, "");
  }
  const auto text = read_text_file(path, 1 << 20);
  if (!text) return Error{text.error()};
  return read_config(&*text, path);
}

Result<v1::GatewayConfig> parse_gateway_config(const std::string& text, const std::string& file) {
  return read_config(&text, file);
}

const char* default_gateway_yaml() {
  return kDefaultGatewayYaml;
}

Status check_for_dataplane(const v1::GatewayConfig& config) {
  if (config.dataplane().ports().empty()) {
    return Error{
        "dataplane.ports: empty; sluice-dataplane needs at least one port, for instance "
        "`ports: [{name: wan, device: \"0000:01:00.0\"}]`"};
  }
  return Ok{};
}

std::vector<std::string> changed_fields(const v1::GatewayConfig& before,
                                        const v1::GatewayConfig& after) {
  std::vector<std::string> changes;
  collect_changes(before, after, "", &changes);
  return changes;
}

}  // namespace sluice
