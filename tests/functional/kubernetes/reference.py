"""What Redis and the dataplane ought to hold, worked out from the API server's objects and the ledger alone.

Shares no code with control and the agent: only the messages' definitions, and Kubernetes' rules."""
import ipaddress

import addresses
import pools
from addresses import family_of

KINDS = {"services": ("Service", "service"), "endpointslices.discovery.k8s.io": ("EndpointSlice", "endpoint_slice"),
         "nodes": ("Node", "node"), "namespaces": ("Namespace", "namespace")}
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
MODE = "sluice.dev/forwarding-mode"
MODES = {1: "nat", 2: "dsr-mac", 3: "dnat", 4: "ipip", 5: "gue"}
# What no gateway reads is not published.
UNREAD_METADATA = ("resourceVersion", "generation")


def pruned(value, descriptor):
    """A JSON value of the API as a message of this kind says it: known fields, no defaults."""
    out = {}
    for field in descriptor.fields:
        if field.json_name not in value or value[field.json_name] is None:
            continue
        given = value[field.json_name]
        repeated = field.label == field.LABEL_REPEATED
        if field.message_type is None:
            if given or field.has_presence:
                out[field.json_name] = given
        elif field.message_type.GetOptions().map_entry:
            if given:
                out[field.json_name] = dict(given)
        elif field.message_type.name == "IntOrString":
            out[field.json_name] = {"number": given} if isinstance(given, int) else {"name": given}
        elif repeated:
            if given:
                out[field.json_name] = [pruned(one, field.message_type) for one in given]
        else:
            out[field.json_name] = pruned(given, field.message_type)
    return out


def without_empty(value):
    if isinstance(value, dict):
        return {k: without_empty(v) for k, v in value.items() if v not in ({}, [])}
    return [without_empty(v) for v in value] if isinstance(value, list) else value


