"""The gateway of a case: case_runner in a process of its own, and what a case's `config` means.

Keys of a VIP or backend that are not named here go into the messages Vip and Backend of
proto/dataplane.proto as they are, so a new field needs no change here.
"""
import base64
import collections
import ipaddress
import json
import re
import subprocess

from .packets import BACKENDS, MACS, PORTS, CaseError, constants

Departure = collections.namedtuple("Departure", "verdict reason port worker mtu data")
TICKS_PER_SECOND = 2


class Runner:
    """case_runner at the end of two pipes. A crash is a CaseError, and the next new() starts another."""

    def __init__(self, path):
        self.path = path
        self.process = None

    def ask(self, command):
        if self.process is None:
            self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer.endswith("\n"):
            code = self.process.wait()
            self.process = None
            raise CaseError(f"case_runner ended with code {code} at: {command[:200]}")
        if not answer.startswith("ok"):
            raise CaseError(f"{command[:200]}: {answer.strip()}")
        return answer[2:].split()

    def close(self):
        """Its exit code; the sanitizers speak at the end, too."""
        if self.process is None:
            return 0
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def check_keys(mapping, known, where):
    if not isinstance(mapping, dict):
        raise CaseError(f"{where}: is {mapping!r}, not a map")
    for key in mapping:
        if key not in known and key != "__line__":
            raise CaseError(f"{where}: unknown key {key}; known are {', '.join(sorted(known))}")


def _base64(data):
    return base64.b64encode(data).decode()


