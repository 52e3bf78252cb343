"""The processes under test, each in a place of its own, ended by their pids."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pools
from wire import Dataplane, Redis, RedisError

HOLD_SECONDS = 1


class Process:
    def __init__(self, bed, name, *command, **more):
        self.name, self.log = name, bed.folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stderr=log,
                                          stdout=more.get("stdout", log))

    def end(self, how=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(how)
            if how != signal.SIGSTOP:
                try:
                    self.popen.wait(20)
                except subprocess.TimeoutExpired:
                    self.popen.kill()
                    self.popen.wait()

    def signal(self, which):
        self.popen.send_signal(which)

    def running(self):
        return self.popen.poll() is None


def wait_until(what, seconds, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise RuntimeError(f"not within {seconds} s: {what}")


class Bed:
    def __init__(self, build, source, folder):
        self.build, self.source, self.folder = map(pathlib.Path, (build, source, folder))
        self.running = {}
        protos = sorted(str(p) for p in (self.source / "proto").glob("*.proto") if p.name != "config.proto")
        out = self.folder / "messages"
        out.mkdir()
        subprocess.run(["protoc", f"-I{self.source / 'proto'}", f"--python_out={out}", *protos], check=True)
        for user in ("control", "cli", "agent"):
            self._secret(f"password-{user}", f"change-me-{user}")

    def _secret(self, name, text):
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text + "\n")
        return path

    def start(self, name, *command, **more):
        self.running[name] = Process(self, name, *command, **more)
        return self.running[name]

    def end(self, name, how=signal.SIGTERM):
        self.running.pop(name).end(how)

    def end_all(self):
        for process in self.running.values():
            if process.running():
                process.signal(signal.SIGCONT)
        for name in list(self.running):
            self.end(name)

    # ---- Redis

    @property
    def redis_socket(self):
        return str(self.folder / "redis.sock")

    def redis(self):
        return Redis(self.redis_socket)

    def start_redis(self, name="redis", rdb=None, replica_of=None):
        """With the users of config/redis-acl.conf. `rdb`: a dump to begin with."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if rdb:
            shutil.copy(rdb, folder / "dump.rdb")
        lines = ["port 0", f"unixsocket {self.folder}/{name}.sock", f"dir {folder}", 'save ""', "appendonly no",
                 "enable-protected-configs yes",  # For the folder of a promoted replica.
                 f"include {self.source}/config/redis-acl.conf"]
        if replica_of:  # A replica connects by TCP alone.
            lines += [f"replicaof 127.0.0.1 {replica_of}", "repl-diskless-sync-delay 0"]
        (folder / "redis.conf").write_text("\n".join(lines) + "\n")
        self.start(name, "redis-server", folder / "redis.conf")
        wait_until(f"{name} answers", 20, lambda: self._answers(f"{self.folder}/{name}.sock"))

    @staticmethod
    def _answers(path):
        try:
            with Redis(path) as redis:
                return redis("PING") == "PONG"
        except (OSError, RedisError):
            return False

    # ---- the rest

    def start_api(self):
        process = self.start("api", self.build / "tests/support/kube/fake-kube-api", "--folder", self.folder / "api",
                             "--rbac", self.source / "config/kubernetes/rbac.yaml", stdout=subprocess.PIPE)
        where = process.popen.stdout.readline()
        (self.folder / "api.json").write_bytes(where)
        return json.loads(where)

    def gateway_config(self, name):
        path = self.folder / f"{name}.yaml"
        path.write_text(f"""
gateway: {{name: {name}}}
redis: {{address: "unix:{self.redis_socket}", username: sluice-control, passwordFile: {self.folder}/password-control}}
control: {{stateDirectory: {self.folder}/state-{name}, addressHoldSeconds: {HOLD_SECONDS}, pools: [{json.dumps(pools.PUBLIC)}]}}
dataplane:
  socket: {self.folder}/{name}.sock
  idle: back-off
  memory: {{hugePages: "off", packetBuffers: 4096}}
  tables: {{vips: 4096, flowsIPv4: 4096, flowsIPv6: 4096, natFlows: 4096}}
  slowPath: {{vipInterface: vips-{name}}}
  ports: [{{name: null-{name}, device: "net_null0,no-rx=1"}}]
""")
        return path

    def start_dataplane(self, name):
        self.start(f"dataplane-{name}", self.build / "dataplane/dpdk/sluice-dataplane", "--config",
                   self.gateway_config(name))
        wait_until("the dataplane listens", 60, (self.folder / f"{name}.sock").exists)

    def start_control(self, name):
        self.start(f"control-{name}", self.build / "control/daemon/sluice-control", "--config",
                   self.folder / f"{name}.yaml")

    def sluice(self, *arguments, text=None):
        """What a person does at the command line."""
        path = self.folder / "cli.yaml"
        path.write_text(f"redis: {{address: \"unix:{self.redis_socket}\", username: sluice-cli, "
                        f"passwordFile: {self.folder}/password-cli}}\n")
        subprocess.run([self.build / "control/cli/sluice", "--config", path, *arguments], check=True, input=text,
                       text=True)

    def start_agent(self, name, redis=None):
        path = self.folder / f"{name}.yaml"
        kubeconfig = self.folder / "api/token-kubeconfig"
        path.write_text(f"""
cluster: cluster-1
kubernetes: {{kubeconfig: {kubeconfig}, namespace: sluice-system}}
redis: {{address: "unix:{redis or self.redis_socket}", username: sluice-agent, passwordFile: {self.folder}/password-agent}}
listen: ""
""")
        self.start(name, self.build / "control/agent/sluice-agent", "--config", path)

    def report(self, name, messages):
        dataplane = Dataplane(str(self.folder / f"{name}.sock"), messages)
        try:
            return dataplane.report()
        finally:
            dataplane.close()
