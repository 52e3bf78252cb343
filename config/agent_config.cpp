#include "config/agent_config.h"

#include <regex>

#include "config/checker.h"
#include "config/default_agent_yaml.h"
#include "config/gateway_rules.h"

namespace sluice {
namespace {

void check_kubernetes(const v1::AgentKubernetes& kubernetes, Checker* check) {
  check->absolute_path("kubernetes.kubeconfig", kubernetes.kubeconfig(), true);
  static const std::regex label("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?");
  if (!kubernetes.namespace_().empty() && !std::regex_match(kubernetes.namespace_(), label)) {
    check->error("kubernetes.namespace", kubernetes.namespace_(), "cannot name a namespace");
  }
  if (!is_name(kubernetes.lease_name(), 253)) {
    check->error("kubernetes.leaseName", kubernetes.lease_name(),
                 "cannot name a Lease: right are lower-case letters, digits, '-' and '.'");
  }
}

void check_agent_config(const v1::AgentConfig& config, YamlReport* report) {
  Checker check(report);
  static const std::regex source("[a-z0-9-]{1,63}");
  if (config.cluster().empty()) {
    report->error_at("cluster", "is not given: name the cluster there, or by --cluster");
  } else if (!std::regex_match(config.cluster(), source) || config.cluster() == "manual" ||
             config.cluster() == "-") {
    check.error("cluster", config.cluster(),
                "cannot name a cluster: right are 1 to 63 of a-z, 0-9 and '-', but for \"manual\" "
                "(what sluice apply wrote) and \"-\"");
  }
  check_kubernetes(config.kubernetes(), &check);
  check_redis_config(config.redis(), report);
  for (int i = 0; i < config.load_balancer_classes_size(); ++i) {
    check.load_balancer_class("loadBalancerClasses[" + std::to_string(i) + "]",
                              config.load_balancer_classes(i));
  }
  check.range("resyncSeconds", config.resync_seconds(), 10, 86'400, " s");
  check_listen("listen", config.listen(), report);
  check.word("logging.level", config.logging().level(), {"debug", "info", "warning", "error"});
  check.word("logging.format", config.logging().format(), {"text", "json"});
}

Result<v1::AgentConfig> read_config(const std::string* text, const std::string& file,
                                    const AgentOverrides& overrides) {
  v1::AgentConfig config;
  YamlReport report;
  const Status read =
      read_config_over({kDefaultAgentYaml, "default agent.yaml"}, text, file, &config, &report);
  if (!read) return Error{read.error()};
  if (!overrides.cluster.empty()) config.set_cluster(overrides.cluster);
  if (!overrides.kubeconfig.empty())
    config.mutable_kubernetes()->set_kubeconfig(overrides.kubeconfig);
  if (!overrides.redis.empty()) config.mutable_redis()->set_address(overrides.redis);
  if (!overrides.listen.empty()) config.set_listen(overrides.listen);
  if (report.errors.empty()) check_agent_config(config, &report);
  if (!report.errors.empty()) return Error{config_errors(report)};
  return config;
}

}  // namespace

Result<v1::AgentConfig> load_agent_config(const std::string& path,
                                          const AgentOverrides& overrides) {
  const auto text = read_config_file(path, kDefaultAgentConfigFile);
  if (!text) return Error{text.error()};
  return read_config(*text ? &**text : nullptr, path, overrides);
}

Result<v1::AgentConfig> parse_agent_config(const std::string& text, const std::string& file,
                                           const AgentOverrides& overrides) {
  return read_config(&text, file, overrides);
}

const char* default_agent_yaml() {
  return kDefaultAgentYaml;
}

}  // namespace sluice
