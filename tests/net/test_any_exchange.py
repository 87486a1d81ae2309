"""Clients and targets that do anything at any time, on all pairs of versions: nothing is left of it, and others
are served."""
import os
import random
import threading
import time

import h2.exceptions
import pytest

from counts import count
from http2 import Http2
from sluiced import BUILD, IS_SANITIZED
from standard import group, listener
from wire import Connection, TlsConnection, client_context, milliseconds, until

WWW = "www.sluice.test"
SHORT = str(BUILD / "tests/short_memory.so")
# The targets' ports by what is spoken there; listeners have these ports, with TLS 1000 more.
BACKS = {8080: ("http", {}), 8082: ("http", {"protocol_version": "http2"}),
         8443: ("https", {}), 8444: ("https", {"protocol_version": "http2"})}
PATHS = ["/", "/bytes/100", "/bytes/300000", "/chunked/70000", "/echo", "/slow/30", "/close/5000", "/status/204",
         "/status/304", "/status/503", "/upgrade", "/upgrade-half", "/accept/none", "/hang", "/100", "/refuse",
         "/early-hints", "/hints/200", "/head/30000", "/partial", "/drip/2000", "/cut/3000", "/cut/3000/reset",
         "/truncate/3000", "/half-head", "/bare-head", "/no-end", "/no-trailers", "/partial-chunked", "/stall", "/last",
         "/garbage", "/drop", "/hop", "/sink/1", "/h2/goaway", "/h2/refuse/1", "/h2/close", "/h2/reset"]
WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
             ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
FAULTS = (OSError, EOFError, AssertionError, ValueError, IndexError, KeyError, h2.exceptions.ProtocolError)


def config(net):
    """Time-outs are short: much of what is asked for never comes."""
    groups, listeners = [], []
    for port, (protocol, settings) in BACKS.items():
        name = f"g{port}"
        groups.append(group(name, protocol, net.target_list(port), pool={"idle_timeout": milliseconds(500)},
                            timeouts={"connect": milliseconds(500), "response": milliseconds(500)},
                            retries={"attempts": 1, "status": "503", "budget": "100%"},
                            **settings, **({"tls": {"ca": str(net.ca.pem)}} if protocol == "https" else {})))
        how = {"timeouts": {n: milliseconds(500) for n in ("header", "request_body", "keep_alive", "idle")}}
        listeners += [listener(f"plain-{port}", "http", port, name, **how),
                      listener(f"secure-{port}", "https", port + 1000, name, certificates=["default", "www"], **how)]
    return {"certificates": net.certificates("default", "www"), "target_groups": groups, "listeners": listeners}


