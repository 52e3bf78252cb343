"""Random operations of a cluster on the API server, and what its endpoint controller would do. Fixed by a seed."""
import random

import pools
from addresses import ADDRESSES, POOL, SHARING

MAIN = "/api/v1/namespaces/{}/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices"
NAMESPACES = ["red", "green", "blue"]
FINALIZER = "example.com/slow"
PORTS = [("http", "TCP", 80, 8080), ("https", "TCP", 443, 8443), ("dns", "UDP", 53, 5353),
         ("quic", "UDP", 443, 8443), ("sig", "SCTP", 2905, 2905), ("alt", "TCP", 8080, 8080)]
MODE = "sluice.dev/forwarding-mode"


class Cluster:
    def __init__(self, api, seed, most=60):
        self.api, self.random, self.most = api, random.Random(seed), most
        self.services = {}  # (namespace, name) -> spec as last sent, and "deleting"
        self.slices = {}    # (namespace, name) -> the slice
        self.keys = {}      # (namespace, name) -> the sharing key it once got: it never loses it
        self.number = 0
        self.operations = 0
        for namespace in NAMESPACES + ["sluice-system"]:
            self._namespace(namespace)
        for number in range(4):
            self._node(f"node-{number}")

    # ---- the fixed part: never touched again

    def anchors(self, count):
        """Services that nothing below changes; a sampler sees that they are served all the time."""
        for number in range(count):
            name = f"anchor-{number}"
            self._namespace("anchors", first=number == 0)
            pool, port = {0: ("shared", PORTS[0]), 1: ("direct", PORTS[5])}.get(number, ("", PORTS[0]))
            uid = self._make("anchors", name, {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False,
                                               "ports": [self._port(port)]},
                             {"annotations": {POOL: pool}} if pool else {})
            endpoints = [self._endpoint(f"10.250.{number}.{i + 1}") for i in range(3)]
            self._slice("anchors", f"{name}-a", name, uid, "IPv4", endpoints, [port])

    def large(self, endpoints=1010):
        """A Service with so many endpoints that its controller makes eleven slices of them."""
        uid = self._make("red", "large", {"type": "LoadBalancer", "ports": [self._port(PORTS[0])]})
        for first in range(0, endpoints, 100):
            some = [{"addresses": [f"10.249.{n // 250}.{n % 250 + 1}"], "nodeName": f"node-{n % 4}",
                     "conditions": {"ready": n % 7 != 0, "serving": True, "terminating": False}}
                    for n in range(first, min(first + 100, endpoints))]
            self._slice("red", f"large-{first}", "large", uid, "IPv4", some, [PORTS[0]])

    def _namespace(self, name, first=True):
        if first:
            self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"team": name}}})

    def _node(self, name):
        n = self.random.randrange(250)
        self.api.request("POST", "/api/v1/nodes", {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{n}"}],
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})

    # ---- parts

    @staticmethod
    def _port(port):
        return {"name": port[0], "protocol": port[1], "port": port[2], "targetPort": port[3]}

    def _endpoint(self, address):
        roll = self.random.random()
        endpoint = {"addresses": [address], "nodeName": f"node-{self.random.randrange(4)}"}
        if roll < 0.1:
            endpoint["conditions"] = {}
        else:
            endpoint["conditions"] = self._conditions() if roll < 0.4 else {
                "ready": True, "serving": True, "terminating": False}
        if roll > 0.5:
            endpoint["targetRef"] = {"kind": "Pod", "name": "p-" + address.replace(".", "-").replace(":", "-"),
                                     "namespace": "red"}
        return endpoint

    def _conditions(self):
        return self.random.choice([
            {"ready": True, "serving": True, "terminating": False},
            {"ready": False, "serving": False, "terminating": False},
            {"ready": False, "serving": True, "terminating": True},
            {"ready": False, "serving": False, "terminating": True},
            {"ready": True, "serving": True, "terminating": True},
            {"ready": False}])

    def _address(self, family):
        r = self.random
        if family == "IPv4":
            return f"10.{r.randrange(100, 104)}.{r.randrange(4)}.{r.randrange(1, 255)}"
        return f"fd00:10:244:{r.randrange(1, 4):x}::{r.randrange(1, 200):x}"

    def _make(self, namespace, name, spec, metadata=None):
        body = {"metadata": {"name": name, **(metadata or {})}, "spec": spec}
        return self.api.request("POST", MAIN.format(namespace), body)["metadata"]["uid"]

    def _slice(self, namespace, name, service, uid, family, endpoints, ports):
        body = {"metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
                "addressType": family, "endpoints": endpoints,
                "ports": [{"name": p[0], "protocol": p[1], "port": p[3]} for p in ports]}
        if uid:
            body["metadata"]["ownerReferences"] = [
                {"apiVersion": "v1", "kind": "Service", "name": service, "uid": uid}]
        self.api.request("POST", SLICES.format(namespace), body)
        return body

    def _any(self):
        live = [key for key, one in self.services.items() if not one["deleting"]]
        return self.random.choice(live) if live else None

    def _slice_of(self, key=None):
        names = [k for k, one in self.slices.items()
                 if key is None or (k[0] == key[0] and
                                    one["metadata"]["labels"]["kubernetes.io/service-name"] == key[1])]
        return self.random.choice(names) if names else None

    def _put_slice(self, key):
        self.api.request("PUT", f"{SLICES.format(key[0])}/{key[1]}", self.slices[key])

    def _forget_slices(self, key):
        for name in [k for k, one in self.slices.items()
                     if k[0] == key[0] and one["metadata"]["labels"]["kubernetes.io/service-name"] == key[1]
                     and "ownerReferences" in one["metadata"]]:
            del self.slices[name]

    # ---- what a Service asks of addresses

    def _request(self, key, families):
        """Annotations (None: without) and fields of the spec. Who has an address keeps it, whatever becomes of its
        key; so keys are only ever won, and whoever shares an address has the same one."""
        r = self.random
        if key not in self.keys and r.random() < 0.3:
            self.keys[key] = r.choice(pools.KEYS)
        annotations = {POOL: None, ADDRESSES: None, SHARING: self.keys.get(key)}
        spec = {}
        kind = r.choices(["any", "pool", "annotation", "field", "both"], [10, 4, 3, 3, 1])[0]
        family = r.choice(families if r.random() < 0.9 else ["IPv4", "IPv6"])
        address = r.choice(pools.ADDRESSES[family])
        if kind in ("pool", "both"):
            annotations[POOL] = r.choice(["shared", "shared", "direct", "small", "small", "external", "nowhere"])
        if kind in ("annotation", "both"):
            more = [r.choice(pools.ADDRESSES[f]) for f in families if f != family and r.random() < 0.5]
            annotations[ADDRESSES] = ", ".join([address] + more)
        if kind == "field":
            spec["loadBalancerIP"] = address
        if r.random() < 0.2:
            spec["externalIPs"] = r.sample(pools.EXTERNAL, r.randrange(1, 3))
        return annotations, spec

    def change_request(self):
        """It asks for something else."""
        key = self._any()
        if key is None or self.services[key]["type"] == "ExternalName":
            return
        annotations, asked = self._request(key, self.services[key]["families"])
        self.api.merge(f"{MAIN.format(key[0])}/{key[1]}", {
            "metadata": {"annotations": annotations}, "spec": {"loadBalancerIP": None, "externalIPs": None} | asked})

    def change_mode(self):
        key = self._any()
        if key is None:
            return
        mode = self.random.choice([None, "nat", "dnat", "dsr-mac", "ipip", "gue"])
        self.api.merge(f"{MAIN.format(key[0])}/{key[1]}", {"metadata": {"annotations": {MODE: mode}}})

    # ---- operations

    def create_service(self, key=None):
        r = self.random
        if key is None:
            if len(self.services) >= self.most:
                return self.delete_service()
            self.number += 1
            key = (r.choice(NAMESPACES), f"s{self.number}")
        kind = r.choices(["LoadBalancer", "ClusterIP", "NodePort", "ExternalName", "headless"],
                         [14, 2, 1, 1, 1])[0]
        ports = r.sample(PORTS, r.randrange(1, 4))
        spec = {"type": "ClusterIP" if kind == "headless" else kind, "ports": [self._port(p) for p in ports]}
        families = ["IPv4"]
        if kind == "headless":
            spec["clusterIP"] = "None"
        elif kind == "ExternalName":
            spec = {"type": kind, "externalName": "x.example.net", "ports": spec["ports"]}
        else:
            roll = r.random()
            if roll < 0.15:
                families = ["IPv6"]
                spec["ipFamilies"] = families
            elif roll < 0.4:
                spec["ipFamilyPolicy"] = r.choice(["RequireDualStack", "PreferDualStack"])
                families = ["IPv4", "IPv6"]
                if r.random() < 0.3:
                    spec["ipFamilies"] = ["IPv6", "IPv4"]
        if kind == "LoadBalancer":
            spec["allocateLoadBalancerNodePorts"] = False
            if r.random() < 0.2:
                spec["loadBalancerClass"] = r.choice(["sluice.dev/gateway", "example.net/other"])
        metadata = {"labels": {"app": key[1]}} if r.random() < 0.5 else {}
        if r.random() < 0.1:
            metadata["finalizers"] = [FINALIZER]
        annotations, asked = self._request(key, families)
        spec |= asked if kind != "ExternalName" else {}
        metadata["annotations"] = {name: value for name, value in annotations.items() if value}
        uid = self._make(*key, spec, metadata)
        self.services[key] = {"uid": uid, "ports": ports, "families": families, "type": spec["type"],
                              "deleting": False, "finalizer": "finalizers" in metadata}
        if kind != "ExternalName":
            for _ in range(r.randrange(3)):
                self.create_slice(key)

    def delete_service(self, key=None):
        key = key or self._any()
        if key is None:
            return
        one = self.services[key]
        self.api.request("DELETE", f"{MAIN.format(key[0])}/{key[1]}")
        if one["finalizer"]:
            one["deleting"] = True
        else:
            del self.services[key]
            self._forget_slices(key)

    def recreate_service(self):
        key = self._any()
        if key is None or self.services[key]["finalizer"]:
            return
        self.delete_service(key)
        self.create_service(key)

    def finish_deletion(self):
        waiting = [key for key, one in self.services.items() if one["deleting"]]
        if not waiting:
            return
        key = self.random.choice(waiting)
        self.api.merge(f"{MAIN.format(key[0])}/{key[1]}", {"metadata": {"finalizers": None}})
        del self.services[key]
        self._forget_slices(key)

    def change_type(self):
        key = self._any()
        if key is None or self.services[key]["type"] == "ExternalName":
            return
        kind = self.random.choice(["LoadBalancer", "ClusterIP", "LoadBalancer", "NodePort"])
        spec = {"type": kind, "loadBalancerClass": None}
        if kind == "LoadBalancer":
            spec = {"type": kind, "allocateLoadBalancerNodePorts": False}
        path = f"{MAIN.format(key[0])}/{key[1]}"
        self.api.merge(path, {"spec": spec}, wanted=(200, 422))  # Headless Services and classes stay.
        self.services[key]["type"] = self.api.request("GET", path)["spec"]["type"]

    def change_ports(self):
        key = self._any()
        if key is None:
            return
        ports = self.random.sample(PORTS, self.random.randrange(1, 4))
        self.api.merge(f"{MAIN.format(key[0])}/{key[1]}", {"spec": {"ports": [self._port(p) for p in ports]}})
        self.services[key]["ports"] = ports

    def change_metadata(self):
        key = self._any()
        if key is None:
            return
        value = None if self.random.random() < 0.3 else f"v{self.random.randrange(100)}"
        where = self.random.choice(["labels", "annotations"])
        self.api.merge(f"{MAIN.format(key[0])}/{key[1]}", {"metadata": {where: {"churn": value}}})

    def create_slice(self, key=None):
        key = key or self._any()
        if key is None:
            return
        one = self.services[key]
        self.number += 1
        family = self.random.choice(one["families"])
        count = self.random.choice([0, 1, 2, 3, 5, 8]) if self.random.random() < 0.97 else 100
        endpoints = [self._endpoint(self._address(family)) for _ in range(count)]
        ports = [p[:3] + (p[3] if self.random.random() < 0.8 else p[3] + 1,) for p in one["ports"]]
        self.random.shuffle(ports)
        uid = one["uid"] if self.random.random() < 0.8 else ""  # Some stay behind as orphans.
        name = f"{key[1]}-{self.number}"
        self.slices[(key[0], name)] = self._slice(key[0], name, key[1], uid, family, endpoints, ports)

    def delete_slice(self):
        key = self._slice_of()
        if key is not None:
            self.api.request("DELETE", f"{SLICES.format(key[0])}/{key[1]}")
            del self.slices[key]

    def change_slice(self):
        key = self._slice_of()
        if key is None:
            return
        one = self.slices[key]
        endpoints = one["endpoints"] = one["endpoints"] or []
        roll = self.random.random()
        if roll < 0.5 and endpoints:
            self.random.choice(endpoints)["conditions"] = self._conditions()
        elif roll < 0.7 and endpoints:
            endpoints.pop(self.random.randrange(len(endpoints)))
        elif roll < 0.75:
            one["endpoints"] = None
        else:
            endpoints.append(self._endpoint(self._address(one["addressType"])))
        self._put_slice(key)

    def swap_between_slices(self):
        first, second = self._slice_of(), self._slice_of()
        if first is None or first == second or not self.slices[first]["endpoints"]:
            return
        if self.slices[first]["addressType"] != self.slices[second]["addressType"]:
            return
        moved = self.slices[first]["endpoints"].pop()
        self.slices[second]["endpoints"] = (self.slices[second]["endpoints"] or []) + [moved]
        self._put_slice(second)  # For a moment it is in both.
        self._put_slice(first)

    def change_node(self):
        name = f"node-{self.random.randrange(4)}"
        status = self.random.choice(["True", "False", "Unknown"])
        self.api.merge(f"/api/v1/nodes/{name}/status",
                       {"status": {"conditions": [{"type": "Ready", "status": status, "reason": "Churn"}]}})

    def replace_node(self):
        name = f"node-{self.random.randrange(4)}"
        self.api.request("DELETE", f"/api/v1/nodes/{name}")
        self._node(name)

    def passing_namespace(self):
        """A Namespace with a Service in it comes and goes."""
        self.number += 1
        name = f"short-{self.number}"
        self._namespace(name)
        self._make(name, "one", {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False,
                                 "ports": [self._port(PORTS[0])]})
        if self.random.random() < 0.8:
            self.api.request("DELETE", f"/api/v1/namespaces/{name}")

    def run(self, count):
        table = [(self.change_slice, 40), (self.create_slice, 8), (self.delete_slice, 6),
                 (self.swap_between_slices, 6), (self.create_service, 9), (self.delete_service, 3),
                 (self.recreate_service, 3), (self.finish_deletion, 2), (self.change_type, 4),
                 (self.change_ports, 5), (self.change_metadata, 5), (self.change_request, 6), (self.change_mode, 2), (self.change_node, 2),
                 (self.replace_node, 1), (self.passing_namespace, 1)]
        calls, weights = [c for c, _ in table], [w for _, w in table]
        for call in self.random.choices(calls, weights, k=count):
            call()
            self.operations += 1
