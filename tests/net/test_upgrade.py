"""One process takes over from another: nobody who is connected, or connects, notices, whatever fails."""
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

import http2
from counts import count
from load import Load
from sluiced import STOP_S, Foreign, Sluiced
from standard import CHECK, NO_CHECK, group, listener
from wire import Connection, TlsConnection, client_context, patience, until

WWW = "www.sluice.test"
WEBSOCKET = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
MAGIC = 0x53756C53
HELLO, GIVEN, REFUSED, PREPARED, COMMITTED, SERVING = 1, 7, 8, 9, 11, 12


def config(net, workers=1, check=NO_CHECK, **more):
    return {"workers": workers, "certificates": net.certificates("default", "www"),
            "target_groups": [group("web", "http", net.target_list(8080), check)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default", "www"]),
                          listener("plain", "http", 80, "web")]} | more


def successor(net, one, settings=None, env=None):
    """Another process with the same files, told to take over."""
    if settings:
        one.write(settings)
    next_one = Sluiced.__new__(Sluiced)
    next_one.__dict__.update(one.__dict__)
    next_one.process = None
    next_one.spawn(options=["--take-over"], env=env)
    return next_one


def take_over(net, one, settings=None):
    """The successor, serving; the one before, which leaves."""
    next_one = successor(net, one, settings)
    until(next_one.is_ready, "the next one serves", 20)
    net.current = next_one
    return next_one


def has_ended(one):
    return one.process.wait(timeout=STOP_S) == 0


@pytest.fixture
def old(net, targets, launch):
    """One that runs; whoever is left of it and its successors at the end is ended."""
    before = []

    def begin(settings):
        one = launch(settings)
        before.append(one)
        return one
    yield begin
    for one in before:
        if one is not net.current:
            one.discard()


def ask(net):
    with TlsConnection((net.v4, 443), WWW, client_context()) as client:
        return client.request().status


def accepted(one):
    return one.api("/v1/status")["accepted_total"]


@pytest.mark.parametrize("xdp", ["native", "off"])
def test_under_load(net, old, xdp):
    """Kept connections, new ones, a tunnel; one worker, two, one: nothing fails, no counter goes back, and
    who is left is served by the one before until the end."""
    def settings(workers):
        plane = {"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins)} if xdp == "native" else {
            "mode": "off"}
        return config(net, workers, xdp=plane)
    one = old(settings(1))
    left = []
    with TlsConnection((net.v4, 443)) as tunnel, \
            Load((net.v4, 443), 20, 50, client_context(), WWW) as kept, \
            Load((net.v4, 443), 6, 10, client_context(), WWW, is_new_each=True) as new:
        tunnel.send(WEBSOCKET)
        assert tunnel.response().status == 101
        first = one
        for number in range(count("upgrades")):
            counted = accepted(one)
            left.append(one)
            one = take_over(net, one, settings(2 - number % 2))
            assert accepted(one) >= counted
            done = kept.ok, new.ok
            until(lambda: kept.ok > done[0] + 40 and new.ok > done[1] + 20, "the load goes on")
            tunnel.send(b"ping")
            assert tunnel.take(4) == b"ping"
        assert first.is_alive()
    assert kept.failures == [] and new.failures == []
    for other in left:
        assert has_ended(other)
    print(f"{kept.ok} requests kept, {new.ok} new, slowest {max(kept.slowest_s, new.slowest_s) * 1000:.0f} ms")
    assert ask(net) == 200


def of_another_layout(one):
    """As if a daemon of another version had pinned its maps."""
    pin = str(one.pins / "maps" / "settings")
    row = subprocess.run(["bpftool", "--json", "map", "lookup", "pinned", pin, "key", "hex", "00", "00", "00", "00"],
                         capture_output=True, check=True)
    value = [byte[2:] for byte in json.loads(row.stdout)["value"]]
    value[0] = "fe"  # layout_version
    subprocess.run(["bpftool", "map", "update", "pinned", pin, "key", "hex", "00", "00", "00", "00",
                    "value", "hex", *value], check=True)