class Client:
    """One thread of them. Nothing that comes back is wrong here: what is looked at is what is left."""

    def __init__(self, net, seed):
        self.net, self.chance = net, random.Random(seed)
        self.done = self.answered = 0

    def pause(self):
        if self.chance.random() < 0.2:
            time.sleep(self.chance.choice([0, 0.001, 0.02]))

    def pieces(self, data):
        """The same bytes in a few parts, or one by one for a while."""
        while data:
            n = self.chance.choice([1, 10, 100, len(data), len(data)])
            yield data[:n]
            data = data[n:]
            self.pause()

    def connect(self, is_h2):
        port = self.chance.choice(list(BACKS))
        buffer = self.chance.choice([None, 4096])
        if self.chance.random() < 0.6:
            return Connection((self.net.v4, port), receive_buffer=buffer)
        context = client_context(alpn=["h2" if is_h2 else "http/1.1"])
        return TlsConnection((self.net.v4, port + 1000), WWW, context)

    def leave(self, connection):
        if self.chance.random() < 0.3:
            connection.reset()
        else:
            connection.close()

    # --- HTTP/1.1

    def request(self):
        path, fields, body = self.chance.choice(PATHS), [("Host", "a")], b""
        method = self.chance.choice(["GET", "GET", "HEAD", "PUT", "POST", "DELETE"])
        if path.startswith(("/upgrade", "/accept")) and self.chance.random() < 0.9:
            method, fields = "GET", fields + WEBSOCKET
        elif method in ("PUT", "POST"):
            data = os.urandom(self.chance.choice([0, 1, 1000, 100000]))
            if self.chance.random() < 0.5:
                fields.append(("Content-Length", len(data) + self.chance.choice([0, 0, 0, 5])))
                body = data
            else:
                fields.append(("Transfer-Encoding", "chunked"))
                body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in self.pieces(data) if p) + b"0\r\n\r\n"
            if self.chance.random() < 0.3:
                fields.append(("Expect", "100-continue"))
        if self.chance.random() < 0.1:
            fields.append(("Connection", "close"))
        head = f"{method} {path} HTTP/1.{self.chance.choice('1110')}\r\n"
        return head.encode() + b"".join(f"{n}: {v}\r\n".encode() for n, v in fields) + b"\r\n" + body

    def http1(self):
        with self.connect(False) as client:
            for _ in range(self.chance.randint(1, 4)):
                data = b"".join(self.request() for _ in range(self.chance.choice([1, 1, 1, 3])))
                if self.chance.random() < 0.2:
                    data = data[:self.chance.randrange(len(data))]
                for piece in self.pieces(data):
                    client.send(piece)
                if self.chance.random() < 0.1:
                    client.finish()
                if self.chance.random() < 0.2:
                    break
                self.pause()
                if self.chance.random() < 0.6:
                    self.answered += client.response("GET").status == 200
                else:
                    client.recv(self.chance.choice([1, 1000, 100000]))
            self.leave(client)

    # --- HTTP/2

    def stream(self, session):
        path = self.chance.choice(PATHS)
        if self.chance.random() < 0.6:
            return session.open(path, self.chance.choice(["GET", "HEAD"]))
        stream = session.open(path, self.chance.choice(["PUT", "POST"]), ends=False)
        self.pause()
        if self.chance.random() < 0.8:
            session.body(stream, os.urandom(self.chance.choice([1, 1000, 60000])), ends=self.chance.random() < 0.7)
        if self.chance.random() < 0.2:
            session.trailers(stream, [("x-trailer", "1")])
        return stream

    def http2(self):
        with self.connect(True) as client:
            session = Http2(client)
            streams = []
            for _ in range(self.chance.randint(1, 12)):
                streams.append(self.stream(session))
                if self.chance.random() < 0.2:
                    session.h2.reset_stream(self.chance.choice(streams))
                    session.flush()
                if self.chance.random() < 0.3:
                    session.more(holds=self.chance.random() < 0.5)
                self.pause()
            for stream in streams:
                if self.chance.random() < 0.7:
                    self.answered += session.answer(stream, holds=self.chance.random() < 0.1).status == 200
            self.leave(client)

    def run(self, n):
        while self.done < n:
            try:
                (self.http2 if self.chance.random() < 0.5 else self.http1)()
            except FAULTS:
                pass
            self.done += 1


@pytest.fixture(autouse=True)
def new_targets(targets):
    """Those that have been through this may have connections of their own in mind that are none."""
    yield
    for target in targets:
        target.kill()
        target.start()


def load(net, one):
    """They come, and go. Answers with status 200."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    clients = [Client(net, seed + i) for i in range(12)]
    threads = [threading.Thread(target=client.run, args=(count("any_exchanges"),), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def is_at_rest():
        rows = one.api("/v1/targets")["targets"]
        return one.api("/v1/connections")["connections"] == [] and not any(
            row["outstanding"] + row["connections"] for row in rows)
    until(is_at_rest, "nothing is left of it")
    n, good = (sum(getattr(client, name) for client in clients) for name in ("done", "answered"))
    print(f"{n} connections, {good} answers with status 200")
    return good


def test_anything(net, launch, targets):
    one = launch(config(net))
    assert load(net, one) > 3 * count("any_exchanges")
    for port in BACKS:
        with Connection((net.v4, port)) as client:
            assert client.request().status == 200


@pytest.mark.skipif(IS_SANITIZED, reason="a sanitizer has an allocator of its own")
@pytest.mark.parametrize("one_of", [7, 400])
def test_without_memory(net, launch, targets, one_of):
    """Workers get no memory now and then, wherever they ask for some: who asked is refused, and nobody else."""
    one = launch(config(net), env={"LD_PRELOAD": SHORT, "SLUICE_TEST_MEMORY": str(one_of)})
    load(net, one)
    rows = {row["reason"]: row["count"] for row in one.api("/v1/drops")["drops"]}
    assert rows["out_of_memory"] > 0

    def is_served(port):
        try:
            with Connection((net.v4, port)) as client:
                return client.request().status == 200
        except FAULTS:
            return False
    for port in BACKS:
        until(lambda: is_served(port), "it has memory again")  # noqa: B023
