"""A case: one YAML file, run once for each combination of its `each`. README.md has the format."""
import collections
import itertools
import pathlib

import yaml

from .difference import describe, show
from .gateway import TICKS_PER_SECOND, Gateway, check_keys, scope_value
from .packets import MACS, PORTS, CaseError, ExpressionError, Scope, build, check, evaluate, expect

CASE_KEYS = {"about", "each", "config", "steps", "pending", "counters"}
ACTIONS = {"in", "burst", "pass", "sweep", "config", "remove", "counters", "steps"}
PACKET_KEYS = {"in", "port", "worker", "steered", "contiguous", "headroom", "tailroom", "repeat",
               "out", "to", "split", "drop", "punt", "resolve", "hold", "released", "hand_over", "check", "broken"}
RUNNER_OPTIONS = ("steered", "contiguous", "headroom", "tailroom")

# What a case sent, for the read-back: the packet is meant to be right unless the step says `broken`.
Sent = collections.namedtuple("Sent", "title data")


class Loader(yaml.SafeLoader):
    """Maps remember the line they begin at, and have each key once."""


def _map(loader, node):
    loader.flatten_mapping(node)
    result = {"__line__": node.start_mark.line + 1}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in result:
            raise CaseError(f"{node.start_mark.line + 1}: {key} stands twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map)


class Case:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.topic = self.path.parent.name
        self.name = f"{self.topic}/{self.path.stem}"
        try:
            self.tree = yaml.load(self.path.read_text(encoding="utf-8"), Loader)  # Safe: Loader is.
        except (yaml.YAMLError, CaseError) as error:
            raise CaseError(f"{path}: {error}") from error
        check_keys(self.tree, CASE_KEYS, str(path))
        for key in ("about", "steps"):
            if not self.tree.get(key):
                raise CaseError(f"{path}: {key} is missing")
        self.pending = self.tree.get("pending")
        for step in self.steps():
            known = PACKET_KEYS if "in" in step else ACTIONS | {"worker", "repeat", "drops"}
            check_keys(step, known | {"about"}, f"{path}:{step.get('__line__', '?')}")

    def steps(self, within=None):
        """All steps, also those in bursts and groups."""
        for step in within or self.tree["steps"]:
            yield step
            yield from self.steps(step["burst"]) if "burst" in step else ()
            yield from self.steps(step["steps"]) if "steps" in step else ()

    def packets(self):
        return (step for step in self.steps() if "in" in step)

    def variants(self):
        """Scopes, each with its title."""
        each = {key: value for key, value in self.tree.get("each", {}).items() if key != "__line__"}
        each.setdefault("family", ["ipv4"])
        for values in itertools.product(*each.values()):
            names = dict(zip(each, values))
            for key, value in names.items():
                names[key] = scope_value(names, value) if isinstance(value, str) else value
            yield f"{self.name}[{','.join(str(v) for v in values)}]", Scope(names)


class Run:
    """One variant of a case on a gateway of its own."""

    def __init__(self, case, title, scope, runner):
        self.case, self.title, self.scope = case, title, scope
        self.runner = runner
        self.expected = collections.Counter()
        self.sent = []

    def run(self):
        """Raises CaseError with file and line at the first thing that is not as expected."""
        self.line = 1
        try:
            self.check_expressions()
            self.gateway = Gateway(self.runner, self.case.tree.get("config", {}), self.scope)
            self.steps(self.case.tree["steps"])
            self.line = 1
            self.check_counters(self.case.tree.get("counters", {}))
        except CaseError as error:
            raise type(error)(f"{self.case.path}:{self.line}: {self.title}: {error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # A value of the wrong kind.
            raise ExpressionError(f"{self.case.path}:{self.line}: {self.title}: {error!r}") from error

    def check_expressions(self):
        """Of a pending case, too: what comes behind its first difference is never run."""
        self.scope["N"] = self.scope["K"] = 0
        for step in self.case.packets():
            self.line = step["__line__"]
            for part in [step, *step.get("released", [])]:
                check([part[key] for key in ("in", "out", "resolve") if key in part], self.scope)

    def steps(self, steps):
        for step in steps:
            self.line = step["__line__"]
            self.step(step)

    def step(self, step):
        if "steps" in step:
            for self.scope["K"] in range(step.get("repeat", 1)):
                self.steps(step["steps"])
        elif "in" in step:
            for self.scope["N"] in range(step.get("repeat", 1)):
                self.packets([step], step.get("worker", 0))
        elif "burst" in step:
            self.packets(step["burst"], step.get("worker", 0))
        elif "pass" in step:
            self.runner.ask(f"pass {round(step['pass'] * TICKS_PER_SECOND)}")
        elif "sweep" in step:
            self.runner.ask("sweep")
            self.expected.update({reason: n for reason, n in step.get("drops", {}).items() if reason != "__line__"})
        elif "config" in step:
            self.gateway.change(step["config"])
        elif "remove" in step:
            self.gateway.remove(step["remove"])
        elif "counters" in step:
            self.check_counters(step["counters"])
        else:
            raise CaseError(f"the step does nothing; one of {', '.join(sorted(ACTIONS))} is needed")

    def packets(self, steps, worker):
        burst = []
        for step in steps:
            self.line = step["__line__"]
            data = build(step["in"], self.scope)
            options = {"headroom": 128} | {key: step[key] for key in RUNNER_OPTIONS if key in step}
            burst.append((data, {**options, "port": self.port_of(step, data)}))
        departures = self.gateway.send(burst, worker)
        released = departures[len(steps):]
        for step, (data, options), departure in zip(steps, burst, departures):
            self.line = step["__line__"]
            if "hand_over" in step:
                departure, *released = self.hand_over(step, data, options, departure)
            self.judge(step, data, departure)
            for condition in step.get("check", []):
                if not evaluate(condition, self.scope):
                    names = {n: v for n, v in self.scope.items() if n in condition}
                    raise CaseError(f"not so: {condition}, with {names}")
        self.released([r for step in steps for r in step.get("released", [])], released)

    def released(self, expected, departures):
        """What was held until a packet of these came, in the order it comes out."""
        if len(expected) != len(departures):
            raise CaseError(f"{len(departures)} held packets came out, expected {len(expected)}")
        for step, departure in zip(expected, departures):
            self.line = step["__line__"]
            check_keys(step, PACKET_KEYS - {"in"}, "released")
            self.judge(step, None, departure)

    def port_of(self, step, data):
        """The port it comes in by: as the step says, else the one whose MAC it is for."""
        if "port" in step:
            return PORTS[step["port"]]
        by_mac = {bytes.fromhex(mac.replace(":", "")): PORTS[name] for name, mac in MACS.items()}
        return by_mac.get(data[:6], PORTS["wan"])

    def hand_over(self, step, data, options, departure):
        to = step["hand_over"]
        self.expected["handed_over"] += 1
        self.same("verdict", "hand-over", departure)
        if departure.worker != to:
            raise CaseError(f"handed over to worker {departure.worker}, expected {to}")
        if departure.data != data:
            raise CaseError("changed before it was handed over:\n" + describe(data, departure.data))
        return self.gateway.send([(data, {**options, "steered": 1})], to)

    def same(self, what, expected, departure):
        if getattr(departure, what) != expected:
            text = f"{what} is {getattr(departure, what)}, expected {expected}"
            if departure.reason != "none" and what != "reason":
                text += f" (reason {departure.reason})"
            if what == "verdict" and departure.verdict in ("transmit", "split", "resolve"):
                text += ":\n" + show(departure.data)
            raise CaseError(text)

    def judge(self, step, data, departure):
        drop = scope_value(self.scope, step.get("drop", "none"))
        if drop != "none":
            self.expected[drop] += 1
        if "out" in step or "resolve" in step:
            self.expected["answers"] += drop != "none"
            mtu = int(scope_value(self.scope, str(step.get("split", 0))))
            sent = "split" if mtu else "transmit"
            self.same("verdict", sent if "out" in step else "resolve", departure)
            self.same("mtu", mtu, departure)
            self.judge_sent(step, departure)
        elif step.get("punt"):
            self.expected["punted"] += 1
            self.same("verdict", "punt", departure)
            if departure.data != data:
                raise CaseError("changed before it was punted:\n" + describe(data, departure.data))
        elif drop != "none":
            self.same("verdict", "drop", departure)
        elif step.get("hold"):
            self.same("verdict", "hold", departure)
        else:
            raise CaseError("the step expects nothing; one of out, drop, punt, resolve, hold is needed")
        self.same("reason", drop, departure)

    def judge_sent(self, step, departure):
        text = step.get("out", step.get("resolve"))
        expected = expect(text, self.scope, departure.data)
        actual = departure.data
        if "resolve" in step:  # The MACs are the slow path's.
            expected, actual = bytes(12) + expected[12:], bytes(12) + actual[12:]
        if expected != actual:
            raise CaseError("another packet came out:\n" + describe(expected, actual))
        by_mac = {bytes.fromhex(mac.replace(":", "")): PORTS[name] for name, mac in MACS.items()}
        port = PORTS[step["to"]] if "to" in step else by_mac.get(expected[6:12])
        if "out" in step:
            self.same("port", port, departure)
        if not step.get("broken"):
            self.sent.append(Sent(f"{self.case.path}:{self.line}: {self.title}", departure.data))

    def check_counters(self, named):
        """Drops, punts, hand-overs and answers are those of the steps; others only if they are named."""
        expected = dict(+self.expected)
        expected.update({name: value for name, value in named.items() if name != "__line__"})
        counted = self.gateway.counters()
        if counted != expected:
            raise CaseError(f"counted {counted}, expected {expected}")
