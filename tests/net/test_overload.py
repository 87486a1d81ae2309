"""Descriptors, memory and connections are short: load is shed before they run out, nobody who was
accepted is lost, the admin socket and the health checks go on, and it ends by itself."""
import contextlib
import os
import resource
import socket
import ssl
import threading
from pathlib import Path

import pytest

from counts import count
from sluiced import IS_SANITIZED, UnixHttp, stopwatch
from standard import CHECK, NO_CHECK, group, listener
from wire import Connection, TlsConnection, client_context, patience, until

RESERVE = 16


def config(net, **settings):
    return {"certificates": net.certificates("default"),
            "target_groups": [group("web", "http", net.target_list(8080), CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"],
                                   timeouts={"keep_alive": "300s", "handshake": "120s"}),
                          listener("plain", "http", 80, "web", timeouts={"keep_alive": "300s"})]} | settings


def overload(one):
    return one.api("/v1/status")["overload"]


def level(one):
    return overload(one)["level"]


def resource_of(one, name):
    return next((row for row in overload(one)["resources"] if row["name"] == name), None)


def leave_files(one, number):
    """So many descriptors more than it has now, beside the reserve; the limit."""
    limit = one.open_files() + number + RESERVE
    resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    until(lambda: resource_of(one, "files")["limit"] == limit - RESERVE, "the limit is noticed")
    assert level(one) == "none"
    return limit


