"""A leader stopped between its read and its write: another leads, and what the first still sends is refused,
by Redis and by the API server.

Its write to Redis waits in a proxy, its patch of a status in the API server, when it is stopped by SIGSTOP; both
go on after another agent has led and written. Then it goes on itself, and does no harm.

usage: fencing.py --build BUILD --folder FOLDER"""
import argparse
import pathlib
import signal
import sys

from processes import Bed, wait_until
from proxy import Proxy
from wire import Api

SOURCE = pathlib.Path(__file__).resolve().parents[3]
SERVICES = "/api/v1/namespaces/shop/services"
KEY = "sluice:1:object:cluster-1:Service:shop/moving"


class Fencing:
    def __init__(self, bed):
        self.bed = bed
        sys.path.insert(0, str(bed.folder / "messages"))
        import pool_pb2
        import store_pb2
        self.pool, self.store = pool_pb2, store_pb2

    def service(self, name):
        self.api.request("POST", SERVICES, {"metadata": {"name": name}, "spec": {
            "type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{"port": 80}]}})

    def label(self, value):
        self.api.merge(f"{SERVICES}/moving", {"metadata": {"labels": {"step": value}}})

    def label_in_redis(self):
        with self.bed.redis() as redis:
            data = redis("GET", KEY)
        message = self.store.Object()
        message.ParseFromString(data or b"")
        return message.service.metadata.labels.get("step")

    def ingress(self, name):
        status = self.api.request("GET", f"{SERVICES}/{name}")["status"]
        return [i["ip"] for i in status["loadBalancer"].get("ingress", [])]

    def holder(self):
        lease = self.api.request("GET", "/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases/sluice-agent",
                                 wanted=(200, 404))
        return lease.get("spec", {}).get("holderIdentity", "")

    def status_writes(self, name):
        return [w for w in self.api.request("GET", "/admin/writes")["writes"]
                if w["name"] == name and w["status"] and w["resource"] == "services"]

    def run(self):
        bed = self.bed
        bed.start_redis()
        self.api = Api(bed.start_api()["plain"])
        for name in ("shop", "sluice-system"):
            self.api.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        bed.start_dataplane("g1")
        bed.start_control("g1")
        proxy = Proxy(str(bed.folder / "proxy.sock"), bed.redis_socket)
        bed.start_agent("first", redis=str(bed.folder / "proxy.sock"))
        self.service("moving")
        wait_until("the first agent publishes and writes a status", 60, lambda: self.ingress("moving"))
        leader = self.holder()
        bed.start_agent("second")

        self.api.admin("fault", kind="delay", delay_ms=600_000, verb="patch", path="/waiting/status", count=1)
        self.service("waiting")
        wait_until("its patch waits in the API server", 60,
                   lambda: self.api.request("GET", "/admin/stats")["faults"] == 0)
        proxy.hold()
        self.label("old")
        wait_until("its write waits before Redis", 30, lambda: proxy.holds(KEY.encode()))
        bed.running["first"].signal(signal.SIGSTOP)
        self.label("new")
        wait_until("another leads", 90, lambda: self.holder() not in ("", leader))
        wait_until("the second publishes", 60, lambda: self.label_in_redis() == "new")
        wait_until("the second writes the status", 60, lambda: self.ingress("waiting"))
        address = self.ingress("waiting")
        before = len(self.status_writes("waiting"))

        proxy.release()
        wait_until("Redis refuses the late write", 10, lambda: proxy.answered(b"FENCED"))
        assert self.label_in_redis() == "new", self.label_in_redis()
        self.api.admin("clear")
        # The second may have patched as well: of the answers since, one is the refusal.
        wait_until("the API server refuses the late patch", 15, lambda: any(
            w["answer"] == 409 for w in self.status_writes("waiting")[before:]))
        assert self.ingress("waiting") == address

        bed.running["first"].signal(signal.SIGCONT)
        self.label("newest")
        wait_until("the second goes on", 30, lambda: self.label_in_redis() == "newest")
        assert self.ingress("waiting") == address and self.ingress("moving")
        assert self.holder() not in ("", leader)
        print("passed: FENCED by Redis, 409 by the API server")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--folder", required=True)
    options = parser.parse_args()
    bed = Bed(options.build, SOURCE, options.folder)
    try:
        Fencing(bed).run()
    finally:
        bed.end_all()


if __name__ == "__main__":
    main()
