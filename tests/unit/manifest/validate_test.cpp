#include "control/manifest/validate.h"

#include <gmock/gmock.h>

#include "control/manifest/manifest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

struct BadCase {
  const char* object;  // Flow YAML without apiVersion and kind.
  const char* kind;
  const char* path;
  const char* text;
};

std::string api(const std::string& kind) {
  if (kind == "EndpointSlice") return "discovery.k8s.io/v1";
  return kind == "AddressPool" ? "sluice.dev/v1" : "v1";
}

std::string error_of(const std::string& kind, const std::string& fields) {
  const auto manifest = parse_manifests(
      "{apiVersion: " + api(kind) + ", kind: " + kind + ", " + fields + "}", "f.yaml");
  return manifest ? "" : manifest.error();
}

class BadObject : public testing::TestWithParam<BadCase> {};

TEST_P(BadObject, IsRefusedWithItsField) {
  const std::string error = error_of(GetParam().kind, GetParam().object);
  EXPECT_THAT(error, HasSubstr(std::string(": ") + GetParam().path + ": "));
  EXPECT_THAT(error, HasSubstr(GetParam().text));
  EXPECT_THAT(error, HasSubstr("f.yaml:1:"));
}

#define POOL(spec, path, text)                                                                    \
  BadCase {                                                                                       \
    "metadata: {name: a}, spec: {addresses: [192.0.2.0/24], " spec "}", "AddressPool", path, text \
  }
#define SERVICE(spec) "metadata: {name: a}, spec: {" spec "}", "Service"
INSTANTIATE_TEST_SUITE_P(
    Services, BadObject,
    testing::Values(
        BadCase{SERVICE("type: LoadBalancer"), "spec.ports", "at least one port"},
        BadCase{SERVICE("ports: [{port: 0}]"), "spec.ports[0].port", "0 is not a port"},
        BadCase{SERVICE("ports: [{port: 70000}]"), "spec.ports[0].port", "70000 is not a port"},
        BadCase{SERVICE("ports: [{port: -1}]"), "spec.ports[0].port", "-1 is not a port"},
        BadCase{SERVICE("ports: [{port: 1, protocol: tcp}]"), "spec.ports[0].protocol",
                "TCP, UDP, SCTP"},
        BadCase{SERVICE("ports: [{port: 1, targetPort: 0}]"), "spec.ports[0].targetPort",
                "0 is not a port"},
        BadCase{SERVICE("ports: [{port: 1, targetPort: 70000}]"), "spec.ports[0].targetPort",
                "70000"},
        BadCase{SERVICE("ports: [{port: 1, targetPort: Not_A_Name}]"), "spec.ports[0].targetPort",
                "port's name"},
        BadCase{SERVICE("ports: [{port: 1}, {port: 2}]"), "spec.ports[1].name",
                "each needs a name"},
        BadCase{SERVICE("ports: [{name: a, port: 1}, {name: a, port: 2}]"), "spec.ports[1].name",
                "already"},
        BadCase{SERVICE("ports: [{name: a, port: 1}, {name: b, port: 1}]"), "spec.ports[1].port",
                "1/TCP is spec.ports[0] already"},
        BadCase{SERVICE("ports: [{port: 1}], type: Balancer"), "spec.type", "LoadBalancer"},
        BadCase{SERVICE("ports: [{port: 1}], ipFamilies: [IPv5]"), "spec.ipFamilies[0]",
                "IPv4, IPv6"},
        BadCase{SERVICE("ports: [{port: 1}], ipFamilies: [IPv4, IPv4]"), "spec.ipFamilies[1]",
                "twice"},
        BadCase{
            SERVICE("ports: [{port: 1}], ipFamilyPolicy: SingleStack, ipFamilies: [IPv4, IPv6]"),
            "spec.ipFamilies", "PreferDualStack"},
        BadCase{SERVICE("ports: [{port: 1}], ipFamilyPolicy: Both"), "spec.ipFamilyPolicy",
                "RequireDualStack"},
        BadCase{SERVICE("ports: [{port: 1}], loadBalancerIP: 192.0.2.300"), "spec.loadBalancerIP",
                "192.0.2.300"},
        BadCase{SERVICE("ports: [{port: 1}], sessionAffinity: Sticky"), "spec.sessionAffinity",
                "ClientIP"},
        BadCase{SERVICE("ports: [{port: 1}], externalTrafficPolicy: Here"),
                "spec.externalTrafficPolicy", "Local"},
        BadCase{SERVICE("ports: [{port: 1}], selector: {\"a b\": c}"), "spec.selector[a b]",
                "label key"},
        BadCase{SERVICE("ports: [{port: 1}], selector: {a: \"b c\"}"), "spec.selector[a]",
                "label value"},
        BadCase{SERVICE("ports: [{port: 1}], loadBalancerClass: a/b"), "spec.loadBalancerClass",
                "LoadBalancer only"},
        BadCase{SERVICE("ports: [{port: 1}], clusterIP: None, type: LoadBalancer"),
                "spec.clusterIP", "ClusterIP only"},
        BadCase{SERVICE("ports: [{port: 1}], loadBalancerSourceRanges: [10.0.0.0/33]"),
                "spec.loadBalancerSourceRanges[0]", "10.0.0.0/33"},
        BadCase{SERVICE("ports: [{port: http}]"), "spec.ports[0].port", "not a number"},
        BadCase{"metadata: {name: Web}, spec: {ports: [{port: 1}]}", "Service", "metadata.name",
                "DNS label"},
        BadCase{"metadata: {name: 1a}, spec: {ports: [{port: 1}]}", "Service", "metadata.name",
                "letter first"},
        BadCase{"metadata: {name: a, namespace: A}, spec: {ports: [{port: 1}]}", "Service",
                "metadata.namespace", "DNS label"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/forwarding-mode: dsr}}, spec: "
                "{ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/forwarding-mode]",
                "nat, dnat, dsr-mac, ipip, gue"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/overlay: geneve}}, spec: "
                "{ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/overlay]", "none, vxlan, ipip"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/proxy-protocol: v1}}, spec: "
                "{ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/proxy-protocol]", "v2"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/quic-connection-ids: \"yes\"}}, "
                "spec: {ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/quic-connection-ids]", "plaintext"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/addresses: \"192.0.2.1, x\"}}, "
                "spec: {type: LoadBalancer, ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/addresses]",
                "\"x\" is no IPv4 or IPv6 address"},
        BadCase{"metadata: {name: a, annotations: {sluice.dev/addresses: \"2001:db8::1\"}}, "
                "spec: {type: LoadBalancer, ports: [{port: 1}]}",
                "Service", "metadata.annotations[sluice.dev/addresses]",
                "ipFamilies does not name"}));
