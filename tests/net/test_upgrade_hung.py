"""An upgrade that does not go its way: either side hangs, is signalled, is asked for something else
meanwhile, or somebody else is at the socket. One of the two serves, and nothing that was asked for is lost."""
import os
import signal
import socket
import struct
import subprocess
import sys
import time

import pytest

import netns
from counts import count
from load import Load
from sluiced import STOP_S
from test_upgrade import (COMMITTED, GIVEN, HELLO, PREPARED, REFUSED, WWW, ask, config, failures, has_ended, hear,
                          old, peer, say, successor, take_over)  # noqa: F401 (a fixture)
from wire import TlsConnection, client_context, until

HELLO_S, STEP_S, LONG_S = 5, 10, 20  # patience of upgrade.c with who connects, of upgrade_take.c, of both at the end
is_slow = pytest.mark.skipif(not count("upgrade_patience"), reason="waits for time-outs: make soak")
NOBODY = 65534

# As another user, who may go everywhere.
FOREIGN = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+dac_override",
           "--ambient-caps=+dac_override", sys.executable, "-c", """
import socket, sys
sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sock.settimeout(10)
sock.connect(sys.argv[1])
print(sock.recv(1000)[8:].decode())
print(len(sock.recv(1000)))
"""]


@pytest.fixture
def one(net, old):  # noqa: F811 (the same)
    return old(config(net))


def load(net):
    return Load((net.v4, 443), 4, 10, client_context(), WWW, is_new_each=True)


def begun(net, one):
    """The socket of a taker that has been given everything but the gate, and says no more."""
    sock = peer(net, one)
    say(sock, HELLO, struct.pack("II", 1, 1))
    hear(sock, GIVEN)
    return sock


def stopped(net, one, settings=None):
    """A successor that stands still on its way."""
    said = len(one.log())
    next_one = successor(net, one, settings)
    until(lambda: "taking over from sluiced" in one.log()[said:], "it is on its way", pause=0.001)
    next_one.signal(signal.SIGSTOP)
    return next_one


def goes_on(one, clients, times):
    """It serves, as if nobody had come; those who come later may take over."""
    until(lambda: failures(one) == times, "it is told of", LONG_S + 5)
    done = clients.ok
    until(lambda: clients.ok > done + 20, "the load goes on")
    until(lambda: one.api("/v1/status")["gate"]["active"], "the gate is there")


@pytest.mark.parametrize("step", ["connected", pytest.param("committed", marks=is_slow)])
def test_taker_hangs(net, one, step):
    """It is given up, and was nobody's loss. Who comes meanwhile is told."""
    with load(net) as clients:
        with peer(net, one) as sock:
            if step == "committed":
                say(sock, HELLO, struct.pack("II", 1, 1))
                hear(sock, GIVEN)
                say(sock, PREPARED, struct.pack("I", 0))
                hear(sock, COMMITTED)
            other = successor(net, one)
            assert other.process.wait(timeout=STOP_S) == 1
            until(lambda: "another one is taking over" in one.log(), "it says why")
            goes_on(one, clients, 1)
        take_over(net, one)
    assert clients.failures == []
    assert has_ended(one)


def test_two_want_to(net, one):
    """The second one is sent away, and the first one is the one that is spoken of (to a service manager, too)."""
    next_one = stopped(net, one)
    other = successor(net, one)
    assert other.process.wait(timeout=STOP_S) == 1
    until(lambda: "another one is taking over" in one.log(), "it says why")
    next_one.signal(signal.SIGCONT)
    until(next_one.is_ready, "the first one serves")
    net.current = next_one
    until(lambda: f"pid {next_one.process.pid} serves from now on" in one.log(), "it is spoken of")
    assert has_ended(one)


@is_slow
def test_giver_hangs_at_once(net, one):
    """The one that takes over waits no longer than it must, and says so; the one before wakes up and serves."""
    with TlsConnection((net.v4, 443), WWW) as client:
        assert client.request().status == 200
        one.signal(signal.SIGSTOP)
        next_one = successor(net, one)
        assert next_one.process.wait(timeout=STEP_S + STOP_S) == 1
        assert "taking over from the sluiced that runs" in one.log()
        one.signal(signal.SIGCONT)
        assert client.request().status == 200
    until(one.is_ready, "it is there again")
    with load(net) as clients:
        until(lambda: one.api("/v1/status")["upgrade"]["failed"] == 1, "it is told of")
        take_over(net, one)
    assert clients.failures == [] and has_ended(one)


@is_slow
@pytest.mark.parametrize("step", ["hello", "given"])
def test_giver_hangs(net, one, step):
    """One that says nothing more: who wanted to take over ends with an error."""
    one.kill9()
    one.process = None
    path = f"{one.socket}.upgrade"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.settimeout(10)
        os.unlink(path)
        door.bind(path)
        door.listen()
        next_one = successor(net, one)
        with door.accept()[0] as sock:
            hear(sock, HELLO)
            say(sock, HELLO, struct.pack("II", 1, 1))
            if step == "given":
                say(sock, GIVEN)
                hear(sock, PREPARED)
            assert next_one.process.wait(timeout=LONG_S + STOP_S) == 1
    assert "taking over" in one.log()
    net.unpin()


