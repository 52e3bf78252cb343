"""What the cases cover: every drop reason, every mode, and modes by family and protocol.

Cases that are pending do not count. Reasons the pipeline does not give itself stand in
elsewhere.yaml with the test that shows them.
"""
import itertools

from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP

from .case import Loader
from .gateway import scope_value
from .packets import CaseError, build

import yaml

FAMILIES = ("ipv4", "ipv6")
PROTOCOLS = {"SCTP": SCTP, "TCP": TCP, "UDP": UDP}


def _modes(case, scope):
    config = case.tree.get("config", {})
    modes = {vip.get("mode", config.get("mode", "nat")) for vip in config.get("vips", [{}])}
    return {scope_value(scope, mode) for mode in modes}


def _protocols(step, scope):
    try:
        packet = Ether(build(step["in"], scope))
    except CaseError:  # A reply, to a value only a run knows.
        return set()
    return {name for name, layer in PROTOCOLS.items() if packet.haslayer(layer)}


def _covered(cases):
    """(drop reasons, (mode, family, protocol)) of all cases that run."""
    reasons, forwarded = set(), set()
    for case in cases:
        for _, scope in case.variants() if not case.pending else ():
            scope["N"] = 0
            for step in case.steps():
                reasons.update(step.get("drops", {}))
            for step in case.packets():
                drop = scope_value(scope, step.get("drop", "none"))
                reasons.add(drop)
                if "out" in step and drop == "none":
                    forwarded |= set(itertools.product(_modes(case, scope), [scope["family"]],
                                                       _protocols(step, scope)))
    return reasons, forwarded


def _elsewhere(path, root, reasons, covered):
    """(reasons shown by other tests, faults of the list itself)."""
    faults = []
    listed = yaml.load(path.read_text(encoding="utf-8"), Loader)  # Safe: Loader is.
    listed.pop("__line__")
    for reason, place in listed.items():
        if reason not in reasons:
            faults.append(f"{path.name}: {reason} is no drop reason")
        if reason in covered:
            faults.append(f"{path.name}: {reason} has a case, so it need not be listed")
        file = root / place["file"]
        if not file.is_file() or place["test"] not in file.read_text(encoding="utf-8"):
            faults.append(f"{path.name}: {reason}: {place['file']} has no {place['test']}")
    return set(listed), faults


def gaps(cases, runner, here):
    """A text for each thing that no case shows."""
    names = dict(word.split("=") for word in runner.ask("names"))
    reasons = set(names["reasons"].split(","))
    modes = {m.removeprefix("FORWARDING_MODE_").lower().replace("_", "-") for m in names["modes"].split(",")}
    covered, forwarded = _covered(cases)
    covered -= {"none", "__line__"}
    elsewhere, found = _elsewhere(here / "elsewhere.yaml", here.parents[1], reasons, covered)
    found += [f"cases expect {reason}, which is no drop reason" for reason in sorted(covered - reasons)]
    found += [f"drop reason {reason} has no case" for reason in sorted(reasons - covered - elsewhere)]
    for wanted in itertools.product(sorted(modes), FAMILIES, PROTOCOLS):
        if wanted not in forwarded:
            found.append(f"no case forwards mode {wanted[0]}, {wanted[1]}, {wanted[2]}")
    return found
