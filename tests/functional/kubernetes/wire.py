"""Talks to what is under test without its code: Redis (RESP), the dataplane's socket, the API's plain port."""
import http.client
import json
import socket
import struct


class RedisError(Exception):
    pass


class Redis:
    """One command after the other on a Unix socket."""

    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise RedisError("connection closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise RedisError(f"not RESP: {line!r}")

    def __call__(self, *words):
        self.send(*words)
        return self.read()

    def keys(self, pattern):
        cursor, found = b"0", set()
        while True:
            cursor, some = self("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(key.decode() for key in some)
            if cursor == b"0":
                return sorted(found)

    def values(self, pattern):
        keys = self.keys(pattern)
        values = self("MGET", *keys) if keys else []
        return {key: value for key, value in zip(keys, values) if value is not None}


class Dataplane:
    """Reads the full report. `messages`: the module made of dataplane.proto."""

    def __init__(self, path, messages):
        self.messages = messages
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.id = 0
        self._ask(hello=messages.Hello(major=1, client="churn"))

    def close(self):
        self.socket.close()

    def _read(self, count):
        data = b""
        while len(data) < count:
            some = self.socket.recv(count - len(data))
            if not some:
                raise ConnectionError("the dataplane closed the connection")
            data += some
        return data

    def _ask(self, **request):
        self.id += 1
        data = self.messages.Request(id=self.id, **request).SerializeToString()
        self.socket.sendall(struct.pack(">I", len(data)) + data)
        replies = []
        while True:
            reply = self.messages.Reply()
            reply.ParseFromString(self._read(struct.unpack(">I", self._read(4))[0]))
            if reply.error:
                raise RuntimeError(reply.error)
            replies.append(reply)
            if not reply.more:
                return replies

    def report(self):
        whole = self.messages.Report()
        for reply in self._ask(report=self.messages.ReportRequest(full=True)):
            whole.MergeFrom(reply.report)
        return whole


class Api:
    """The plain port of fake-kube-api, as its admin."""

    def __init__(self, url):
        self.host = url.removeprefix("http://")
        self.connection = None

    def request(self, method, path, body=None, kind="application/json", wanted=(200, 201)):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, timeout=60)
        data = None if body is None else json.dumps(body) if not isinstance(body, str) else body
        self.connection.request(method, path, data, {"Content-Type": kind, "User-Agent": "churn/1"})
        answer = self.connection.getresponse()
        text = answer.read()
        if wanted and answer.status not in wanted:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text.startswith(b"{") else text

    def admin(self, what, **body):
        return self.request("POST", f"/admin/{what}", body)

    def dump(self):
        return self.request("GET", "/admin/dump")

    def merge(self, path, body, wanted=(200,)):
        return self.request("PATCH", path, body, "application/merge-patch+json", wanted)