def _plain(value):
    """A config value as JSON has it: addresses and MACs are bytes."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, str):
        if re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", value):
            return _base64(bytes.fromhex(value.replace(":", "")))
        try:
            return _base64(ipaddress.ip_address(value).packed)
        except ValueError:
            return value
    return value


class Gateway:
    """One case's gateway. All of `config` may be left out; it may be changed by more of the same."""

    START_KEYS = ("workers", "flows", "nat_flows", "answers_per_second", "new_flows_per_burst", "waiting_fragments")
    KEYS = {*START_KEYS, "check_mac", "unserved", "mode", "vip", "vips",
            "backends", "backend", "hops", "groups", "routes", "nat_sources", "nat_ports", "mtu", "tunnel_sources"}
    REMOVE_KEYS = {"vips", "backends"}

    def __init__(self, runner, config, scope):
        self.runner = runner
        self.scope = scope
        self.hops = {}      # Name -> word for the runner.
        self.names = {}     # Backend id -> its name.
        self.vip_ids = {}   # (address, protocol) -> id.
        self.mode = "nat"
        check_keys(config, self.KEYS, "config")
        self._start(config)
        self._default_hops()
        self.change({"nat_sources": [{"address": f"NAT_SOURCE_V{n}", "port": "lan"} for n in (4, 6)],
                     "tunnel_sources": [{"address": f"TUNNEL_SOURCE_V{n}"} for n in (4, 6)],
                     "routes": {"0.0.0.0/0": "clients", "::/0": "clients"}, **self._defaults(config), **config})

    def _start(self, config):
        words = {key.replace("_", "-"): config[key] for key in self.START_KEYS if key in config}
        if config.get("check_mac", True):
            words["macs"] = ",".join(MACS[port] for port in PORTS)
        self.runner.ask("new " + " ".join(f"{k}={v}" for k, v in words.items()))

    def _default_hops(self):
        names = constants("ipv4")
        self._hop("clients", {"port": "wan", "mac": names["ROUTER_MAC"], "on_link": False})
        for n in range(1, BACKENDS + 1):
            self._hop(f"backend{n}", {"port": "lan", "mac": names[f"BACKEND{n}_MAC"]})

    def _defaults(self, config):
        """One backend, and the VIP's ports TCP 80 and UDP 80 with it, unless the case says otherwise."""
        defaults = {}
        if "backends" not in config:
            defaults["backends"] = 1
        if "vips" not in config:
            defaults["vips"] = [{"protocol": protocol, "port": 80} for protocol in ("tcp", "udp")]
        return defaults

    def value(self, text):
        return scope_value(self.scope, text) if isinstance(text, str) else text

    def resolve(self, value):
        """Constants by their names, at any depth; without line numbers."""
        if isinstance(value, dict):
            return {key: self.resolve(v) for key, v in value.items() if key != "__line__"}
        if isinstance(value, list):
            return [self.resolve(v) for v in value]
        return self.value(value)

    def change(self, config):
        check_keys(config, self.KEYS, "config")
        config = self.resolve(config)
        self.mode = config.get("mode", self.mode)
        for name, hop in config.get("hops", {}).items():
            self._hop(name, hop)
        for number, (name, hops) in enumerate(config.get("groups", {}).items()):
            self.hops[name] = f"g{number}"
            self.runner.ask(" ".join(["group", str(number)] + [self._hop_word(h) for h in hops]))
        for prefix, hop in config.get("routes", {}).items():
            self.runner.ask(f"route {self.value(prefix)} {self._hop_word(hop)}")
        for port, bytes_ in config.get("mtu", {}).items():
            self.runner.ask(f"mtu {PORTS[port]} {bytes_}")
        for source in config.get("tunnel_sources", []):
            check_keys(source, {"address", "port", "mask"}, "tunnel_sources")
            mask = source.get("mask", "::" if ":" in source["address"] else "0.0.0.0")
            self.runner.ask(f"tunnel-source {PORTS[source.get('port', 'lan')]} {source['address']} {mask}")
        if "nat_ports" in config:
            first, last = config["nat_ports"]
            self.runner.ask(f"nat-ports {first} {last}")
        for number, source in enumerate(config.get("nat_sources", [])):
            check_keys(source, {"address", "port"}, "nat_sources")
            port = PORTS.get(source.get("port"), 65535)
            self.runner.ask(f"nat-source {source['address']} {port} {number}")
        self._apply(config)

    def _apply(self, config):
        part = {}
        backends = self._backend_list(config)
        if backends:
            part["upsertBackends"] = [self._backend(b) for b in backends]
        if "vips" in config:
            part["upsertVips"] = [self._vip(v, config.get("vip", {})) for v in config["vips"]]
            addresses = {v.get("address", self.value("VIP")) for v in config["vips"]} | {self.value("VIP")}
            policy = {"unserved_ports": "UNSERVED_PORTS_" + config.get("unserved", "reject").upper()}
            part["upsertAddresses"] = [_plain({"address": a, **policy}) for a in sorted(addresses)]
        if part:
            self.runner.ask("apply " + json.dumps(part))

    def remove(self, what):
        check_keys(what, self.REMOVE_KEYS, "remove")
        what = self.resolve(what)
        part = {"deleteVips": [self._key(v) for v in what.get("vips", [])],
                "deleteBackends": what.get("backends", [])}
        self.runner.ask("apply " + json.dumps(part))

    def _hop(self, name, hop):
        check_keys(hop, {"port", "state", "on_link", "mac"}, f"hops.{name}")
        number = self.hops.setdefault(name, str(len(self.hops) + 1))
        port = hop.get("port", "lan")
        words = {"port": PORTS[port], "state": hop.get("state", "reachable"),
                 "on-link": int(hop.get("on_link", True)), "source": MACS[port],
                 "destination": hop.get("mac", "02:00:00:00:09:09")}
        self.runner.ask(f"hop {number} " + " ".join(f"{k}={v}" for k, v in words.items()))

    def _hop_word(self, name):
        if name not in self.hops:
            raise CaseError(f"no next hop is named {name}; known are {', '.join(self.hops)}")
        return self.hops[name]

    def _backend_list(self, config):
        backends = config.get("backends", [])
        if isinstance(backends, int):
            backends = [{"id": n} for n in range(1, backends + 1)]
        return [{**config.get("backend", {}), **b} for b in backends]

    def _backend(self, backend):
        n = backend["id"]
        translated = self.mode in ("nat", "dnat")
        address = backend.get("address", self.value(f"BACKEND{n}" if n <= BACKENDS else "BACKEND1"))
        port = backend.get("port", 8080 if translated else 80)
        name = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        self.names[n] = name
        self.runner.ask(f"backend-hop {n} {self._hop_word(backend.get('hop', f'backend{n}'))}")
        rest = {k: v for k, v in backend.items() if k not in ("hop", "address", "port")}
        return _plain({"address": address, "port": port, **rest}) | {"name": name}

    def _key(self, vip):
        return _plain({"address": vip.get("address", self.value("VIP")),
                       "protocol": "PROTOCOL_" + vip["protocol"].upper(), "port": vip["port"]})

    def _vip(self, vip, more):
        vip = {**more, **vip}
        address = vip.get("address", self.value("VIP"))
        identity = self.vip_ids.setdefault((address, vip["protocol"]), len(self.vip_ids) + 1)
        members = [m if isinstance(m, dict) else {"backend": m} for m in vip.get("members", sorted(self.names))]
        members.sort(key=lambda m: self.names[m["backend"]])
        rest = {k: v for k, v in vip.items() if k not in ("address", "protocol", "port", "mode", "members")}
        mode = "FORWARDING_MODE_" + vip.get("mode", self.mode).upper().replace("-", "_")
        return {"maglev_size": 1009, **_plain(rest), "key": self._key(vip), "id": identity, "mode": mode,
                "service": "manual/default/case", "members": [{"weight": 1, **_plain(m)} for m in members]}

    def send(self, packets, worker):
        """A burst of (bytes, options by the runner's names), all at one worker."""
        for data, options in packets:
            words = [f"{key}={int(value)}" for key, value in options.items()]
            self.runner.ask(" ".join(["packet", data.hex()] + words))
        departures = []
        for word in self.runner.ask(f"run {worker}"):
            verdict, reason, port, to_worker, mtu, data = word.split(",")
            departures.append(Departure(verdict, reason, int(port), int(to_worker), int(mtu), bytes.fromhex(data)))
        return departures

    def counters(self):
        return {name: int(value) for name, value in (word.split("=") for word in self.runner.ask("counters"))}


def scope_value(scope, text):
    """A constant by its name, else the text."""
    if not re.fullmatch("[A-Z][A-Z0-9_]*", text):
        return text
    if text in scope:
        return scope[text]
    return constants(scope["family"]).get(text, text)