#undef SERVICE

INSTANTIATE_TEST_SUITE_P(
    Backends, BadObject,
    testing::Values(
        BadCase{"metadata: {name: a}, addressType: ipv4", "EndpointSlice", "addressType",
                "IPv4, IPv6, FQDN"},
        BadCase{"metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [\"fd00::1\"]}]",
                "EndpointSlice", "endpoints[0].addresses[0]",
                "is not an IPv4 address, as addressType says"},
        BadCase{"metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: []}]",
                "EndpointSlice", "endpoints[0].addresses", "1 to 100"},
        BadCase{"metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [127.0.0.1]}]",
                "EndpointSlice", "endpoints[0].addresses[0]", "loopback"},
        BadCase{"metadata: {name: a}, addressType: IPv4, ports: [{port: 0}]", "EndpointSlice",
                "ports[0].port", "0 is not a port"},
        BadCase{"metadata: {name: a}, subsets: [{addresses: [{ip: 10.0.0}], ports: [{port: 1}]}]",
                "Endpoints", "subsets[0].addresses[0].ip", "10.0.0"},
        BadCase{"metadata: {name: a}, subsets: [{ports: [{port: 1}]}]", "Endpoints", "subsets[0]",
                "neither"},
        BadCase{"metadata: {name: a}, subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: a}]}]",
                "Endpoints", "subsets[0].ports[0].port", "is missing"},
        BadCase{"metadata: {name: a}, status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}", "Pod",
                "status.podIPs[1].ip", "one address of each family"},
        BadCase{"metadata: {name: a}, status: {podIP: nowhere}", "Pod", "status.podIP", "nowhere"},
        BadCase{"metadata: {name: a}, status: {addresses: [{type: InternalIP, address: here}]}",
                "Node", "status.addresses[0].address", "here"},
        BadCase{"metadata: {name: a}, status: {addresses: [{type: IP, address: 10.0.0.1}]}", "Node",
                "status.addresses[0].type", "InternalIP, ExternalIP, Hostname"},
        BadCase{"metadata: {name: a}, spec: {addresses: [192.0.2.0/24], overlay: vlan}",
                "AddressPool", "spec.overlay", "none, vxlan, ipip"},
        BadCase{"metadata: {name: a}, status: {phase: Walking}", "Pod", "status.phase", "Running"},
        BadCase{"metadata: {name: a}, status: {conditions: [{type: Ready, status: true}]}", "Pod",
                "status.conditions[0].status", "write \"true\" in quotes"},
        BadCase{"metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 99999}]}]}",
                "Pod", "spec.containers[0].ports[0].containerPort", "99999 is not a port"},
        BadCase{"metadata: {name: a, namespace: b}", "Node", "metadata.namespace",
                "has no namespace"},
        BadCase{"metadata: {name: a}", "AddressPool", "spec.addresses", "is empty"},
        BadCase{"metadata: {name: a}, spec: {addresses: []}", "AddressPool", "spec.addresses",
                "is empty"},
        BadCase{"metadata: {name: a}, spec: {addresses: [192.0.2.1/24]}", "AddressPool",
                "spec.addresses[0]", "write 192.0.2.0/24"},
        BadCase{"metadata: {name: a}, spec: {addresses: [192.0.2.9-192.0.2.1]}", "AddressPool",
                "spec.addresses[0]", "ends before it begins"},
        BadCase{"metadata: {name: a}, spec: {addresses: [\"192.0.2.9-fd00::1\"]}", "AddressPool",
                "spec.addresses[0]", "mixes"},
        BadCase{"metadata: {name: a}, spec: {addresses: [192.0.2.0/24, 192.0.2.7-192.0.2.9]}",
                "AddressPool", "spec.addresses[1]", "overlaps"},
        BadCase{"metadata: {name: a}, spec: {addresses: [224.0.0.0/8]}", "AddressPool",
                "spec.addresses[0]", "multicast"},
        BadCase{"metadata: {name: a}, spec: {addresses: [0.0.0.0/0]}", "AddressPool",
                "spec.addresses[0]", "larger than a /8"},
        BadCase{"metadata: {name: a}, spec: {addresses: [192.0.2.0/24], unservedPorts: ignore}",
                "AddressPool", "spec.unservedPorts", "reject, drop"},
        POOL("clusters: [A]", "spec.clusters[0]", "is not a DNS label"),
        POOL("clusters: [a, a]", "spec.clusters[1]", "given twice"),
        POOL("namespaces: [a/b]", "spec.namespaces[0]", "is not a DNS label"),
        POOL("namespaceSelector: {matchLabels: {-a: b}}", "spec.namespaceSelector.matchLabels[-a]",
             "is not a label key"),
        POOL("serviceSelector: {matchExpressions: [{key: a, operator: Is}]}",
             "spec.serviceSelector.matchExpressions[0].operator",
             "In, NotIn, Exists, DoesNotExist"),
        POOL("serviceSelector: {matchExpressions: [{key: a, operator: In}]}",
             "spec.serviceSelector.matchExpressions[0].values", "needs at least one value"),
        POOL("serviceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
             "spec.serviceSelector.matchExpressions[0].values", "does not go with Exists"),
        POOL("serviceSelector: {matchExpressions: [{key: a, operator: In, values: [b c]}]}",
             "spec.serviceSelector.matchExpressions[0].values[0]", "is not a label value"),
        POOL("sharing: all", "spec.sharing", "namespace, cluster, any"),
        POOL("namespaceSelectors: {}", "spec.namespaceSelectors", "")));

