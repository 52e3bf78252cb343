"""The address pools of the churn, and what they say: whom an address is for, and how its packets go."""
import ipaddress
import json

# Gateways write the first by themselves, by gateway.yaml; the others are applied.
PUBLIC = {"name": "public", "addresses": ["203.0.0.0/16", "2001:db8:5::/112"]}
POOLS = {
    "public": {"addresses": PUBLIC["addresses"]},
    "shared": {"addresses": ["198.51.100.0/27", "2001:db8:6::/120"], "autoAssign": False, "sharing": "cluster",
               "forwardingMode": "dnat"},
    "direct": {"addresses": ["198.51.100.64/27", "2001:db8:7::/120"], "autoAssign": False,
               "namespaces": ["red", "green", "anchors"], "forwardingMode": "ipip"},
    "small": {"addresses": ["198.51.100.128-198.51.100.131"], "autoAssign": False},
    "external": {"addresses": ["198.51.100.160/28", "2001:db8:8::/120"], "autoAssign": False,
                 "namespaces": ["green", "blue"], "allowExternalIPs": True},
}
# In a pool, some of them wanted by many; in none.
ADDRESSES = {
    "IPv4": ["198.51.100.5", "198.51.100.6", "198.51.100.7", "198.51.100.70", "198.51.100.71", "198.51.100.129",
             "198.51.100.165", "203.0.7.7", "203.0.0.1", "192.0.2.201"],
    "IPv6": ["2001:db8:6::5", "2001:db8:6::6", "2001:db8:7::5", "2001:db8:8::5", "2001:db8:5::77", "2001:db8:99::1"]}
EXTERNAL = ["198.51.100.161", "198.51.100.162", "198.51.100.165", "2001:db8:8::1", "2001:db8:8::5", "203.0.7.7",
            "192.0.2.202"]
KEYS = ["one", "two"]
MANY = 1024  # A pool of more addresses is never exhausted here.


def manifests():
    """All but the first, as YAML."""
    return "---\n".join(json.dumps({"apiVersion": "sluice.dev/v1", "kind": "AddressPool", "metadata": {"name": name},
                                    "spec": spec}) + "\n" for name, spec in POOLS.items() if name != "public")


def ranges(pool):
    """(first, last, first given out unasked, last given out unasked)"""
    for text in POOLS[pool]["addresses"]:
        if "-" in text:
            first, last = map(ipaddress.ip_address, text.split("-"))
            yield first, last, first, last
        else:
            network = ipaddress.ip_network(text)
            first, last = network[0], network[-1]
            yield first, last, first + 1, last - 1 if network.version == 4 else last


def pool_of(address):
    """Its name, or None. Pools do not overlap."""
    address = ipaddress.ip_address(address)
    for name in POOLS:
        for first, last, _, _ in ranges(name):
            if first.version == address.version and first <= address <= last:
                return name
    return None


def admits(pool, namespace):
    return namespace in POOLS[pool].get("namespaces", [namespace])


def unasked(pool, family):
    """Addresses it gives to who takes any; None: more than this test can ever take."""
    found = []
    for _, _, first, last in ranges(pool):
        if f"IPv{first.version}" != family:
            continue
        count = int(last) - int(first) + 1
        if count > MANY:
            return None
        found += [str(first + n) for n in range(count)]
    return found


def has_family(pool, family):
    return any(f"IPv{first.version}" == family for first, _, _, _ in ranges(pool))