def cpu_s(one):
    fields = Path(f"/proc/{one.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Visitor(threading.Thread):
    """Asks once, and stays until it is sent away; or asks for something slow."""

    def __init__(self, net, path="/"):
        super().__init__(daemon=True)
        self.net, self.path = net, path
        self.status = self.error = self.client = None
        self.may_go = threading.Event()
        self.start()

    def is_done(self):
        return self.status is not None or self.error is not None

    def leave(self):
        self.may_go.set()
        self.join(patience(20))
        assert not self.is_alive()

    def give_up(self):
        self.client.sock.shutdown(socket.SHUT_RDWR)
        self.leave()

    def run(self):
        try:
            with TlsConnection((self.net.v4, 443), timeout=60) as self.client:
                self.status = self.client.request(self.path).status
                while not self.may_go.is_set() and not self.client.is_ended(0.2):
                    pass
        except (OSError, EOFError, AssertionError) as error:
            self.error = repr(error)


def test_descriptors(net, launch):
    """Many more clients than descriptors, each of which would stay: all are answered, one after the
    other; the limit is never met, and the processor rests while clients wait."""
    one = launch(config(net))
    one.wait_states("web", ["healthy"] * 3)
    assert level(one) == "none"
    limit = leave_files(one, 60)
    visitors = [Visitor(net) for _ in range(count("shed_clients"))]
    until(lambda: level(one) == "accept_paused", "nobody is accepted")
    assert "accept_paused; files" in one.ctl("status")[1]
    most, watch, cpu = 0, stopwatch(), cpu_s(one)
    while not all(visitor.is_done() for visitor in visitors):
        most = max(most, one.open_files())
        assert one.states("web") == ["healthy"] * 3
        assert watch() < patience(60), [(v.status, v.error) for v in visitors]
    spent, seconds = cpu_s(one) - cpu, watch()
    assert [v.error for v in visitors if v.error] == []
    assert {v.status for v in visitors} == {200}
    assert most <= limit - RESERVE + 8, "what is kept for others is left to them"
    print(f"{len(visitors)} clients in {seconds:.1f} s, {spent:.2f} s of CPU, {most} of {limit} files")
    for visitor in visitors:
        visitor.leave()
    until(lambda: level(one) == "none", "it is over")
    facts = overload(one)
    assert facts["changes"] >= 2 and facts["accept_pauses"] >= 1
    assert one.drops().get("too_many_files", 0) == 0
    until(lambda: "files: " in one.log() and "nobody is accepted for now" in one.log()
          and "no load is shed any more" in one.log(), "the log says so")
    assert one.log().count("overload") <= facts["changes"] + 1, "a line for each change"
    with TlsConnection((net.v4, 443)) as client:
        assert [client.request().status for _ in range(3)] == [200] * 3
    assert one.ctl("reload")[0] == 0


def test_rest_costs_little(net, launch):
    """Who has nothing to do looks once a second; and at once when somebody comes."""
    one = launch(config(net) | {"target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)]})

    def looks():
        """Calls that read, of the control thread: some for each look."""
        lines = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["syscr"])

    def spent_s():
        return int(Path(f"/proc/{one.process.pid}/task/{one.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def at_rest():
        passed, before, before_s = stopwatch(), looks(), spent_s()
        until(lambda: passed() >= 3, "three seconds have passed")
        per_look = 4  # the calls of a look, and what else there is once a second
        return looks() - before <= 3 * 4 * per_look and (IS_SANITIZED or (spent_s() - before_s) / 3 < 0.002)
    until(at_rest, "it rests")
    limit = one.open_files() * 20
    resource.prlimit(one.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with contextlib.ExitStack() as stack:
        for _ in range(limit - one.open_files() - RESERVE):
            stack.enter_context(socket.create_connection((net.v4, 80), patience(5)))
        until(lambda: level(one) != "none", "that it is short is seen", 1)


def test_idle_targets_are_given_up(net, launch):
    """Between the first mark and the second: clients have left, what they had to targets does not last."""
    one = launch(config(net))
    one.wait_states("web", ["healthy"] * 3)
    leave_files(one, 60)
    visitors = [Visitor(net, "/slow/1500") for _ in range(18)]
    until(lambda: level(one) != "none", "it is short of files")
    until(lambda: all(visitor.is_done() for visitor in visitors), "all have their answers")
    for visitor in visitors:
        visitor.leave()
    until(lambda: level(one) == "none", "it is over")
    assert {(v.status, v.error) for v in visitors} == {(200, None)}


def all_have_left(visitors):
    """Who is connected leaves; who came last may have to wait for that, or was sent away before it said anything."""
    for visitor in [v for v in visitors if v.client and not v.may_go.is_set()]:
        visitor.give_up()
    return all(visitor.may_go.is_set() or visitor.error for visitor in visitors)


def test_nobody_makes_room(net, launch):
    """Clients that do not end have the descriptors: those who come wait, without the processor being
    busy, and are served when one goes."""
    one = launch(config(net, target_groups=[group("web", "http", net.target_list(8080), NO_CHECK)]))
    leave_files(one, 60)
    held = []
    while level(one) != "accept_paused":
        held.append(Visitor(net, "/slow/60000"))
    early = []
    while overload(one)["accept_pauses"] == 0:  # until then they are let in
        early.append(Visitor(net))
    waiting = [Visitor(net) for _ in range(5)]
    cpu, watch = cpu_s(one), stopwatch()
    until(lambda: watch() > 1, "a second passes")
    assert (cpu_s(one) - cpu) / watch() < 0.3, "it waits"
    assert level(one) == "accept_paused" and not any(v.status for v in waiting)
    until(lambda: all_have_left(held), "those who hold them leave", 20)
    until(lambda: all(v.status == 200 for v in waiting), "those who waited are served", 20)
    until(lambda: level(one) == "none", "it is over")
    for visitor in early + waiting:
        visitor.leave()


def slow_requests(net):
    """That targets have got until now."""
    return sum(target.stats()["paths"].get("slow", 0) for target in net.targets)


def test_memory(net, launch):
    """Near limits.memory: keep-alive is shortened, requests are answered 503, and all is as before when
    the limit is higher."""
    one = launch(config(net))
    until(lambda: level(one) == "none", "it is calm")
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 200
        limit = one.status_kib("RssAnon") * 1024 * 100 // 88
        one.reload(config(net, limits={"memory": str(limit)}))
        until(lambda: level(one) != "none", "it is noticed")
        assert resource_of(one, "memory")["limit"] == limit
        assert client.is_ended(), "it waited for too long"
    one.reload(config(net, limits={"memory": str(limit * 4)}))
    until(lambda: level(one) == "none", "there is room")
    before = slow_requests(net)
    held = [Visitor(net, "/slow/60000") for _ in range(4)]  # there is somebody to wait for
    until(lambda: slow_requests(net) == before + 4, "they are with targets")
    with Connection((net.v4, 80)) as client:
        assert [client.request().status for _ in range(3)] == [200] * 3
        one.reload(config(net, limits={"memory": str(limit // 2)}))
        until(lambda: level(one) == "shedding", "there is no room")
        assert client.is_ended(), "it waits, and nobody may"
    assert "shedding; files" in one.ctl("status")[1]
    waiting = Visitor(net)
    one.reload(config(net))
    until(lambda: level(one) == "none", "it is over")
    until(lambda: waiting.status == 200, "who waited is served")
    connection = UnixHttp(one.socket)
    connection.request("GET", "/v1/metrics")
    metrics = connection.getresponse().read().decode()
    connection.close()
    assert "sluice_overload_level 0\n" in metrics and 'sluice_resource_limit{resource="files"}' in metrics
    waiting.leave()
    for visitor in held:
        visitor.give_up()


class Staller(Connection):
    """Begins a TLS handshake, and leaves it at that: what the daemon has for it stays."""

    def __init__(self, address, hello):
        super().__init__(address)
        self.send(hello)
        self.more()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname="www.sluice.test")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.skipif(IS_SANITIZED, reason="freed memory is kept by the sanitizer")
def test_memory_comes_back(net, launch):
    """Clients that have the memory are given up, and that is enough: nobody changes anything, the level
    goes up once and down once, who came meanwhile waits and is served."""
    one = launch(config(net, workers=2))
    hello, watch = client_hello(), stopwatch()
    stallers = [Staller((net.v4, 443), hello) for _ in range(count("shed_stallers"))]
    try:
        opened_s = watch()
        until(lambda: watch() > opened_s + 5.2, "they have had the time that everybody has")
        one.reload(config(net, workers=2, limits={"memory": str(one.status_kib("RssAnon") * 1024)}))
        before, watch = overload(one)["changes"], stopwatch()
        until(lambda: level(one) in ("accept_paused", "shedding"), "it is noticed")
        late = Visitor(net)
        while level(one) != "none":
            assert one.ask("GET", "/v1/ready")[0] == 200, "it serves, if late"
            assert watch() < patience(15), resource_of(one, "memory")
        until(lambda: late.status == 200, "who came meanwhile is served")
        late.leave()
    finally:
        for staller in stallers:
            staller.close()
    made_room = next(row["count"] for row in one.api("/v1/counters")["counters"] if row["reason"] == "made_room")
    assert made_room == len(stallers)
    assert overload(one)["changes"] - before <= 4, "it does not flap"
    assert not resource_of(one, "memory")["in_vain"]
    until(lambda: "no load is shed any more" in one.log(), "the log says so")
    assert "accepting goes on" not in one.log()


def test_limit_below_what_is_needed(net, launch):
    """A limit of memory that nothing could keep: shedding would never end, so that it ends by itself,
    and the log says so. Clients are served."""
    one = launch(config(net, limits={"memory": str(1 << 20)}))
    until(lambda: resource_of(one, "memory")["in_vain"], "it gives up")
    assert level(one) == "keep_alive_short"
    with TlsConnection((net.v4, 443)) as client:
        assert [client.request().status for _ in range(3)] == [200] * 3
    until(lambda: "ending connections does not lower it: accepting goes on" in one.log(), "the log says so")
    assert one.log().count("accepting goes on") == 1


def test_requests_are_shed(net, launch):
    """When there is no room: what was begun is served; a connection whose first request comes now gets
    503 and ends."""
    one = launch(config(net))
    begun, late = Connection((net.v4, 80)), Connection((net.v4, 80))
    with begun, late:
        begun.send(b"GET /slow/2000 HTTP/1.1\r\nHost: a\r\n\r\n")
        late.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        until(lambda: any(t.stats()["paths"].get("slow") for t in net.targets), "a target has it")
        until(lambda: one.api("/v1/status")["connections_open"] == 2, "both are accepted")
        one.reload(config(net, limits={"memory": str(one.status_kib("RssAnon") * 512)}))
        until(lambda: level(one) == "shedding", "there is no room")
        late.send(b"\r\n")
        answer = late.response()
        assert (answer.status, answer.get("connection")) == (503, "close") and late.is_ended()
        answer = begun.response()
        assert (answer.status, answer.get("connection")) == (200, "close") and begun.is_ended()
    assert one.drops()["overloaded"] == 1


@pytest.fixture
def memory_group():
    """A control group that what is started now is in; its folder."""
    top = Path("/sys/fs/cgroup/memory" if Path("/sys/fs/cgroup/memory").is_dir() else "/sys/fs/cgroup")
    words = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = next(path for _, controllers, path in words
               if controllers == ("memory" if top.name == "memory" else ""))
    folder = top / f"sluice-test-{os.getpid()}"
    folder.mkdir()
    try:
        if not any((folder / name).exists() for name in ("memory.limit_in_bytes", "memory.max")):
            pytest.skip("the memory controller is not enabled for groups of this host")
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        yield folder
    finally:
        (top / own.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        until(lambda: not (folder / "cgroup.procs").read_text(), "nobody is in it")
        folder.rmdir()


def test_control_group(net, memory_group, launch):
    """The limit of the control group that it is in counts, without the pages of files."""
    name = "memory.limit_in_bytes" if (memory_group / "memory.limit_in_bytes").exists() else "memory.max"
    one = launch(config(net))
    (memory_group / name).write_text(str(4 << 30))
    used = until(lambda: resource_of(one, "cgroup_memory"), "the limit is noticed")["used"]
    assert level(one) == "none"
    (memory_group / name).write_text(str(used * 10 // 9 // 4096 * 4096))
    until(lambda: level(one) != "none", "it is near")
    (memory_group / name).write_text(str(4 << 30))
    until(lambda: level(one) == "none", "it is over")
    net.halt()


def test_connections(net, launch):
    """Near limits.connections those who wait make room, and whoever comes is served."""
    one = launch(config(net, limits={"connections": 10}))
    idle = [Connection((net.v4, 80)) for _ in range(9)]
    try:
        for client in idle:
            assert client.request().status == 200
        until(lambda: level(one) == "keep_alive_short", "it is noticed")
        assert all(client.is_ended() for client in idle)
        until(lambda: level(one) == "none", "it is over")
        assert one.drops().get("node_limit", 0) == 0
    finally:
        for client in idle:
            client.close()
