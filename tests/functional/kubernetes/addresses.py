"""What the ledger and a Service's status may say, by what the Services ask for and the pools allow.

Where the order of requests decides there are several right answers: what is checked holds for each of them.
Shares no code with control and the agent."""
import ipaddress

import pools

OUR_CLASS = "sluice.dev/gateway"
ADDRESSES, POOL, SHARING = "sluice.dev/addresses", "sluice.dev/address-pool", "sluice.dev/allow-shared-ip"
ALLOCATED = "sluice.dev/AddressAllocated"
LACKS = {"NoPool", "PoolNotAllowed", "PoolExhausted"}  # What PreferDualStack bears for one of its families.


def family_of(address):
    return "IPv6" if ":" in address else "IPv4"


def canonical(addresses):
    return list(dict.fromkeys(str(ipaddress.ip_address(a.strip())) for a in addresses))


def families_of(service):
    families = service["spec"]["ipFamilies"]
    return families[:1] if service["spec"]["ipFamilyPolicy"] == "SingleStack" else families


def is_load_balancer(service):
    spec = service["spec"]
    return spec["type"] == "LoadBalancer" and spec.get("loadBalancerClass", OUR_CLASS) == OUR_CLASS


def served_services(dump):
    """LoadBalancers of ours, and others that have externalIPs."""
    for service in dump["services"]:
        spec = service["spec"]
        external = (spec["type"] in ("ClusterIP", "NodePort") and spec.get("clusterIP") != "None"
                    and external_ips(service))
        if "deletionTimestamp" not in service["metadata"] and (is_load_balancer(service) or external):
            yield service


def external_ips(service):
    return [a for a in canonical(service["spec"].get("externalIPs", [])) if family_of(a) in families_of(service)]


def annotation(service, name):
    return service["metadata"].get("annotations", {}).get(name, "")


def ports_of(service):
    return {(p["protocol"], p["port"]) for p in service["spec"]["ports"]}


def held_ports(holder):
    return {(p.protocol, p.port) for p in holder.ports}


def name_of(holder):
    return f"{holder.source}/{holder.namespace}/{holder.name}"


def may_share(pool, key, namespace, other):
    """Whether a Service of this key and namespace may use an address beside that holder (of one cluster)."""
    if not key or key != other.sharing_key:
        return False
    return pools.POOLS[pool].get("sharing") == "cluster" or namespace == other.namespace


def conflicts(ledger):
    """No address has two holders but those who may share it, and no port of it has two. Holds at all times."""
    for address, record in ledger.items():
        if pools.pool_of(address) != record.pool:
            yield f"ledger: {address} is of pool {pools.pool_of(address)}, not {record.pool}"
            continue
        for i, one in enumerate(record.holders):
            for other in record.holders[:i]:
                who = f"{address} has holders {name_of(one)} ({one.sharing_key}) and {name_of(other)} ({other.sharing_key})"
                if name_of(one) == name_of(other):
                    yield f"ledger: {address} has {name_of(one)} twice"
                elif not may_share(record.pool, one.sharing_key, one.namespace, other):
                    yield f"ledger: {who}, who may not share it"
                elif held_ports(one) & held_ports(other):
                    yield f"ledger: {who}, both with {held_ports(one) & held_ports(other)}"


class HoldTimes:
    """Who gave an address back is followed, for the hold time, by nobody else but who may share with it."""

    def __init__(self, hold_ms):
        self.hold_ms, self.released, self.seen = hold_ms, {}, 0

    def problems(self, ledger, now_ms):
        """Of two states seen one after the other; an older one, from a Redis that lost the newest, is passed over."""
        for address, record in ledger.items():
            before = self.released.get(address)
            if before is not None and record.revision <= before.revision:
                continue
            self.released[address] = record
            if before is None or before.holders or not before.released_unix_ms:
                continue
            last = before.last_holder
            early = now_ms < before.released_unix_ms + self.hold_ms
            self.seen += bool(record.holders)
            for holder in record.holders:
                shares = may_share(before.pool, holder.sharing_key, holder.namespace, last)
                if early and name_of(holder) != name_of(last) and not shares:
                    yield (f"ledger: {address}, released by {name_of(last)}, was given to {name_of(holder)} "
                           f"after {now_ms - before.released_unix_ms} ms at most")


