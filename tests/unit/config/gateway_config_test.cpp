#include "config/gateway_config.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "config/yaml_tree.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string error_of(const std::string& text) {
  const auto config = parse_gateway_config(text, "g.yaml");
  return config ? "" : config.error();
}

TEST(GatewayConfig, DefaultsAreRight) {
  const auto config = load_gateway_config("");
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->dataplane().workers(), 1u);
  EXPECT_EQ(config->redis().address(), "127.0.0.1:6379");
  EXPECT_EQ(config->dataplane().nat().last_port(), 65535u);
  EXPECT_THAT(config->control().load_balancer_classes(), ElementsAre("sluice.dev/gateway"));
}

// The file people copy is the file that is compiled in.
TEST(GatewayConfig, TheSampleIsTheDefault) {
  const std::string path = std::string(SLUICE_CONFIG_DIR) + "/gateway.yaml";
  const auto text = read_text_file(path);
  ASSERT_TRUE(text) << text.error();
  EXPECT_EQ(*text, default_gateway_yaml());
  const auto sample = load_gateway_config(path);
  ASSERT_TRUE(sample) << sample.error();
  EXPECT_THAT(changed_fields(*load_gateway_config(""), *sample), IsEmpty());
}

TEST(GatewayConfig, MissingFiles) {
  const auto config = load_gateway_config("/nonexistent/gateway.yaml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error(), HasSubstr("/nonexistent/gateway.yaml"));
  EXPECT_FALSE(load_gateway_config("/"));
}

TEST(GatewayConfig, PortsAreOptionalForControlAlone) {
  const auto config = parse_gateway_config("gateway: {name: edge-1}\n", "g.yaml");
  ASSERT_TRUE(config) << config.error();
  EXPECT_THAT(check_for_dataplane(*config).error(), HasSubstr("dataplane.ports"));
  const auto with_ports = parse_gateway_config(
      "dataplane:\n  ports:\n    - {name: wan, device: \"0000:01:00.0\"}\n"
      "    - {name: lan, device: \"net_af_packet0,iface=eth1\", mtu: 9000}\n",
      "g.yaml");
  ASSERT_TRUE(with_ports) << with_ports.error();
  EXPECT_TRUE(check_for_dataplane(*with_ports));
  EXPECT_EQ(with_ports->dataplane().ports(0).mtu(), 1500u);
  EXPECT_EQ(with_ports->dataplane().ports(1).mtu(), 9000u);
  EXPECT_EQ(with_ports->dataplane().ports(1).rx_descriptors(), 1024u);
}

struct BadCase {
  const char* yaml;
  const char* place;  // "g.yaml:LINE:COLUMN: FIELD"
  const char* text;
};

class BadGatewayConfig : public testing::TestWithParam<BadCase> {};

TEST_P(BadGatewayConfig, IsToldWithPlaceValueAndRemedy) {
  const std::string error = error_of(GetParam().yaml);
  EXPECT_THAT(error, HasSubstr(GetParam().place));
  EXPECT_THAT(error, HasSubstr(GetParam().text));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadGatewayConfig,
    testing::Values(
        BadCase{"dataplane:\n  workers: 0\n", "g.yaml:2:12: dataplane.workers", "1 to 64"},
        BadCase{"dataplane:\n  workers: 65\n", "g.yaml:2:12: dataplane.workers",
                "65 is out of range"},
        BadCase{"dataplane: {idle: nap}", "g.yaml:1:19: dataplane.idle",
                "\"nap\" is not one of: spin, back-off"},
        BadCase{"dataplane: {instructionSet: mmx}", "g.yaml:1:29: dataplane.instructionSet",
                "\"mmx\" is not one of: auto, scalar, sse, avx2, avx512"},
        BadCase{"dataplane: {nat: {firstPort: 50000, lastPort: 40000}}", "dataplane.nat.firstPort",
                "\"50000\" is above lastPort, 40000"},
        BadCase{"dataplane: {nat: {firstPort: 65000}}", "dataplane.nat.lastPort",
                "fewer than 1024"},
        BadCase{"dataplane: {nat: {lastPort: 70000}}", "dataplane.nat.lastPort", "65535"},
        BadCase{"dataplane: {nat: {addresses: [10.0.0.256]}}", "dataplane.nat.addresses[0]",
                "10.0.0.256"},
        BadCase{"dataplane: {memory: {hugePages: maybe}}", "dataplane.memory.hugePages",
                "auto, on, off"},
        BadCase{"dataplane: {socket: run/x}", "dataplane.socket", "absolute"},
        BadCase{"dataplane: {timers: {udp: 0}}", "dataplane.timers.udp", "1 to"},
        BadCase{"dataplane: {tables: {flowsIPv4: 1}}", "dataplane.tables.flowsIPv4", "1024"},
        BadCase{"dataplane: {lcores: \"a b\"}", "dataplane.lcores", "--lcores"},
        BadCase{"dataplane: {slowPath: {vipInterface: a-name-much-too-long}}",
                "slowPath.vipInterface", "15"},
        BadCase{"dataplane:\n  ports:\n    - {name: wan, device: x}\n",
                "g.yaml:3:27: dataplane.ports[0].device", "PCI address"},
        BadCase{"dataplane:\n  ports:\n    - device: \"0000:01:00.0\"\n",
                "g.yaml:3:7: dataplane.ports[0].name", "1 to 15"},
        BadCase{"dataplane:\n  ports:\n    - {name: a, device: \"01:00.0\"}\n    - {name: a, "
                "device: \"01:00.1\"}\n",
                "g.yaml:4:14: dataplane.ports[1].name", "must differ"},
        BadCase{"dataplane:\n  ports:\n    - {name: a, device: \"01:00.0\"}\n    - {name: b, "
                "device: \"01:00.0\"}\n",
                "dataplane.ports[1].device", "another port's device"},
        BadCase{"dataplane:\n  ports:\n    - {name: a, device: \"01:00.0\", rss: on}\n",
                "ports[0].rss", "external"},
        BadCase{"dataplane:\n  ports:\n    - {name: a, device: \"01:00.0\", mtu: 100}\n",
                "ports[0].mtu", "1280"},
        BadCase{"redis: {address: nowhere}", "g.yaml:1:18: redis.address", "HOST:PORT"},
        BadCase{"redis: {address: \"::1:6379\"}", "redis.address", "[IPv6]:PORT"},
        BadCase{"redis: {address: \"host:0\"}", "redis.address", "HOST:PORT"},
        BadCase{"redis: {address: \"unix:relative\"}", "redis.address", "absolute"},
        BadCase{"redis: {username: me}", "redis.username", "passwordFile"},
        BadCase{"redis: {tls: {ca: /etc/ca.pem}}", "redis.tls.enabled", "set true"},
        BadCase{"redis: {tls: {enabled: true, ca: ca.pem}}", "g.yaml:1:34: redis.tls.ca",
                "absolute path"},
        BadCase{"redis: {tls: {enabled: true, certificate: /c.pem}}", "redis.tls.certificate",
                "needs redis.tls.key as well"},
        BadCase{"redis: {tls: {enabled: true, key: /k.pem}}", "redis.tls.key",
                "needs redis.tls.certificate as well"},
        BadCase{"redis: {tls: {enabled: true, serverName: \"a b\"}}", "redis.tls.serverName",
                "neither a host name nor an address"},
        BadCase{"redis: {address: \"unix:/r\", tls: {enabled: true}}", "redis.tls.enabled",
                "Unix socket"},
        BadCase{"redis: {sentinel: {addresses: [\"a:1\"]}}", "redis.sentinel.master",
                "the name the Sentinels know"},
        BadCase{"redis: {sentinel: {addresses: [a], master: m}}", "redis.sentinel.addresses[0]",
                "HOST:PORT"},
        BadCase{"redis: {sentinel: {master: m}}", "redis.sentinel.master",
                "needs redis.sentinel.addresses"},
        BadCase{"redis: {sentinel: {addresses: [\"a:1\"], master: m, username: me}}",
                "redis.sentinel.username", "passwordFile"},
        BadCase{"control: {forwardingMode: dsr}", "control.forwardingMode",
                "nat, dnat, dsr-mac, ipip, gue"},
        BadCase{"control: {listen: here}", "control.listen", "ADDRESS:PORT"},
        BadCase{"control: {listen: \"localhost:9466\"}", "control.listen", "ADDRESS:PORT"},
        BadCase{"control: {listen: \"127.0.0.1:70000\"}", "control.listen", "ADDRESS:PORT"},
        BadCase{"control: {overlay: geneve}", "control.overlay", "none, vxlan, ipip"},
        BadCase{"dataplane: {idle: sleep}", "dataplane.idle", "spin, back-off, power"},
        BadCase{"dataplane: {tunnel: {sources: [198.51.100.1/24]}}", "dataplane.tunnel.sources[0]",
                "no host bits"},
        BadCase{"dataplane: {tunnel: {sources: [198.51.100.1/32]}}", "dataplane.tunnel.sources[0]",
                "8 to 31 bits"},
        BadCase{"dataplane: {tunnel: {sources: [\"2001:db8::/128\"]}}",
                "dataplane.tunnel.sources[0]", "8 to 127 bits"},
        BadCase{"dataplane: {tunnel: {sources: [224.0.0.0/24]}}", "dataplane.tunnel.sources[0]",
                "unicast"},
        BadCase{"dataplane: {tunnel: {sources: [10.0.0.0/24, 10.0.1.0/24]}}",
                "dataplane.tunnel.sources[1]", "second prefix"},
        BadCase{"dataplane: {tunnel: {sources: [10.0.0.0/24, 10.0.1.0/24, 10.0.2.0/24]}}",
                "dataplane.tunnel.sources", "0 to 2"},
        BadCase{"control: {pools: [{name: p, addresses: [192.0.2.1/24]}]}",
                "control.pools[0].addresses[0]", "write 192.0.2.0/24"},
        BadCase{"control: {pools: [{name: p}]}", "control.pools[0].addresses", "empty"},
        BadCase{"logging: {level: loud}", "logging.level", "debug, info, warning, error"},
        BadCase{"logging: {levle: info}", "logging.levle", "did you mean \"level\""},
        BadCase{"gateway: {name: \"Bad Name\"}", "gateway.name", "lower-case"},
        BadCase{"- a\n", "g.yaml:1:1", "expected a map"}, BadCase{"a: [", "g.yaml:", "not YAML"},
        BadCase{"gateway: {}\n---\nlogging: {}\n", "g.yaml:3:1", "second document"}));

TEST(GatewayConfig, TellsAllMistakesAtOnce) {
  const std::string error = error_of("dataplane: {workers: 99, idle: x}\nlogging: {level: y}\n");
  EXPECT_THAT(error, HasSubstr("dataplane.workers"));
  EXPECT_THAT(error, HasSubstr("dataplane.idle"));
  EXPECT_THAT(error, HasSubstr("logging.level"));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 2);
}

TEST(GatewayConfig, RedisAddresses) {
  for (const char* address :
       {"localhost:6379", "[::1]:6379", "10.0.0.1:1", "unix:/run/redis.sock"}) {
    EXPECT_EQ(error_of("redis: {address: \"" + std::string(address) + "\"}"), "") << address;
  }
}

TEST(GatewayConfig, ChangedFields) {
  const auto before = load_gateway_config("");
  const auto after = parse_gateway_config(
      "logging: {level: debug}\ndataplane: {workers: 2, tables: {vips: 7}}\n"
      "control: {loadBalancerClasses: [a/b, c/d]}\n",
      "g");
  ASSERT_TRUE(after) << after.error();
  EXPECT_THAT(changed_fields(*before, *after),
              ElementsAre("control.loadBalancerClasses", "dataplane.workers",
                          "dataplane.tables.vips", "logging.level"));
  EXPECT_THAT(changed_fields(*before, *before), IsEmpty());
}

}  // namespace
}  // namespace sluice