TEST(Validate, TakesOrdinaryObjects) {
  EXPECT_EQ(error_of("Service", "metadata: {name: a}, spec: {clusterIP: None}"), "");
  EXPECT_EQ(error_of("Service",
                     "metadata: {name: a}, spec: {type: ExternalName, externalName: example.com}"),
            "");
  EXPECT_EQ(error_of("Service",
                     "metadata: {name: a}, spec: {ports: [{name: dns, port: 53, protocol: UDP}, "
                     "{name: dns-tcp, port: 53, protocol: TCP}]}"),
            "");
  EXPECT_EQ(
      error_of("EndpointSlice",
               "metadata: {name: a}, addressType: FQDN, endpoints: [{addresses: [a.example]}]"),
      "");
  EXPECT_EQ(error_of("AddressPool",
                     "metadata: {name: a}, spec: {addresses: [192.0.2.1, \"2001:db8::/64\"]}"),
            "");
}

TEST(Validate, Names) {
  EXPECT_TRUE(is_dns_label("a-1"));
  EXPECT_FALSE(is_dns_label("-a"));
  EXPECT_FALSE(is_dns_label(std::string(64, 'a')));
  EXPECT_TRUE(is_dns_subdomain("a.b-c.d"));
  EXPECT_FALSE(is_dns_subdomain("a..b"));
  EXPECT_FALSE(is_dns_subdomain("a."));
  EXPECT_TRUE(is_label_key("app.kubernetes.io/name"));
  EXPECT_TRUE(is_label_key("App_1"));
  EXPECT_FALSE(is_label_key("/name"));
  EXPECT_FALSE(is_label_key("a/b/c"));
  EXPECT_TRUE(is_label_value(""));
  EXPECT_FALSE(is_label_value("-a"));
  EXPECT_TRUE(is_port_name("http-8080"));
  EXPECT_FALSE(is_port_name("8080"));
  EXPECT_FALSE(is_port_name("a--b"));
  EXPECT_FALSE(is_port_name("sixteen-letters-"));
}

}  // namespace
}  // namespace sluice