class Check:
    """One Service against the ledger."""

    def __init__(self, service, ledger, source):
        self.service, self.ledger, self.source = service, ledger, source
        metadata = service["metadata"]
        self.namespace, self.uid = metadata["namespace"], metadata["uid"]
        self.name = f"{self.namespace}/{metadata['name']}"
        self.key, self.pool = annotation(service, SHARING), annotation(service, POOL)
        self.families = families_of(service)
        self.load_balancer = is_load_balancer(service)
        text = annotation(service, ADDRESSES) or service["spec"].get("loadBalancerIP", "")
        self.asked = canonical(text.split(",")) if text and self.load_balancer else []
        self.own, self.external = {}, []  # Held: for the status, by family; for externalIPs alone.
        self.idle = set()  # Held, with every port of the Service taken by others.
        self.problems, self.refused = [], []  # Mistakes; the reasons to tell the Service.
        self.told = []  # What the message must name.

    def problem(self, text):
        self.problems.append(f"addresses: {self.name}: {text}")

    def others(self, address):
        record = self.ledger.get(address)
        return [h for h in record.holders if h.uid != self.uid] if record else []

    def available(self, address):
        """By who else holds it."""
        return all(may_share(pools.pool_of(address), self.key, self.namespace, other)
                   and not ports_of(self.service) & held_ports(other) for other in self.others(address))

    def refusal(self, address, external):
        """Why it may not have this very address; None: it may."""
        pool = pools.pool_of(address)
        if pool is None or (not external and self.pool not in ("", pool)):
            return "AddressOutsidePools"
        allowed = pools.admits(pool, self.namespace) and (not external or pools.POOLS[pool].get("allowExternalIPs"))
        if not allowed:
            return "AddressNotAllowed"
        return None if self.available(address) else "AddressTaken"

    def lack(self, family):
        """Why it may have none at all of a family; None: there is one."""
        eligible = [name for name, pool in pools.POOLS.items() if pools.has_family(name, family)
                    and (name == self.pool if self.pool else pool.get("autoAssign", True))]
        admitting = [name for name in eligible if pools.admits(name, self.namespace)]
        if not admitting:
            return "PoolNotAllowed" if eligible else "NoPool"
        for name in admitting:
            addresses = pools.unasked(name, family)
            if addresses is None or any(self.available(a) for a in addresses):
                return None
        return "PoolExhausted"

    def invalid(self):
        families = [family_of(a) for a in self.asked]
        return len(set(families)) < len(families) or not set(families) <= set(self.families)

    def collect(self):
        for address, record in self.ledger.items():
            for holder in record.holders:
                if holder.source != self.source or holder.uid != self.uid:
                    continue
                if holder.external_ip:
                    self.external.append(address)
                elif self.own.setdefault(family_of(address), address) != address:
                    self.problem(f"holds {address} and {self.own[family_of(address)]}")
                if not held_ports(holder) & ports_of(self.service):
                    self.idle.add(address)
                if holder.sharing_key != self.key:
                    self.problem(f"{address}: held with key {holder.sharing_key!r}, not {self.key!r}")
                if not self.invalid():
                    self.check_ports(address, holder)

    def check_ports(self, address, holder):
        taken = set().union(*(held_ports(other) for other in self.others(address)))
        if held_ports(holder) != ports_of(self.service) - taken:
            self.problem(f"{address}: holds {held_ports(holder)} of {ports_of(self.service)}, others have {taken}")
        if ports_of(self.service) & taken:
            self.refused.append("PortTaken")

    def check_family(self, family):
        """The reason for which it lacks what it asks for, or None."""
        has = self.own.get(family)
        asked = next((a for a in self.asked if family_of(a) == family), None)
        if asked:
            if has == asked:
                return None
            why = self.refusal(asked, False)
            if why:
                self.told.append(asked)
            return why or f"{asked} is free and was asked for"
        if has and (not self.pool or self.ledger[has].pool == self.pool):
            return None
        return self.lack(family) or f"lacks {family}, of which there are free ones"

    def check_families(self):
        for family in self.own.keys() - set(self.families):
            self.problem(f"holds {self.own[family]}, of no family it has")
        why = {family: self.check_family(family) for family in self.families}
        real = {family: reason for family, reason in why.items() if reason and " " not in reason}
        # Both or none: what there is for the other one waits.
        waits = self.service["spec"]["ipFamilyPolicy"] == "RequireDualStack" and not self.own and real
        for family, reason in why.items():
            if reason and family not in real and not waits:
                self.problem(f"{reason}; ledger has {self.own}")
        self.refused += real.values()

    def check_external(self):
        wanted = external_ips(self.service)
        for address in self.external:
            if address not in wanted:
                self.problem(f"holds {address} as external, which it does not name")
            elif self.refusal(address, True) not in (None, "AddressTaken"):
                self.problem(f"holds {address} as external: {self.refusal(address, True)}")
        for address in set(wanted) - set(self.external) - set(self.own.values()):
            if self.refusal(address, True) is None:
                self.problem(f"external {address} is free and allowed")

    def check_status(self):
        """In the cluster: the addresses in the families' order, and why one is missing."""
        status = self.service.get("status", {})
        ingress = [i["ip"] for i in status.get("loadBalancer", {}).get("ingress", [])]
        wanted = [self.own[f] for f in self.families if f in self.own]
        # Where nothing of it is served, the address is not told, and what was told stays.
        if [a for a in ingress if a not in self.idle] != [a for a in wanted if a not in self.idle]:
            self.problem(f"status has {ingress}, the ledger {wanted}")
        condition = next((c for c in status.get("conditions", []) if c["type"] == ALLOCATED), None)
        if condition is None:
            return self.problem("has no condition AddressAllocated")
        partly = (self.service["spec"]["ipFamilyPolicy"] == "PreferDualStack" and wanted
                  and set(self.refused) <= LACKS)
        good = not self.refused or bool(partly)
        fits = condition["reason"] in (set(self.refused) or {"Allocated"}) or partly
        named = all(a in condition["message"] for a in wanted + self.told)
        if condition["status"] != str(good) or not fits or (not named and not good):
            self.problem(f"AddressAllocated is {condition}; reasons {self.refused}, has {wanted}, asks {self.told}")

    def run(self):
        self.collect()
        if not self.load_balancer:
            if self.own:
                self.problem(f"is no LoadBalancer and holds {self.own}")
            self.check_external()
        elif self.invalid():  # What it has it keeps.
            self.refused, self.told = ["InvalidRequest"], []
            self.check_status()
        else:
            self.check_families()
            self.check_external()
            self.check_status()
        return self.problems


def problems(dump, ledger, source):
    found = list(conflicts(ledger))
    served = list(served_services(dump))
    for service in served:
        found += Check(service, ledger, source).run()
    uids = {s["metadata"]["uid"] for s in served}
    for address, record in ledger.items():
        for holder in record.holders:
            if holder.uid not in uids:
                found.append(f"ledger: {address} of {name_of(holder)}, which is none of ours: {holder.uid}")
    for service in dump["services"]:
        if not is_load_balancer(service) and service.get("status", {}).get("loadBalancer", {}).get("ingress"):
            found.append(f"addresses: {service['metadata']['name']}: not ours, and has a status: {service['status']}")
    return found
