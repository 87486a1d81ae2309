"""Any setting may change while requests are on their way: each is answered, by whoever was asked."""
import random
import threading

from counts import count
from http2 import Http2
from load import Load
from standard import CHECK, group, listener
from wire import Connection, TlsConnection, client_context, until

NAMES = ("default", "www")
WWW = "www.sluice.test"
TARGETS = ("t1", "t2", "t3")
# What targets are spoken to with, by the port that takes it.
SPOKEN = {8080: ("http", {}),
          8081: ("http", {"proxy_protocol": "v2"}),
          8082: ("http", {"protocol_version": "http2"}),
          8083: ("http", {"protocol_version": "http2", "proxy_protocol": "v2"}),
          8443: ("https", {}),
          8444: ("https", {"protocol_version": "http2"})}


def any_group(net, chance, name):
    port = chance.choice(list(SPOKEN))
    protocol, settings = SPOKEN[port]
    targets = net.target_list(port)
    for target in targets:
        target["weight"] = chance.randint(1, 3)
    settings = settings | {
        "algorithm": chance.choice(["round_robin", "least_outstanding", "weighted_random", "consistent_hash"]),
        "limits": {"connections": chance.choice([0, 100]), "requests": chance.choice([0, 1000]),
                   "pending": chance.choice([0, 1000])},
        "pool": {"idle_per_worker": chance.choice([0, 1, 256])},
        "retries": {"attempts": chance.randint(0, 3), "budget": "100%"},
        "outlier_detection": {"enabled": chance.random() < 0.5},
        "stickiness": {"type": chance.choice(["off", "lb_cookie"])},
        "slow_start": "off"}
    if settings["algorithm"] != "consistent_hash":
        settings["slow_start"] = chance.choice(["off", "30s"])
    if protocol == "https":
        settings["tls"] = {"ca": str(net.ca.pem)} if chance.random() < 0.5 else {"verify": False}
    return group(name, protocol, chance.sample(targets, chance.randint(1, 3)),
                 chance.choice([CHECK, None, CHECK | {"fall": 3}]), **settings)


def any_rules(chance):
    rules = []
    for priority in range(1, chance.randint(1, 4)):
        forward = {"target_groups": [{"target_group": name, "weight": chance.randint(1, 9)} for name in "ab"]}
        if chance.random() < 0.5:
            forward["stickiness"] = "1h"
        condition = chance.choice([{"path": "/*"}, {"path": "regex:^/.*$"}, {"method": ["GET", "PUT"]},
                                   {"source_ip": "0.0.0.0/0"}])
        rules.append({"priority": priority, "conditions": [condition], "actions": [{"forward": forward}]})
    return rules


def any_listener(net, chance, name, protocol, port, **settings):
    return listener(name, protocol, port, chance.choice("ab"), rules=any_rules(chance), **settings | {
        "http": {"desync_mode": chance.choice(["monitor", "defensive", "strictest"]),
                 "request_id": chance.choice(["off", "keep", "set"]),
                 "forwarded": chance.choice(["preserve", "append", "remove"]),
                 "server": chance.random() < 0.5},
        "response_headers": {"set": [{"name": "x-now", "value": str(chance.random())}] * (chance.random() < 0.5)},
        "access_log": chance.choice([{}, {"path": str(net.folder / "any.log")},
                                     {"path": str(net.folder / "alb.log"), "format": "alb"}]),
        "limits": {"headers": chance.choice([64, 128])},
        "timeouts": {"keep_alive": chance.choice(["60s", "61s"]), "idle": chance.choice(["60s", "70s"])}})


def any_config(net, chance):
    return {"certificates": net.certificates(*NAMES),
            "target_groups": [any_group(net, chance, name) for name in "ab"],
            "listeners": [any_listener(net, chance, "web", "http", 80),
                          any_listener(net, chance, "secure", "https", 443, certificates=list(NAMES),
                                       tls={"existing": "keep", "session_tickets": chance.random() < 0.5})]}


class Uploads:
    """Bodies that come in two halves, over HTTP/1.1 and HTTP/2 by turns; each is answered whole."""
    def __init__(self, address):
        self.address = address
        self.done = 0
        self.failures = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _send(self, is_h2):
        with Connection(self.address) as client:
            if is_h2:
                session = Http2(client)
                stream = session.open("/echo", "PUT", ends=False)
                session.body(stream, b"x" * 5000, ends=False)
                self._stop.wait(0.1)
                session.body(stream, b"y" * 5000)
                return session.answer(stream)
            client.send(b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n" + b"x" * 5000)
            self._stop.wait(0.1)
            client.send(b"y" * 5000)
            return client.response("PUT")

    def _run(self):
        while not self._stop.is_set():
            try:
                answer = self._send(self.done % 2)
                assert answer.status == 200 and answer.json()["length"] == 10000, answer
                self.done += 1
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append(repr(error))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def test_any_setting(net, launch, targets):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    one = launch(any_config(net, chance))
    until(lambda: set(one.states("a") + one.states("b")) == {"healthy"}, "all are healthy")
    with Load((net.v4, 80), 8, 50) as plain, Load((net.v4, 80), 8, 50, is_h2=True) as multiplexed, \
         Load((net.v4, 443), 8, 50, client_context(), WWW) as secure, Uploads((net.v4, 80)) as uploads:
        for number in range(count("any_reloads")):
            new = any_config(net, chance)
            one.reload(new)
            done = [load.ok for load in (plain, multiplexed, secure)]
            until(lambda: all(load.ok > before + 8 for load, before in zip((plain, multiplexed, secure), done)),
                  "the loads go on")
            bad = plain.failures + multiplexed.failures + secure.failures + uploads.failures
            assert not bad, (number, bad, new)
    assert uploads.done
    assert plain.closed == multiplexed.closed == secure.closed == 0