def test_other_layout(net, old):
    """The packet plane of another version is replaced, not taken over; whoever knocks meanwhile comes in."""
    one = old(config(net, xdp={"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins)}))
    left = []
    with TlsConnection((net.v4, 443)) as tunnel, \
            Load((net.v4, 443), 6, 10, client_context(), WWW, is_new_each=True) as new:
        tunnel.send(WEBSOCKET)
        assert tunnel.response().status == 101
        for _ in range(count("upgrades")):
            of_another_layout(one)
            said = len(one.log())
            left.append(one)
            one = take_over(net, one)
            assert "pinned maps have layout" in one.log()[said:]
            done = new.ok
            until(lambda: new.ok > done + 20, "the load goes on")
            tunnel.send(b"ping")
            assert tunnel.take(4) == b"ping"
            until(lambda: one.api("/v1/status")["gate"]["active"], "the gate is there")
        assert "workers_stale_rst" not in one.ctl("drops")[1]
    assert new.failures == []
    for other in left:
        assert has_ended(other)


def test_what_goes_on(net, old):
    """Sessions resume, what is known of targets is, a download and HTTP/2 streams end where they began."""
    one = old(config(net, check=CHECK))
    one.wait_states("web", ["healthy"] * 3)
    context = client_context(ssl.TLSVersion.TLSv1_2)
    with TlsConnection((net.v4, 443), WWW, context) as client:
        assert client.request().status == 200
        session = client.tls.session
    with TlsConnection((net.v4, 443), WWW, client_context()) as download, \
            http2.connect((net.v4, 443), WWW) as h2:
        download.send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = h2.open("/slow/3000", scheme="https")
        one = take_over(net, one)
        assert one.states("web") == ["healthy"] * 3 and "is unhealthy" not in one.log()
        with TlsConnection((net.v4, 443), WWW, context, session=session) as client:
            assert client.tls.session_reused and client.request().status == 200
        status = one.api("/v1/status")["upgrade"]
        assert status["from_alive"] and status["addresses"] == 4  # IPv4 and IPv6
        assert "taken over" in one.ctl("status")[1]
        answer = download.response()
        assert len(answer.body) == 20_000_000 and not answer.is_cut
        assert h2.answer(stream).status == 200


def test_by_command(net, old):
    """sluicectl starts the program again; one that does not exist, or has errors, changes nothing."""
    one = old(config(net))
    pid = one.process.pid
    for program, words in (("/nowhere/sluiced", "cannot start /nowhere/sluiced"), ("/bin/false", "ended")):
        status, _, err = one.ctl("upgrade", program, check=False)
        assert status == 1 and words in err, err
    assert "absolute path" in one.ctl("upgrade", "sluiced", check=False)[2]
    good = config(net)
    one.write(good | {"workers": "many"})
    status, _, err = one.ctl("upgrade", check=False)
    assert status == 1 and "workers" in err
    one.write(good)
    assert one.api("/v1/status")["pid"] == pid and ask(net) == 200
    out = one.ctl("upgrade")[1]
    other = one.api("/v1/status")["pid"]
    assert other != pid and f"pid {other} serves" in out
    assert has_ended(one)
    one.process = Foreign(other)
    assert ask(net) == 200
    until(lambda: f"pid {pid}, from which this one took over, has ended" in one.log(), "its log is the same file")


def failures(one):
    """How many have tried in vain; the admin socket may be away for a moment."""
    try:
        return one.api("/v1/status")["upgrade"]["failed"]
    except (OSError, http.client.HTTPException):
        return 0


def peer(net, one):
    """The other end of the socket, for what a sluiced would not say."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.settimeout(patience(10))
    sock.connect(f"{one.socket}.upgrade")
    return sock


def say(sock, kind, body=b""):
    sock.send(struct.pack("II", MAGIC, kind) + body)


def hear(sock, kind):
    """The next message of that kind; how many descriptors came on the way."""
    n = 0
    while True:
        data, fds, _, _ = socket.recv_fds(sock, 1 << 16, 128)
        n += len(fds)
        for fd in fds:
            os.close(fd)
        assert data, "the other side hung up"
        if struct.unpack_from("II", data)[1] == kind:
            return n


@pytest.mark.parametrize("until_kind", ["nothing", "garbage", "out of turn", "hello", "given", "committed"])
def test_who_does_not_take_over(net, old, until_kind):
    """Whatever it got, and whenever it goes: the one that runs goes on, and another one may try."""
    one = old(config(net))
    with Load((net.v4, 443), 4, 10, client_context(), WWW, is_new_each=True) as load:
        with peer(net, one) as sock:
            if until_kind == "garbage":
                sock.send(os.urandom(300))
            elif until_kind == "out of turn":
                say(sock, SERVING)
            elif until_kind != "nothing":
                say(sock, HELLO, struct.pack("II", 1, 1))
            if until_kind in ("given", "committed"):
                assert hear(sock, GIVEN) >= 3
            if until_kind == "committed":
                say(sock, PREPARED, struct.pack("I", 0))
                hear(sock, COMMITTED)
        until(lambda: failures(one) == 1, "it is told of")
        done = load.ok
        until(lambda: load.ok > done + 20, "the load goes on")
        status, gate = one.api("/v1/status"), one.api("/v1/status")["gate"]
        assert status["state"] == "ready" and "did not take over" in status["upgrade"]["error"]
        until(lambda: one.api("/v1/status")["gate"]["active"], f"the gate is there, {gate}")
        take_over(net, one)
    assert load.failures == []
    assert has_ended(one)


@pytest.mark.parametrize("line", ["taking over from sluiced", "capabilities: "])
def test_killed_on_its_way(net, old, line):
    """The one that takes over, when it has all it is given, and when it has the packet plane, too."""
    one = old(config(net, xdp={"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins)}))
    with Load((net.v4, 443), 4, 10, client_context(), WWW, is_new_each=True) as load:
        for number in range(count("upgrades")):
            said = len(one.log())
            next_one = successor(net, one)
            until(lambda: line in one.log()[said:], "it is on its way")
            next_one.process.kill()
            next_one.process.wait(timeout=STOP_S)
            until(lambda: failures(one) == number + 1, "it is told of")
            done = load.ok
            until(lambda: load.ok > done + 20, "the load goes on")
        assert one.api("/v1/status")["state"] == "ready"
        until(lambda: one.api("/v1/status")["gate"]["active"], "the gate is there")
        take_over(net, one)
    assert load.failures == []
    assert has_ended(one)


@pytest.mark.parametrize("step", ["building", "prepared", "serving"])
def test_fails_on_its_way(net, old, step):
    """The one that takes over, because of its configuration."""
    one = old(config(net))
    with Load((net.v4, 443), 4, 10, client_context(), WWW, is_new_each=True) as load:
        bad = config(net)
        if step == "building":
            bad["certificates"][0]["cert"] = "/nowhere.pem"
            one.write(bad)
        elif step == "serving":  # its workers run, and end again
            bad["metrics"] = {"listen": ["203.0.113.77:9"]}  # nobody's
            one.write(bad)
        else:
            bad["listeners"][1]["address"] = "203.0.113.77:80"  # nobody's
            one.write(bad)
        next_one = successor(net, one)
        assert next_one.process.wait(timeout=STOP_S) == 1
        until(lambda: failures(one) == 1, "it is told of")
        done = load.ok
        until(lambda: load.ok > done + 20, "the load goes on")
    assert load.failures == []


def test_an_address_less(net, old):
    """What the next one does not have any more is refused once the one before has left, and may come back."""
    more = config(net)
    more["listeners"].append(listener("more", "http", 8089, "web"))
    one = old(more)
    next_one = take_over(net, one, config(net))
    assert has_ended(one)
    with pytest.raises(ConnectionRefusedError):
        Connection((net.v4, 8089))
    next_one.reload(more)
    with Connection((net.v4, 8089)) as client:
        assert client.request().status == 200


def test_frozen_while_it_leaves(net, old):
    """Longer than a control thread may say nothing: all of it slept."""
    one = old(config(net))
    with TlsConnection((net.v4, 443)) as tunnel:
        tunnel.send(WEBSOCKET)
        assert tunnel.response().status == 101
        take_over(net, one)
        one.signal(signal.SIGSTOP)
        time.sleep(6)
        one.signal(signal.SIGCONT)
        tunnel.send(b"awake")
        assert tunnel.take(5) == b"awake"
        time.sleep(0.5)  # it would end while it looks for the first time
        tunnel.send(b"still")
        assert tunnel.take(5) == b"still"
    assert has_ended(one)


def test_the_one_before_is_killed(net, old):
    """Behind it nobody misses anything but its connections."""
    one = old(config(net))
    with TlsConnection((net.v4, 443)) as tunnel:
        tunnel.send(WEBSOCKET)
        assert tunnel.response().status == 101
        next_one = take_over(net, one)
        until(lambda: next_one.api("/v1/status")["upgrade"]["connections_left"] == 1, "who is left is told")
        one.kill9()
        until(lambda: not next_one.api("/v1/status")["upgrade"]["from_alive"], "its end is seen")
    assert ask(net) == 200 and next_one.api("/v1/status")["upgrade"]["connections_left"] == 0


def test_nobody_is_there(net, old):
    """--take-over starts as any other where there is nobody, or who was there was killed."""
    one = old(config(net))
    one.kill9()
    next_one = successor(net, one)
    until(next_one.is_ready, "it serves")
    net.current = next_one
    assert ask(net) == 200 and next_one.api("/v1/status")["upgrade"]["from_pid"] is None