def read_by_gateways(kind, value):
    """Takes out what need not be the same."""
    metadata = value.get("metadata", {})
    for name in UNREAD_METADATA:
        metadata.pop(name, None)
    if kind == "services":
        value.get("status", {}).pop("conditions", None)
    if kind.startswith("endpointslices"):
        metadata.get("annotations", {}).pop("endpoints.kubernetes.io/last-change-trigger-time", None)
    if kind == "nodes":
        ready = [c for c in value.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
        if "status" in value:
            value["status"]["conditions"] = [{"type": "Ready", "status": c["status"]} for c in ready]
    return without_empty(without_empty(without_empty(value)))


def key_of(source, kind, item):
    metadata = item["metadata"]
    return f"sluice:1:object:{source}:{KINDS[kind][0]}:{metadata.get('namespace', '')}/{metadata['name']}"


def api_objects(dump, source, object_message):
    """Key in Redis to what its value must say."""
    out = {}
    for kind, (_, field) in KINDS.items():
        descriptor = object_message.DESCRIPTOR.fields_by_name[field].message_type
        for item in dump[kind]:
            out[key_of(source, kind, item)] = read_by_gateways(kind, pruned(item, descriptor))
    return out


def redis_objects(values, object_message, to_dict):
    out = {}
    for key, data in values.items():
        message = object_message()
        message.ParseFromString(data)
        field = message.WhichOneof("object")
        kind = next((kind for kind, (_, name) in KINDS.items() if name == field), None)
        if kind is None:
            out[key] = {"holds": field, "bytes": data[:200]}
            continue
        content = getattr(message, field)
        out[key] = read_by_gateways(kind, to_dict(content))
    return out


def endpoints_by_port(service, slices):
    """[port index][(address, port)] -> (ready, serving, terminating); of two the more usable one."""
    ports = service["spec"].get("ports", [])
    found = [{} for _ in ports]
    for one in slices:
        for endpoint in one["endpoints"] or []:
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready", True)
            serving = conditions.get("serving", ready)
            terminating = conditions.get("terminating", False)
            address = str(ipaddress.ip_address(endpoint["addresses"][0]))
            for index, wanted in enumerate(ports):
                for port in one["ports"] or []:
                    if port.get("name", "") != wanted.get("name", "") or port["protocol"] != wanted["protocol"]:
                        continue
                    key = (address, port["port"])
                    state = (ready, serving, not terminating)
                    found[index][key] = max(found[index].get(key, (False, False, False)), state)
    return found


def split_members(endpoints, family):
    """Those of a family: (active, draining), as sets of "ADDRESS:PORT" pairs."""
    listed = {key: state for key, state in endpoints.items() if family_of(key[0]) == family}
    any_ready = any(ready for ready, _, _ in listed.values())
    active = {key for key, (ready, serving, stays) in listed.items()
              if (ready if any_ready else serving and not stays)}
    return active, set(listed) - active


def crosses(mode, protocol, family):
    """Whether a VIP of the family reaches endpoints of the other one, if it has none of its own."""
    if mode == "nat":  # NAT64
        return family == "IPv6" and protocol != "SCTP"
    return mode in ("ipip", "gue")


def members(endpoints, family, mode, port):
    """(active, draining, may drain too) of a VIP of that family."""
    equal = mode in ("dsr-mac", "ipip", "gue")  # The packet keeps its port.

    def reachable(found):
        return [{key for key in keys if not equal or key[1] == port["port"]} for keys in found]
    own = split_members(endpoints, family)
    if not crosses(mode, port["protocol"], family):
        return *reachable(own), set()
    others = split_members(endpoints, "IPv4" if family == "IPv6" else "IPv6")
    # Flows to those of the other family that were used may end, once there are some of its own.
    return *reachable(own if any(own) else others), set().union(*reachable(others))


def programmed(dump, ledger, source):
    """VIPs as (address, protocol, port) -> (service, active, draining, may drain too, mode); served addresses."""
    slices = {}
    for one in dump["endpointslices.discovery.k8s.io"]:
        name = one["metadata"].get("labels", {}).get("kubernetes.io/service-name")
        if name and one["addressType"] in ("IPv4", "IPv6"):
            slices.setdefault((one["metadata"]["namespace"], name), []).append(one)
    held = {}  # By the uid of who holds it.
    for address, record in ledger.items():
        for holder in record.holders:
            if holder.source == source:
                held.setdefault(holder.uid, []).append((address, record.pool, addresses.held_ports(holder)))
    vips, served = {}, set()
    for service in addresses.served_services(dump):
        metadata = service["metadata"]
        name = f"{source}/{metadata['namespace']}/{metadata['name']}"
        endpoints = endpoints_by_port(service, slices.get((metadata["namespace"], metadata["name"]), []))
        for address, pool, ports in held.get(metadata["uid"], []):
            served.add(address)
            mode = addresses.annotation(service, MODE) or pools.POOLS[pool].get("forwardingMode", "nat")
            for index, port in enumerate(service["spec"]["ports"]):
                if (port["protocol"], port["port"]) not in ports:
                    continue  # Another holder of the address has it.
                key = (address, PROTOCOLS[port["protocol"]], port["port"])
                vips[key] = (name, *members(endpoints[index], family_of(address), mode, port), mode)
    return vips, served


def reported(report):
    text = lambda data: str(ipaddress.ip_address(data))
    backends = {b.id: (text(b.address), b.port) for b in report.backends}
    vips = {}
    for vip in report.vips:
        key = (text(vip.key.address), vip.key.protocol, vip.key.port)
        active = {backends[m.backend] for m in vip.members if not m.draining}
        draining = {backends[m.backend] for m in vip.members if m.draining}
        vips[key] = (vip.service, active, draining, MODES[vip.mode])
    return vips, {text(a.address) for a in report.addresses}


def ledger_of(values, address_message):
    ledger = {}
    for key, data in values.items():
        record = address_message()
        record.ParseFromString(data)
        ledger[str(ipaddress.ip_address(record.address))] = record
    return ledger


def differences(dump, values, ledger, report, source, object_message, to_dict):
    """Sentences; none: all is as it ought to be."""
    problems = []
    want, have = api_objects(dump, source, object_message), redis_objects(values, object_message, to_dict)
    for key in sorted(want.keys() - have.keys()):
        problems.append(f"not in Redis: {key}")
    for key in sorted(have.keys() - want.keys()):
        problems.append(f"only in Redis: {key}")
    for key in sorted(want.keys() & have.keys()):
        if want[key] != have[key]:
            problems.append(f"differs in Redis: {key}\n   API   {want[key]}\n   Redis {have[key]}")
    problems += addresses.problems(dump, ledger, source)
    vips, served = programmed(dump, ledger, source)
    have_vips, have_served = reported(report)
    for key in sorted(vips.keys() - have_vips.keys()):
        problems.append(f"not programmed: {key} {vips[key][0]}")
    for key in sorted(have_vips.keys() - vips.keys()):
        problems.append(f"programmed and not wanted: {key} {have_vips[key][0]}")
    for key in sorted(vips.keys() & have_vips.keys()):
        name, active, draining, others, mode = vips[key]
        got_name, got_active, got_draining, got_mode = have_vips[key]
        good = (name == got_name and mode == got_mode and active == got_active and draining <= got_draining
                and got_draining - draining <= others)
        if not good:
            problems.append(f"programmed otherwise: {key}\n   wanted {vips[key]}\n   has    {have_vips[key]}")
    if served != have_served:
        problems.append(f"served addresses: missing {served - have_served}, too many {have_served - served}")
    return problems

