#include "config/gateway_config.h"

#include "config/config_file.h"
#include "config/default_gateway_yaml.h"
#include "config/gateway_rules.h"

namespace sluice {
namespace {

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
  const Status read =
      read_config_over({kDefaultGatewayYaml, "default gateway.yaml"}, text, file, &config, &report);
  if (!read) return Error{read.error()};
  set_port_defaults(&config);
  if (report.errors.empty()) check_gateway_config(config, &report);
  if (!report.errors.empty()) return Error{config_errors(report)};
  return config;
}

}  // namespace

Result<v1::GatewayConfig> load_gateway_config(const std::string& path) {
  const auto text = read_config_file(path, kDefaultConfigFile);
  if (!text) return Error{text.error()};
  return read_config(*text ? &**text : nullptr, path);
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

}  // namespace sluice