def test_another_user(net, one):
    """Who may not gets nothing, whatever the rights of the file are; it is counted and said."""
    path = f"{one.socket}.upgrade"
    netns.run(["chmod", "0666", path])
    done = subprocess.run([*FOREIGN, path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    words, more = done.stdout.splitlines()
    assert "may not" in words and more == "0", done.stdout
    assert failures(one) == 1
    until(lambda: f"user {NOBODY}" in one.log(), "the log has it")
    assert ask(net) == 200


def test_asked_meanwhile(net, one):
    """Changes are refused with words while somebody takes over; a signal has no answer, so what it asks for
    is done when that has failed."""
    before = one.generation()
    with begun(net, one):
        for words in (["reload"], ["upgrade"]):
            status, _, err = one.ctl(*words, check=False)
            assert status == 1 and ("taking over" in err or "under way" in err), err
        status, answer, _ = one.ask("PATCH", "/v1/objects/listeners/web", {"limits": {"headers": 61}})
        assert (status, answer["error"]["code"]) == (503, "upgrading"), answer
        one.signal(signal.SIGHUP)
        until(lambda: "who serves then reloads" in one.log(), "it has heard it")
        assert one.generation() == before
    until(lambda: one.generation() == before + 1, "it has reloaded")
    assert failures(one) == 1 and ask(net) == 200


def test_reloaded_meanwhile(net, one):
    """The one that takes over has read the file, then that is changed, and the one before hears of it."""
    next_one = stopped(net, one)
    one.write(config(net, limits={"connections": 5000}))
    one.signal(signal.SIGHUP)
    until(lambda: "who serves then reloads" in one.log(), "the one before has heard it")
    next_one.signal(signal.SIGCONT)
    until(next_one.is_ready, "the next one serves")
    net.current = next_one
    until(lambda: next_one.generation() == 2, "it has reloaded")
    assert has_ended(one) and ask(net) == 200


def test_new_one_is_ended(net, one):
    """SIGTERM while it takes over: the one before goes on."""
    with load(net) as clients:
        next_one = stopped(net, one)
        next_one.signal(signal.SIGTERM)
        next_one.signal(signal.SIGCONT)
        next_one.process.wait(timeout=STOP_S)
        assert "told to end by a signal" in one.log()
        goes_on(one, clients, 1)
    assert clients.failures == []


def test_old_one_is_ended(net, one):
    """SIGTERM to the one before takes its sockets and its pins away from who has not begun to serve, who says
    so: nobody serves with half of them."""
    next_one = stopped(net, one)
    one.signal(signal.SIGTERM)
    until(lambda: "SIGTERM: stopping" in one.log(), "it has heard it")
    next_one.signal(signal.SIGCONT)
    assert has_ended(one) and next_one.process.wait(timeout=STOP_S) == 1
    assert "does not let another one take over: it is stopping" in one.log()
    assert not net.pins.exists()
    net.current = next_one.start()
    assert ask(net) == 200


def test_old_one_leaves_with_grace(net, one):
    """It is told to stop, and goes on for a while: nobody takes over from it any more."""
    one.reload(config(net, shutdown={"grace": "60s"}))
    with begun(net, one) as sock:
        one.signal(signal.SIGTERM)
        hear(sock, REFUSED)
    until(lambda: "leaving, new connections are served" in one.log(), "it has heard it")
    late = successor(net, one)
    assert late.process.wait(timeout=STOP_S) == 1 and ask(net) == 200
    one.signal(signal.SIGTERM)
    assert has_ended(one)


def test_old_one_is_ended_at_the_last_moment(net, one):
    """Whoever is about to serve is waited for: one that gives up then leaves nobody, in order."""
    with peer(net, one) as sock:
        say(sock, HELLO, struct.pack("II", 1, 1))
        hear(sock, GIVEN)
        say(sock, PREPARED, struct.pack("I", 0))
        hear(sock, COMMITTED)
        one.signal(signal.SIGTERM)
        until(lambda: "this one stops when it does" in one.log(), "it has heard it")
        assert ask(net) == 200
    assert has_ended(one) and not net.pins.exists()


@pytest.mark.parametrize("after_ms", [5, 20, 35, 50, 80, 120, 200, 350])
def test_old_one_is_ended_on_the_way(net, one, after_ms):
    """Wherever they are: the next one serves, or has ended with words; the one before ends in order."""
    next_one = successor(net, one)
    time.sleep(after_ms / 1000)
    one.signal(signal.SIGTERM)
    assert has_ended(one)
    try:
        until(next_one.is_ready, "the next one serves")
    except AssertionError:
        assert next_one.process.poll() == 1, one.log()[-4000:]
        said = [line for line in one.log().splitlines() if line.startswith("sluiced: ")]
        words = "it is stopping", "stop that one first", "it closed the connection"
        assert len(said) == 1 and any(word in said[0] for word in words), said
        next_one.start()
    net.current = next_one
    assert ask(net) == 200 and next_one.api("/v1/status")["xdp"]["interfaces"][0]["mode"] == "native"


def test_old_one_is_ended_beside_a_hung_one(net, one):
    """It does not wait for it."""
    with begun(net, one):
        one.signal(signal.SIGTERM)
        assert has_ended(one)
