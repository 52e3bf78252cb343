"""Random churn from the API server to the dataplane: after every disturbance Redis equals the API, and the
dataplane serves what the reference works out; Services that nobody touches are served all the time.

usage: churn.py --build BUILD --folder FOLDER [--seed N] [--rounds N] [--operations N] [--gateways 1|2] [--disturb NAME,...]"""
import argparse
import pathlib
import random
import shutil
import signal
import sys
import threading
import time

import addresses
import pools
import reference
from cluster import Cluster
from processes import HOLD_SECONDS, Bed, wait_until
from wire import Api, RedisError

SOURCE = pathlib.Path(__file__).resolve().parents[3]
CLUSTER = "cluster-1"
ANCHORS = 5


class Churn:
    def __init__(self, options):
        self.options = options
        self.bed = Bed(options.build, SOURCE, options.folder)
        sys.path.insert(0, str(self.bed.folder / "messages"))
        import dataplane_pb2
        import pool_pb2
        import store_pb2
        from google.protobuf.json_format import MessageToDict
        self.dataplane, self.pool, self.store, self.to_dict = dataplane_pb2, pool_pb2, store_pb2, MessageToDict
        self.random = random.Random(options.seed * 7919)
        self.gateways = [f"g{n + 1}" for n in range(options.gateways)]
        self.anchors, self.anchor_problems, self.samples = {}, [], 0
        self.hold_times = addresses.HoldTimes(HOLD_SECONDS * 1000)
        self.checks, self.accepted = 0, 0
        self.redis_lost = False  # In this round Redis went back to an older or an empty state.

    # ---- start and end

    def start(self):
        self.bed.start_redis()
        where = self.bed.start_api()
        self.api = Api(where["plain"])
        self.cluster = Cluster(self.api, self.options.seed)
        self.cluster.anchors(ANCHORS)
        self.cluster.large()
        self.bed.sluice("apply", "-f", "-", text=pools.manifests())
        for name in self.gateways:
            self.bed.start_dataplane(name)
            self.bed.start_control(name)
        for name in ("agent-1", "agent-2"):
            self.bed.start_agent(name)
        self.quiet("the start", 60)
        self.anchors = {key: vip for key, vip in self.programmed(self.gateways[0]).items()
                        if "/anchors/" in vip[0]}
        assert len(self.anchors) == ANCHORS, self.anchors
        self.stop_sampling = threading.Event()
        self.sampler = threading.Thread(target=self.sample, daemon=True)
        self.sampler.start()

    def programmed(self, gateway):
        return reference.reported(self.bed.report(gateway, self.dataplane))[0]

    def sample(self):
        """At all times: Services nobody touches stay as they are, and no address has two holders."""
        while not self.stop_sampling.wait(0.2):
            self.anchor_problems += self.ledger_problems()
            for gateway in self.gateways:
                try:
                    vips = self.programmed(gateway)
                except OSError as error:
                    self.anchor_problems.append(f"{gateway}: {error}")
                    continue
                for key, vip in self.anchors.items():
                    if vips.get(key) != vip:
                        self.anchor_problems.append(f"{gateway}: {key} is {vips.get(key)}, was {vip}")
            self.samples += 1

    def ledger_problems(self):
        try:
            with self.bed.redis() as redis:
                ledger = reference.ledger_of(redis.values("sluice:1:address:*"), self.pool.Address)
        except (OSError, RedisError):
            return []
        return [*addresses.conflicts(ledger), *self.hold_times.problems(ledger, int(time.time() * 1000))]

    # ---- checks

    def look(self):
        dump = self.api.dump()
        try:
            with self.bed.redis() as redis:
                values = redis.values(f"sluice:1:object:{CLUSTER}:*")
                ledger = reference.ledger_of(redis.values("sluice:1:address:*"), self.pool.Address)
        except (OSError, RedisError) as error:
            return [f"Redis: {error}"]
        problems = []
        for gateway in self.gateways:
            report = self.bed.report(gateway, self.dataplane)
            problems += [f"{gateway}: {p}" for p in reference.differences(
                dump, values, ledger, report, CLUSTER, self.store.Object, self.to_dict)]
        return problems

    def alarmed(self):
        """Is too much of the cluster gone at once, so that a person has to accept it?"""
        try:
            with self.bed.redis() as redis:
                values = redis.values("sluice:1:gateway:*")
        except (OSError, RedisError):
            return False
        presences = [self.store.GatewayPresence.FromString(value) for value in values.values()]
        return any(s.alarmed for p in presences for s in p.sources if s.source == CLUSTER)

    def quiet(self, after, seconds=40):
        begin = time.monotonic()
        while True:
            problems = self.look()
            # Only where Redis lost the deletions themselves may an absence need a word of a person.
            if problems and self.redis_lost and self.alarmed():
                self.bed.sluice("source", "accept", CLUSTER)
                self.accepted += 1
            if not problems:
                time.sleep(0.3)
                problems = self.look()  # And it stays so.
            for name, process in self.bed.running.items():
                if not process.running():
                    problems.append(f"{name} ended by itself, status {process.popen.returncode}")
            problems = self.anchor_problems + problems
            if not problems:
                break
            if time.monotonic() - begin > seconds or self.anchor_problems:
                print(f"FAILED after {after}: {len(problems)} differences", *problems[:12], sep="\n  ")
                raise SystemExit(1)
            time.sleep(0.2)
        self.checks += 1
        print(f"ok: {self.cluster.operations} operations, {after}: {time.monotonic() - begin:.1f} s, "
              f"{len(self.cluster.services)} Services, {self.samples} samples", flush=True)

    # ---- disturbances; each is amid operations

    def some(self, share=0.3):
        self.cluster.run(max(1, int(self.options.operations * share)))

    def leader(self):
        lease = self.api.request("GET", "/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases/sluice-agent")
        return lease["spec"].get("holderIdentity", ""), lease["spec"].get("leaseTransitions", 0)

    def leading_agent(self):
        """The name of its process: the one whose log says that it leads by the Lease's identity."""
        holder, _ = self.leader()
        for name in ("agent-1", "agent-2"):
            if name in self.bed.running and holder and f"identity={holder} " in (
                    self.bed.folder / f"{name}.log").read_text(errors="replace"):
                return name
        return "agent-1"

    def watches_dropped(self):
        self.api.admin("drop-watches", cut=True)

    def watches_ended(self):
        self.api.admin("drop-watches", cut=False)

    def history_compacted(self):
        self.api.admin("drop-watches", cut=True)
        self.api.admin("fault", kind="status", status=503, verb="watch", count=2)
        self.some()
        self.api.admin("compact")

    def api_restarted(self):
        self.api.admin("restart", down_ms=self.random.choice([0, 300, 2000]))

    def api_errors(self):
        for kind in ("status", "garbage", "cut", "drop", "not-http"):
            self.api.admin("fault", kind=kind, status=500, bytes=200, count=3)
        self.api.admin("drop-watches", cut=True)

    def agent_killed(self):
        name = self.random.choice(["agent-1", "agent-2"])
        self.bed.end(name, signal.SIGKILL)
        self.some()
        self.bed.start_agent(name)

    def agents_restarted(self):
        for name in ("agent-1", "agent-2"):
            self.bed.end(name, self.random.choice([signal.SIGTERM, signal.SIGKILL]))
        self.some()
        for name in ("agent-1", "agent-2"):
            self.bed.start_agent(name)

    def leader_changed(self):
        before, _ = self.leader()
        self.bed.end(self.leading_agent(), signal.SIGTERM)
        self.some()
        wait_until("another agent leads", 40, lambda: self.leader()[0] not in ("", before))
        name = ({"agent-1", "agent-2"} - self.bed.running.keys()).pop()
        self.bed.start_agent(name)

    def leader_stopped(self):
        """SIGSTOP until another leads, then SIGCONT: what it still wants to write is refused."""
        before, _ = self.leader()
        stopped = self.bed.running[self.leading_agent()]
        stopped.signal(signal.SIGSTOP)
        self.some()
        wait_until("another agent leads", 60, lambda: self.leader()[0] not in ("", before))
        self.some()
        stopped.signal(signal.SIGCONT)

    def redis_restarted_empty(self):
        self.bed.end("redis", signal.SIGKILL)
        self.some()
        self.bed.start_redis()

    def redis_flushed(self):
        with self.bed.redis() as redis:
            redis("FLUSHALL")

    def rdb_from_before(self):
        """An RDB of 100 changes ago and more."""
        with self.bed.redis() as redis:
            redis("SAVE")
        kept = shutil.copy(self.bed.folder / "redis/dump.rdb", self.bed.folder / "kept.rdb")
        self.cluster.run(150)
        time.sleep(1)
        self.bed.end("redis", signal.SIGKILL)
        self.bed.start_redis(rdb=kept)

    def failover_to_late_replica(self):
        """A replica that stopped following 100 writes ago is promoted, with the same replication ID."""
        with self.bed.redis() as redis:
            redis("CONFIG", "SET", "port", self.options.replication_port)
            self.bed.start_redis("replica", replica_of=self.options.replication_port)
            with_replica = str(self.bed.folder / "replica.sock")

            def in_step():
                from wire import Redis
                with Redis(with_replica) as replica:
                    return b"master_link_status:up" in replica("INFO", "replication")
            wait_until("the replica follows", 20, in_step)
            from wire import Redis
            with Redis(with_replica) as replica:
                replica("REPLICAOF", "NO", "ONE")
        self.cluster.run(150)
        time.sleep(1)
        self.bed.end("redis", signal.SIGKILL)
        (self.bed.folder / "replica.sock").rename(self.bed.folder / "redis.sock")
        self.bed.running["redis"] = self.bed.running.pop("replica")
        shutil.rmtree(self.bed.folder / "redis", ignore_errors=True)
        (self.bed.folder / "replica").rename(self.bed.folder / "redis")
        with self.bed.redis() as redis:
            redis("CONFIG", "SET", "dir", self.bed.folder / "redis")

    def control_restarted(self):
        name = self.random.choice(self.gateways)
        self.bed.end(f"control-{name}", self.random.choice([signal.SIGTERM, signal.SIGKILL]))
        self.some()
        self.bed.start_control(name)

    def run(self):
        self.start()
        quick = [self.watches_dropped, self.watches_ended, self.history_compacted, self.api_restarted,
                 self.api_errors, self.agent_killed, self.redis_flushed, self.redis_restarted_empty,
                 self.rdb_from_before, self.failover_to_late_replica, self.control_restarted]
        loses = [self.redis_flushed, self.redis_restarted_empty, self.rdb_from_before,
                 self.failover_to_late_replica]
        slow = [self.agents_restarted, self.leader_changed, self.leader_stopped]  # Each waits for a Lease.
        order = [getattr(self, name) for name in self.options.disturb.split(",") if name]
        while len(order) < self.options.rounds:
            order += self.random.sample(quick, len(quick)) + self.random.sample(slow, len(slow))
        for disturb in order[: self.options.rounds]:
            self.cluster.run(self.options.operations)
            self.redis_lost = disturb in loses
            disturb()
            self.some()
            self.api.admin("clear")
            self.quiet(disturb.__name__.replace("_", " "), 60)
        self.stop_sampling.set()
        self.sampler.join()
        if self.anchor_problems:
            raise SystemExit("FAILED: " + "\n  ".join(self.anchor_problems[:10]))
        print(f"passed: seed {self.options.seed}, {self.cluster.operations} operations, {self.checks} checks, {self.accepted} acceptances, "
              f"{self.samples} samples of Services nobody touched and of the ledger, "
              f"{self.hold_times.seen} addresses given again")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--operations", type=int, default=150)
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--disturb", default="", help="these first, by the names of their functions")
    parser.add_argument("--replication-port", type=int, default=6399)  # In a network namespace of its own.
    churn = Churn(parser.parse_args())
    try:
        churn.run()
    finally:
        churn.bed.end_all()


if __name__ == "__main__":
    main()
