"""That a wrong packet, a wrong case and a wrong checksum are seen. usage: selftest.py CASE_RUNNER"""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.case import Case, Run, Sent  # noqa: E402
from harness.gateway import Runner  # noqa: E402
from harness.packets import CaseError, ExpressionError, Scope, build, expect  # noqa: E402
from harness.readback import read_back  # noqa: E402

RUNNER = sys.argv.pop(1)
UDP_IN = "FROM_CLIENT/L3(CLIENT, VIP)/UDP(sport=5000, dport=80)/b'x'"
UDP_OUT = "TO_BACKEND1/L3(NAT_SOURCE, BACKEND1, ttl=63)/UDP(sport=ANY_PORT, dport=8080)/b'x'"


class Cases(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "case.yaml"
        self.runner = Runner(RUNNER)
        self.addCleanup(self.runner.close)

    def run_case(self, text):
        self.path.write_text("about: a test\n" + text, encoding="utf-8")
        case = Case(self.path)
        for title, scope in case.variants():
            run = Run(case, title, scope, self.runner)
            run.run()
        return run

    def fails(self, text, *parts, kind=CaseError):
        with self.assertRaises(kind) as caught:
            self.run_case(text)
        for part in parts:
            self.assertIn(part, str(caught.exception))

    def test_a_right_case_passes(self):
        run = self.run_case(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}\"}}")
        self.assertEqual(len(run.sent), 1)

    def test_a_wrong_field_is_named_with_its_line(self):
        wrong = UDP_OUT.replace("ttl=63", "ttl=62")
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{wrong}\"}}", "case.yaml:3:", "IP.ttl: expected 62, is 63")

    def test_a_byte_too_many_is_seen(self):
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}/Padding(bytes(1))\"}}", "length: expected")

    def test_a_wrong_verdict_reason_or_port_is_seen(self):
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", drop: no-route}}", "verdict is transmit, expected drop")
        self.fails(f"steps:\n- {{in: \"bytes({UDP_IN})[:13]\", drop: vlan-depth}}", "reason is ethernet-truncated")
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}\", to: wan}}", "port is 1, expected 0")

    def test_a_value_that_was_bound_stays(self):
        other = UDP_IN.replace("5000", "5001")
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}\"}}\n- {{in: \"{other}\", out: \"{UDP_OUT}\"}}",
                   "case.yaml:4:", "UDP.sport: expected")

    def test_a_condition_that_does_not_hold_is_seen(self):
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}\", check: [ANY_PORT == 1]}}", "not so: ANY_PORT == 1")

    def test_counters_that_were_not_named_are_seen(self):
        self.fails(f"counters: {{answers: 1}}\nsteps:\n- {{in: \"{UDP_IN}\", out: \"{UDP_OUT}\"}}", "expected {'answers': 1}")

    def test_what_is_no_case_is_refused(self):
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", tow: wan}}", "unknown key tow")
        self.fails("config: {nodes: 1}\nsteps:\n- sweep: true", "unknown key nodes")
        self.fails(f"config: {{vip: {{colour: red}}}}\nsteps:\n- sweep: true", "colour")
        self.fails("steps:\n- sweep: true\n  sweep: true", "sweep stands twice")
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\"}}", "expects nothing")
        self.fails("steps:\n- {in: FROM_CLIENT/NOTHING, drop: no-route}", "NOTHING", kind=ExpressionError)

    def test_an_expression_is_checked_though_the_run_ends_before(self):
        self.fails(f"steps:\n- {{in: \"{UDP_IN}\", drop: no-route}}\n- {{in: \"{UDP_IN}\", out: NOTHING}}", "case.yaml:4:",
                   kind=ExpressionError)

    def test_open_values_are_found_wherever_they_stand(self):
        shown = bytes(build("IP(src='192.0.2.7', dst=VIP, id=0x1234)/UDP(sport=77, dport=1)", Scope({"family": "ipv4"})))
        scope = Scope({"family": "ipv4"})
        self.assertEqual(expect("IP(src=ANY_V4, dst=VIP, id=ANY_ID)/UDP(sport=ANY_PORT, dport=1)", scope, shown), shown)
        self.assertEqual((scope["ANY_V4"], scope["ANY_ID"], scope["ANY_PORT"]), ("192.0.2.7", 0x1234, 77))


class ReadBack(unittest.TestCase):
    """tshark sees what it is asked for."""

    def faults(self, *texts):
        scope = Scope({"family": "ipv4"})
        with tempfile.TemporaryDirectory() as folder:
            return read_back(f"{folder}/sent.pcap", [Sent(text, build(text, scope)) for text in texts])

    def test_right_packets_are_right(self):
        self.assertEqual(self.faults(
            "TO_CLIENT/IP(src=VIP, dst=CLIENT)/TCP(sport=80, dport=1)/b'x'",
            "TO_CLIENT/IPv6(src=VIP_V6, dst=CLIENT_V6)/UDP(sport=80, dport=1)/b'x'",
            "TO_CLIENT/IP(src=VIP, dst=CLIENT)/SCTP(sport=80, dport=1)/SCTPChunkData(data=b'x')",
            "TO_CLIENT/IP(src=VIP, dst=CLIENT)/ICMP()/b'x'"), [])

    def test_wrong_checksums_are_seen(self):
        wrong = ["TO_CLIENT/IP(src=VIP, dst=CLIENT, chksum=1)/TCP(sport=80, dport=1)",
                 "TO_CLIENT/IP(src=VIP, dst=CLIENT)/TCP(sport=80, dport=1, chksum=1)/b'x'",
                 "TO_CLIENT/IPv6(src=VIP_V6, dst=CLIENT_V6)/UDP(sport=80, dport=1, chksum=1)/b'x'",
                 "TO_CLIENT/IP(src=VIP, dst=CLIENT)/SCTP(sport=80, dport=1, chksum=1)/SCTPChunkData(data=b'x')",
                 "TO_CLIENT/IP(src=VIP, dst=CLIENT)/ICMP(chksum=1)/b'x'",
                 "TO_BACKEND1/IP(src=VIP, dst=BACKEND1)/IP(src=CLIENT, dst=VIP)/TCP(sport=1, dport=80, chksum=1)",
                 "TO_BACKEND1/IPv6(src=VIP_V6, dst=CLIENT_V6)/ICMPv6TimeExceeded(cksum=1)/bytes(IPv6())"]
        faults = self.faults(*wrong)
        for text in wrong:
            self.assertTrue(any(fault.startswith(text) for fault in faults), text)

    def test_what_is_cut_short_is_seen(self):
        self.assertEqual(len(self.faults("bytes(TO_CLIENT/IP(src=VIP, dst=CLIENT, len=40)/TCP(sport=80, dport=1))[:40]")), 1)


if __name__ == "__main__":
    unittest.main()
