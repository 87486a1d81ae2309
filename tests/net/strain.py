"""Clients that notice every interruption, in processes of their own: full handshakes at a rate,
keep-alive connections, long downloads. They run for the time of a `with` block; what they saw is told
at its end.

As a program: a client process. Its orders come as JSON in its argument; "ready" is printed once its
connections are up; the end of standard input ends it, and its account, a JSON line, is printed."""
import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter

import netns
from http2 import Http2
from websocket import WebSocket, WebSocket1
from wire import Connection, patience

TOLD = 20            # failures that are told in words
DOWNLOAD_STEP = 16384  # bytes, and the pause between two reads while the others are at work
DOWNLOAD_PAUSE_S = 0.02
TUNNEL_PAUSE_S, MESSAGE_BYTES = 0.5, 32
AGAIN_PAUSE_S = 0.01
REQUEST_EVERY = 4    # of so many handshakes one is followed by a request


class Kept(Connection):
    """A connection by OpenSSL's own socket: cheaper than what the other tests use."""

    def __init__(self, address, name, context):
        super().__init__(address)
        plain = self.sock
        try:
            self.sock = context.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def certificate_name(self):
        return self.sock.getpeercert()["subjectAltName"][0][1]


class Account:
    """What the clients of one kind saw."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ok, self.failed, self.closed = 0, 0, 0
        self.asked_to_leave = 0  # in order, with an answer
        self.told = []
        self.seen = Counter()
        self.slowest_s = 0.0

    def good(self, begin, seen=None):
        with self.lock:
            self.ok += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
            if seen:
                self.seen[seen] += 1

    def leave(self):
        with self.lock:
            self.asked_to_leave += 1

    def bad(self, error, is_closed=False):
        with self.lock:
            self.failed += not is_closed
            self.closed += is_closed
            if len(self.told) < TOLD:
                self.told.append(f"{type(error).__name__}: {error}")

    def words(self):
        return {"ok": self.ok, "failed": self.failed, "closed": self.closed,
                "asked_to_leave": self.asked_to_leave, "told": self.told,
                "seen": dict(self.seen), "slowest_s": round(self.slowest_s, 3)}


class Client:
    """The threads of one process."""

    def __init__(self, orders):
        self.orders = orders
        self.address = tuple(orders["address"])
        self.context, self.h2_context = (ssl.create_default_context(cafile=orders["ca"]) for _ in range(2))
        self.context.check_hostname = self.h2_context.check_hostname = False
        self.h2_context.set_alpn_protocols(["h2"])
        if "identity" in orders:
            self.context.load_cert_chain(*orders["identity"])
        self.account = Account()
        self.stop = threading.Event()
        self.count = orders["count"]
        self.ready = threading.Barrier(orders["threads"] + 1, timeout=patience(60))

    def open(self, name):
        return Kept(self.address, name, self.context)

    def run(self):
        kind = getattr(self, self.orders["kind"])
        threads = [threading.Thread(target=kind, args=(index,), daemon=True)
                   for index in range(self.orders["threads"])]
        for thread in threads:
            thread.start()
        self.ready.wait()
        begin = time.monotonic()
        print("ready", flush=True)
        sys.stdin.read()
        self.stop.set()
        seconds = time.monotonic() - begin
        for thread in threads:
            thread.join(timeout=patience(120))
        hung = sum(thread.is_alive() for thread in threads)
        print(json.dumps(self.account.words() | {"hung": hung, "seconds": seconds}), flush=True)

    # --- full handshakes, `count` a second by all threads together, whatever the time each takes
    def handshakes(self, index):
        names, step_s = self.orders["names"], self.orders["threads"] / self.count
        self.ready.wait()
        due = time.monotonic() + step_s * index / self.orders["threads"]
        number = index
        while not self.stop.wait(max(0, due - time.monotonic())):
            due = max(due + step_s, time.monotonic() - 1)
            number += 1
            self.handshake(names[number % len(names)], number % (REQUEST_EVERY * len(names)) < len(names))

    def handshake(self, name, asks):
        begin = time.monotonic()
        try:
            with self.open(name) as client:
                mode = self.mode(client, name) if asks else ""
                self.account.good(begin, f"{name} {client.certificate_name()} {client.sock.cipher()[0]} {mode}")
        except (OSError, EOFError, AssertionError, ValueError) as error:
            self.account.bad(error)

    @staticmethod
    def mode(client, name):
        """What the target was told of the client's certificate."""
        answer = client.request("/echo", host=name)
        if answer.status != 200 or answer.is_cut:
            raise EOFError(f"answer {answer}")
        names = {name.lower() for name, _ in answer.json()["headers"]}
        return "verified" if "x-amzn-mtls-clientcert-subject" in names else "handed_on" \
            if "x-amzn-mtls-clientcert" in names else "none"

    # --- keep-alive connections, `count` in all, with a request each every second
    def connections(self, index):
        mine = range(index, self.count, self.orders["threads"])
        clients = {number: self.open(self.orders["names"][0]) for number in mine}
        for client in clients.values():
            client.request(host=self.orders["names"][0])
        self.ready.wait()
        turn = 0
        self.stop.wait(index / self.orders["threads"] / len(mine))  # not all at the same moment
        while not self.stop.wait(1 / len(mine)):
            turn += 1
            self.ask(clients, mine[turn % len(mine)])
        for number in mine:
            self.ask(clients, number)
            clients[number].close()

    def ask(self, clients, number):
        begin = time.monotonic()
        try:
            answer = clients[number].request(host=self.orders["names"][0])
            if answer.status != 200 or answer.is_cut:
                raise EOFError(f"answer {answer}")
            self.account.good(begin)
            if answer.get("connection", "").lower() == "close":
                self.account.leave()
                clients[number].close()
                clients[number] = self.again()
        except (OSError, EOFError, AssertionError) as error:
            self.account.bad(error, is_closed=True)
            clients[number].close()
            clients[number] = self.again()

    def again(self):
        """It is asked once more, also at the end."""
        while True:
            try:
                return self.open(self.orders["names"][0])
            except OSError as error:
                self.account.bad(error)
                if self.stop.wait(AGAIN_PAUSE_S):
                    return Connection(self.address)  # what is asked on it fails, too

    # --- WebSockets, one a thread, by HTTP/1.1 and HTTP/2 in turn, with a message that comes back every half second
    def tunnels(self, index):
        is_h2 = index % 2 == 1
        wire = Kept(self.address, self.orders["names"][0], self.h2_context if is_h2 else self.context)
        client = WebSocket(Http2(wire)) if is_h2 else WebSocket1(wire)
        assert client.answer.status == (200 if is_h2 else 101), client.answer
        self.ready.wait()
        number = 0
        while not self.stop.wait(TUNNEL_PAUSE_S):
            number += 1
            message = f"{index} {number}".ljust(MESSAGE_BYTES).encode()
            begin = time.monotonic()
            try:
                if client.exchange(message) != message:
                    raise EOFError("another message")
                self.account.good(begin)
            except (OSError, EOFError, AssertionError) as error:
                self.account.bad(error, is_closed=True)
                break
        wire.close()

    # --- downloads, one a thread, slow as long as the others are at work; each byte is looked at
    def downloads(self, _index):
        client = self.begin_download()
        self.ready.wait()
        while True:
            begin = time.monotonic()
            try:
                self.end_download(client)
                self.account.good(begin)
            except (OSError, EOFError, AssertionError) as error:
                self.account.bad(error, is_closed=True)
            client.close()
            if self.stop.is_set():
                return
            client = self.begin_download()

    def begin_download(self):
        while True:
            try:
                client = self.open(self.orders["names"][0])
                client.send(f"GET /bytes/{self.orders['bytes']} HTTP/1.1\r\nHost: www.sluice.test\r\n\r\n")
                return client
            except OSError as error:
                self.account.bad(error)

    def end_download(self, client):
        left, sums = self.orders["bytes"], hashlib.sha256()
        head = client.head()
        if head.status != 200:
            raise EOFError(f"answer {head}")
        while left:
            data = client.take(min(left, DOWNLOAD_STEP))
            sums.update(data)
            left -= len(data)
            self.stop.wait(DOWNLOAD_PAUSE_S)
        if sums.hexdigest() != self.orders["sha256"]:
            raise EOFError("other bytes")


