"""How long a large cluster's state takes to a gateway, with every process real but the API server; see ../README.md.

usage: cluster_scale.py --build BUILD --folder FOLDER [--services N] [--seconds S] [--rates N,N] [--json FILE]"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/functional/kubernetes"))
import reference  # noqa: E402
from processes import Bed, wait_until  # noqa: E402
from wire import Api, Dataplane, Redis  # noqa: E402

ENDPOINTS = 10  # Of each Service and family.
AGENT, CONTROL = "127.0.0.1:9465", "127.0.0.1:9466"
HOPS = ["agent", "redis", "control", "dataplane", "all"]


class ScaleBed(Bed):
    """As the churn's, but with TLS to Redis too, metrics, and room for a large cluster."""

    def make_certificate(self):
        self.certificate, self.key = self.folder / "redis.crt", self.folder / "redis.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.certificate], check=True, capture_output=True)

    def start_redis(self, name="redis", rdb=None, replica_of=None):
        self.make_certificate()
        folder = self.folder / name
        folder.mkdir()
        (folder / "redis.conf").write_text(f"""
port 0
tls-port 6379
bind 127.0.0.1
tls-cert-file {self.certificate}
tls-key-file {self.key}
tls-ca-cert-file {self.certificate}
tls-auth-clients no
unixsocket {self.redis_socket}
dir {folder}
save ""
appendonly no
include {self.source}/config/redis-acl.conf
""")
        self.start(name, "redis-server", folder / "redis.conf")
        wait_until("Redis answers", 20, lambda: self._answers(self.redis_socket))

    def redis_section(self, user):
        return (f'{{address: "127.0.0.1:6379", username: sluice-{user}, passwordFile: {self.folder}/password-{user}, '
                f'tls: {{enabled: true, ca: {self.certificate}}}}}')

    def gateway_config(self, name):
        path = self.folder / f"{name}.yaml"
        path.write_text(f"""
gateway: {{name: {name}}}
redis: {self.redis_section("control")}
control:
  listen: {CONTROL}
  stateDirectory: {self.folder}/state-{name}
  pools: [{{name: public, addresses: [203.0.0.0/16, "2001:db8:5::/112"]}}]
dataplane:
  socket: {self.folder}/{name}.sock
  idle: back-off
  memory: {{hugePages: "off", packetBuffers: 4096}}
  tables: {{vips: 65536, backends: 524288, flowsIPv4: 65536, flowsIPv6: 65536, natFlows: 65536}}
  slowPath: {{vipInterface: vips-{name}}}
  ports: [{{name: null-{name}, device: "net_null0,no-rx=1"}}]
""")
        return path

    def start_agent(self, name, redis=None):
        path = self.folder / f"{name}.yaml"
        path.write_text(f"""
cluster: cluster-1
kubernetes: {{kubeconfig: {self.folder}/api/token-kubeconfig, namespace: sluice-system}}
redis: {self.redis_section("agent")}
listen: {AGENT}
""")
        self.start(name, self.build / "control/agent/sluice-agent", "--config", path)

    def peak_mib(self, name):
        text = pathlib.Path(f"/proc/{self.running[name].popen.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) / 1024

    def cpu_seconds(self):
        used = {}
        for name, process in self.running.items():
            fields = pathlib.Path(f"/proc/{process.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
            used[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used


def metrics(address):
    """{name with labels: value}"""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {key: float(value) for key, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


class Histogram:
    """sluice_control_change_seconds of one hop, since an earlier one."""

    def __init__(self, values, hop):
        prefix = "sluice_control_change_seconds_bucket{"
        self.buckets = {}
        for key, value in values.items():
            if key.startswith(prefix) and f'hop="{hop}"' in key:
                self.buckets[float(key.split('le="')[1].split('"')[0])] = value

    def since(self, before):
        new = Histogram({}, "")
        new.buckets = {bound: value - before.buckets.get(bound, 0) for bound, value in self.buckets.items()}
        return new

    def count(self):
        return self.buckets.get(float("inf"), 0)

    def percentile_ms(self, share):
        """Between two bounds by a straight line, as PromQL's histogram_quantile does."""
        wanted, below, low = share * self.count(), 0, 0.0
        for bound, value in sorted(self.buckets.items()):
            if value >= wanted and value > below:
                if bound == float("inf"):
                    return low * 1000
                return (low + (bound - low) * (wanted - below) / (value - below)) * 1000
            below, low = value, bound
        return 0.0


class Scale:
    def __init__(self, options):
        self.options = options
        self.bed = ScaleBed(options.build, SOURCE, options.folder)
        sys.path.insert(0, str(self.bed.folder / "messages"))
        import dataplane_pb2
        import pool_pb2
        import store_pb2
        from google.protobuf.json_format import MessageToDict
        self.messages, self.pool, self.store, self.to_dict = dataplane_pb2, pool_pb2, store_pb2, MessageToDict
        rich = options.services // 10
        self.vips = (options.services - rich) + rich * 3 * 2
        self.backends = ((options.services - rich) + rich * 3 * 2) * ENDPOINTS
        self.results = {"services": options.services, "vips": self.vips, "backends": self.backends}
        self.failures = []

    def say(self, text):
        print(text, flush=True)

    def expect(self, what, holds):
        if not holds:
            self.failures.append(what)
            self.say(f"  FAILED: {what}")

    def target(self, letter, what, value, limit, unit):
        self.results[letter + " " + what] = value
        self.say(f"  ({letter}) {what}: {value:.4g} {unit}, asked at most {limit} {unit}"
                 f"{'' if value <= limit else '  MISSED'}")

    # ---- the dataplane's own words

    def generation(self):
        return self.plane._ask(report=self.messages.ReportRequest())[0].report.generation

    def serves(self):
        """(VIPs, backends named by them) of the full report."""
        report = self.plane.report()
        return len(report.vips), len(report.backends)

    def until_programmed(self, begin, whole, seconds=120):
        """Seconds from `begin` to the last change of generation, once `whole` and quiet for half a second."""
        end, last, changed = time.monotonic() + seconds, self.generation(), None
        while time.monotonic() < end:
            now = self.generation()
            if now != last:
                last, changed = now, time.monotonic()
            elif changed and time.monotonic() - changed > 0.5:
                if whole():
                    return changed - begin
                time.sleep(0.2)
            time.sleep(0.002)
        raise RuntimeError(f"not programmed within {seconds} s: serves {self.serves()}, "
                           f"wanted {self.vips} VIPs and {self.backends} backends")

    def settle(self, quiet=1.0, seconds=300):
        """Until neither the API server nor Redis' stream nor the dataplane sees a write for `quiet` seconds."""
        end, last, since = time.monotonic() + seconds, None, time.monotonic()
        while time.monotonic() < end:
            now = (self.api.request("GET", "/admin/stats").get("resourceVersion"), self.stream_end(), self.generation())
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                return
            time.sleep(0.1)
        raise RuntimeError(f"no rest within {seconds} s")

    def stream_end(self):
        return self.redis("XREVRANGE", "sluice:1:stream", "+", "-", "COUNT", 1)

    def source_hash(self):
        words = self.redis("HGETALL", "sluice:1:source:cluster-1")
        return dict(zip(words[::2], words[1::2]))

    # ---- the parts

    def start(self):
        self.bed.start_redis()
        self.redis = self.bed.redis()
        where = self.bed.start_api()
        self.api = Api(where["plain"])
        self.say(f"{self.options.services} Services, {self.vips} VIPs, {self.backends} backends; TLS to API server "
                 f"and Redis; {os.cpu_count()} CPUs for all")
        self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": "sluice-system"}})
        self.api.admin("generate", services=self.options.services, endpoints_per_service=ENDPOINTS,
                       three_port_share=0.1, dual_stack_share=0.1)
        self.bed.start_dataplane("gw")
        # Backends behind a router, as pods are: a backend without a route holds each change up.
        for words in ("addr add 10.99.0.1/24", "-6 addr add fd00:99::1/64 nodad",
                      "neigh replace 10.99.0.2 lladdr 02:00:00:00:00:02 nud permanent",
                      "neigh replace fd00:99::2 lladdr 02:00:00:00:00:02 nud permanent"):
            subprocess.run(["ip", *words.split(), "dev", "null-gw"], check=True)
        subprocess.run(["ip", "route", "add", "default", "via", "10.99.0.2"], check=True)
        subprocess.run(["ip", "-6", "route", "add", "default", "via", "fd00:99::2"], check=True)
        self.plane = Dataplane(str(self.bed.folder / "gw.sock"), self.messages)
        self.bed.start_control("gw")
        wait_until("control has read Redis", 20, lambda: self.redis("EXISTS", "sluice:1:gateway:gw"))
        wait_until("the ledger is ready", 20, lambda: self.redis("HGET", "sluice:1:ledger", "ready") == b"1")

    def whole(self):
        return self.serves() == (self.vips, self.backends)

    def cold(self):
        self.say("(a) agent start, empty Redis")
        begin = time.monotonic()
        self.bed.start_agent("agent")
        took = self.until_programmed(begin, self.whole)
        self.target("a", "agent start to programmed dataplane", took, 3, "s")

    def write_back(self):
        self.say("waiting for the statuses to be written back")
        begin = time.monotonic()
        self.settle(quiet=2)
        self.say(f"  at rest after {time.monotonic() - begin:.0f} s; CPU seconds so far: " + self.cpu_text())

    def cpu_text(self, since=None):
        now = self.bed.cpu_seconds()
        return ", ".join(f"{name} {used - (since or {}).get(name, 0):.1f}" for name, used in now.items())

    def restart(self):
        self.say("(b) control restart, full Redis; one endpoint changes meanwhile")
        times = []
        for number in range(self.options.restarts):
            self.bed.end("control-gw")
            place = "/apis/discovery.k8s.io/v1/namespaces/load-0/endpointslices/svc-0-0"
            endpoint_slice = self.api.request("GET", place)
            endpoint_slice["endpoints"][0]["conditions"]["ready"] = number % 2 == 1
            before = self.stream_end()
            self.api.request("PUT", place, endpoint_slice)
            wait_until("the change is in Redis", 10, lambda: self.stream_end() != before)
            time.sleep(0.5)
            begin = time.monotonic()
            self.bed.start_control("gw")
            times.append(self.until_programmed(begin, lambda: self.serves()[0] == self.vips))
        self.say("  each: " + ", ".join(f"{t:.2f}" for t in times))
        self.target("b", "control restart to programmed (median)", sorted(times)[len(times) // 2], 1.5, "s")

    def relist(self):
        self.say("(c) all lists again, nothing changed")
        self.settle()
        lists = sum(v for k, v in metrics(AGENT).items() if k.startswith("sluice_agent_lists_total"))
        before = self.stream_end(), self.source_hash(), self.generation()
        # What no watch sees, so that the version of the last bookmark is among those compacted.
        self.api.request("POST", "/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases",
                         {"metadata": {"name": "of-somebody-else"}, "spec": {}})
        self.api.admin("compact")
        self.api.admin("drop-watches", cut=True)

        def listed():
            now = sum(v for k, v in metrics(AGENT).items() if k.startswith("sluice_agent_lists_total"))
            return now >= lists + 4
        wait_until("all four kinds were listed again", 60, listed)
        time.sleep(3)
        after = self.stream_end(), self.source_hash(), self.generation()
        self.expect("a relist writes nothing to Redis and makes no generation", before == after)
        self.say("  (c) nothing written, no generation" if before == after else f"  before {before}, after {after}")

    def churn(self, letter, rate, seconds):
        self.say(f"({letter}) {rate} endpoint changes a second for {seconds} s")
        self.settle()
        first = metrics(CONTROL)
        cpu, stats = self.bed.cpu_seconds(), self.api.request("GET", "/admin/stats")
        self.api.admin("churn", rate=rate, seconds=seconds, seed=rate)
        begin, series, before = time.monotonic(), [], Histogram(first, "all")
        while time.monotonic() < begin + seconds:
            time.sleep(1)
            now = Histogram(metrics(CONTROL), "all")
            series.append(now.since(before).percentile_ms(0.99))
            before = now
        over = time.monotonic()
        wait_until("the churn is over", 30, lambda: not self.api.request("GET", "/admin/stats")["churn"]["running"])
        last, rest = self.generation(), time.monotonic()
        while time.monotonic() - rest < 0.5:
            if self.generation() != last:
                last, rest = self.generation(), time.monotonic()
            time.sleep(0.002)
        wait_until("the histograms are up to date", 10, lambda: Histogram(metrics(CONTROL), "all").count() >= before.count())
        after = metrics(CONTROL)
        churned = self.api.request("GET", "/admin/stats")["churn"]
        done = {hop: Histogram(after, hop).since(Histogram(first, hop)) for hop in HOPS}
        rows = {hop: {"median": h.percentile_ms(0.5), "p99": h.percentile_ms(0.99)} for hop, h in done.items()}
        changes = churned["changes"]
        self.say(f"  {changes} changes, {churned['late']} of them late, {done['all'].count():.0f} measured; CPU seconds: "
                 + self.cpu_text(cpu))
        for hop, row in rows.items():
            self.say(f"    {hop:10} median {row['median']:7.2f} ms   99th {row['p99']:7.2f} ms")
        self.say("    99th of each second, ms: " + " ".join(f"{v:.0f}" for v in series))
        # Changes of one object that came together go on as one.
        self.expect("nearly every change was measured", done["all"].count() > 0.5 * changes)
        self.results[f"{letter} {rate}/s"] = {"hops": rows, "series_p99_ms": series, "changes": changes,
                                              "measured": done["all"].count(), "late": churned["late"]}
        return rows, series, max(0.0, rest - over)

    def exact(self, after):
        """Redis and the dataplane hold what the churn test's reference works out from the API's objects."""
        self.settle()
        dump = self.api.dump()
        values = self.redis.values("sluice:1:object:cluster-1:*")
        ledger = reference.ledger_of(self.redis.values("sluice:1:address:*"), self.pool.Address)
        problems = reference.differences(dump, values, ledger, self.plane.report(), "cluster-1", self.store.Object,
                                         self.to_dict)
        self.expect(f"all is exact after {after}: " + "; ".join(str(p)[:300] for p in problems[:5]), not problems)
        if not problems:
            self.say(f"  Redis and the dataplane are exact after {after}")

    def run(self):
        self.start()
        self.cold()
        self.write_back()
        self.exact("(a)")
        if self.options.restarts:
            self.restart()
        self.relist()
        rates = self.options.rates
        for letter, rate in zip("de", rates):
            seconds = self.options.seconds if letter == "d" else min(30, self.options.seconds)
            rows, series, recovery = self.churn(letter, rate, seconds)
            self.exact(f"({letter})")
            if letter == "d":
                self.target("d", "event's bytes to the dataplane's acknowledgement, median", rows["all"]["median"], 5, "ms")
                self.target("d", "event's bytes to the dataplane's acknowledgement, 99th", rows["all"]["p99"], 20, "ms")
            else:
                half = len(series) // 2
                self.say(f"  (e) largest 99th of a second: {max(series):.0f} ms (first half {max(series[:half] or [0]):.0f}, "
                         f"second half {max(series[half:]):.0f}); at rest {recovery:.2f} s after the last change")
                self.results["e recovery s"] = recovery
        for name, limit in (("control-gw", 300), ("agent", 200)):
            self.target("m", f"peak memory of {name.split('-')[0]}", self.bed.peak_mib(name), limit, "MiB")
        self.say(f"  dataplane {self.bed.peak_mib('dataplane-gw'):.0f} MiB, Redis {self.bed.peak_mib('redis'):.0f} MiB")
        values = metrics(CONTROL)
        for key in sorted(values):
            if any(part in key for part in ("planned", "worked_out", "rebuild", "tables", "generations")):
                self.say(f"    {key} {values[key]:.0f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--rates", type=lambda text: [int(n) for n in text.split(",")], default=[500, 2000])
    parser.add_argument("--json")
    options = parser.parse_args()
    scale = Scale(options)
    try:
        scale.run()
    except (RuntimeError, OSError, urllib.error.URLError) as error:
        scale.failures.append(str(error))
        print(f"FAILED: {error}", flush=True)
    finally:
        if scale.failures:
            for log in sorted(scale.bed.folder.glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()[-15:]
                print(f"--- {log.name}\n" + "\n".join(line[:400] for line in lines), flush=True)
        scale.bed.end_all()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(scale.results, indent=1) + "\n")
    sys.exit(1 if scale.failures else 0)


main()
