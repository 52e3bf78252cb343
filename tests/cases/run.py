#!/usr/bin/env python3
"""Runs the packet cases of some folders, or checks what all of them cover.

usage: run.py --runner CASE_RUNNER [--pcap FILE] [--only NAME] TOPIC...
       run.py --runner CASE_RUNNER --coverage
"""
import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness.case import Case, Run  # noqa: E402
from harness.coverage import gaps  # noqa: E402
from harness.gateway import Runner  # noqa: E402
from harness.packets import CaseError, ExpressionError  # noqa: E402
from harness.readback import read_back  # noqa: E402


def run_case(case, runner):
    """(failures, packets sent) of all its variants; a wrong expression is raised."""
    failures, sent = [], []
    for title, scope in case.variants():
        run = Run(case, title, scope, runner)
        try:
            run.run()
        except ExpressionError:
            raise
        except CaseError as error:
            failures.append(str(error))
        sent += run.sent
    return failures, sent


def run_topics(topics, runner, only):
    """(number of failures, packets sent); prints a line for each case."""
    failed, all_sent = 0, []
    paths = [path for topic in topics for path in sorted((HERE / topic).glob("*.yaml")) if only in str(path)]
    if not paths:
        raise CaseError(f"no case in {', '.join(topics)}")
    for case in (Case(path) for path in paths):
        failures, sent = run_case(case, runner)
        if not case.pending:
            failed += len(failures)
            all_sent += sent
            print("\n".join([f"FAIL {case.name}"] + failures[:4]) if failures else f"ok   {case.name}")
        elif failures:
            print(f"wait {case.name}: {case.pending}\n     {failures[0].splitlines()[0]}")
        else:
            failed += 1
            print(f"FAIL {case.name}: it passes; take its line `pending` out")
    return failed, all_sent


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--runner", required=True)
    parser.add_argument("--pcap")
    parser.add_argument("--only", default="")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("topics", nargs="*")
    arguments = parser.parse_args()
    runner = Runner(arguments.runner)
    if arguments.coverage:
        found = gaps([Case(path) for path in sorted(HERE.glob("*/*.yaml"))], runner, HERE)
        print("\n".join(found) or "nothing is missing")
        return 1 if found else 0
    failed, sent = run_topics(arguments.topics, runner, arguments.only)
    if arguments.pcap and sent:
        faults = read_back(arguments.pcap, sent)
        print("\n".join(faults) or f"tshark finds no fault with {len(sent)} packets: {arguments.pcap}")
        failed += len(faults)
    failed += runner.close() != 0
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CaseError, RuntimeError) as error:
        sys.exit(f"run.py: {error}")