class Strain:
    """The processes, for the time of a `with` block; then `results` by kind."""

    def __init__(self, address, ca, names, rate, connections, downloads, download_bytes, sha256, identity=None,
                 tunnels=0):
        common = {"address": address, "ca": str(ca), "names": names}
        if identity:
            common["identity"] = [str(path) for path in identity]
        self.orders = [
            common | {"kind": "handshakes", "count": rate, "threads": max(2, min(16, rate // 8))},
            common | {"kind": "connections", "count": connections, "threads": min(connections, 40)},
            common | {"kind": "downloads", "count": downloads, "threads": downloads, "bytes": download_bytes,
                      "sha256": sha256},
        ]
        if tunnels:
            self.orders.append(common | {"kind": "tunnels", "count": tunnels, "threads": tunnels})
        self.results = {}

    def __enter__(self):
        path = {"PYTHONPATH": os.pathsep.join(sys.path)}
        self.processes = [subprocess.Popen(
            [sys.executable, __file__, json.dumps(orders)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=os.environ | path, preexec_fn=netns.die_with_parent) for orders in self.orders]
        for process in self.processes:
            assert process.stdout.readline() == "ready\n", "a client did not get ready"
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.stdin.close()
        for orders, process in zip(self.orders, self.processes):
            line = process.stdout.readline()
            process.stdout.close()
            process.wait(timeout=patience(30))
            self.results[orders["kind"]] = json.loads(line or "{}")

    @staticmethod
    def first(row):
        return f" (the first one: {row['told'][0][:100]!r})" if row["told"] else ""

    def words(self):
        """One line of figures."""
        rows = [f"{kind}: {row['ok']} ok, {row['failed']} failed, {row['closed']} closed, "
                f"{row['asked_to_leave']} asked to leave, "
                f"slowest {row['slowest_s'] * 1000:.0f} ms{self.first(row)}"
                for kind, row in self.results.items()]
        shakes = self.results["handshakes"]
        return f"{shakes['ok'] / shakes['seconds']:.0f} handshakes/s; " + "; ".join(rows)


if __name__ == "__main__":
    Client(json.loads(sys.argv[1])).run()
