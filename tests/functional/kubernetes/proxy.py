"""A Unix socket before another one, which can hold what a client sends."""
import os
import select
import socket
import threading


class Proxy:
    def __init__(self, path, target):
        self.target, self.lock = target, threading.Lock()
        self.holding, self.held, self.answers = False, {}, b""
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client, server):
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for one in ready:
                data = one.recv(1 << 16)
                if not data:
                    client.close()
                    server.close()
                    return
                with self.lock:
                    if one is server:
                        self.answers += data
                        client.sendall(data)
                    elif self.holding:
                        self.held[server] = self.held.get(server, b"") + data
                    else:
                        server.sendall(data)

    def hold(self):
        with self.lock:
            self.holding = True

    def holds(self, text):
        with self.lock:
            return any(text in data for data in self.held.values())

    def release(self):
        """What was held goes out; the answers from now on are kept."""
        with self.lock:
            self.holding, self.answers = False, b""
            for server, data in self.held.items():
                server.sendall(data)
            self.held = {}

    def answered(self, text):
        with self.lock:
            return text in self.answers
