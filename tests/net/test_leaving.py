"""How the daemon ends: ready no more, then closed to new connections, then gone; and what a service
manager is told of its life."""
import contextlib
import signal
import socket
import struct
import threading

import pytest

import http2
from sluiced import Foreign, Sluiced
from standard import NO_CHECK, group, listener
from threads import stop_thread
from websocket import WebSocket
from wire import Connection, TlsConnection, milliseconds, patience, until

UPGRADE = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LONG = f"{patience(60):.0f}s"


def config(net, **shutdown):
    return {"shutdown": shutdown, "certificates": net.certificates("default"),
            "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"]),
                          listener("plain", "http", 80, "web")]}


def is_refused(net):
    try:
        with Connection((net.v4, 80), timeout=patience(5)):
            return False
    except ConnectionError:
        return True


def begin(one, how):
    if how == "drain":
        assert one.ctl("drain")[1].startswith("leaving")
    else:
        one.signal(signal.SIGTERM)


@pytest.mark.parametrize("how", ["drain", "signal"])
def test_leaves_in_two_steps(net, launch, how):
    """While it leaves it serves everybody and keeps nobody; then it refuses; then it waits for the last."""
    one = launch(config(net, grace=LONG, timeout=LONG))
    assert one.ctl("ready")[0] == 0 and one.api("/v1/status")["state"] == "ready"
    with TlsConnection((net.v4, 443)) as tunnel, TlsConnection((net.v4, 443)) as kept:
        tunnel.send(UPGRADE)
        assert tunnel.response().status == 101
        assert kept.request().get("connection") is None
        begin(one, how)
        until(lambda: one.api("/v1/status")["state"] == "leaving", "it leaves")
        status, _, err = one.ctl("ready", check=False)
        assert status == 1 and "leaving" in err
        for client in (kept, TlsConnection((net.v4, 443)), Connection((net.v4, 80))):
            with client:
                answer = client.request()
                assert (answer.status, answer.get("connection")) == (200, "close")
                assert client.recv() == b""
        if how == "drain":  # the service manager's own, after its hook
            one.signal(signal.SIGTERM)
            until(lambda: "leaving already" in one.log(), "it is heard")
            assert one.api("/v1/status")["state"] == "leaving"
        one.signal(signal.SIGTERM)  # on to the next step
        until(lambda: one.api("/v1/status")["state"] == "stopping", "it stops")
        until(lambda: is_refused(net), "new connections are refused")
        assert "stopping" in one.ctl("drain")[1]  # and nothing is cut off by asking
        tunnel.send(b"ping")
        assert tunnel.take(4) == b"ping"
        assert one.is_alive()
    assert one.process.wait(timeout=patience(10)) == 0


@pytest.mark.parametrize("by", ["timeout", "signal"])
def test_what_does_not_end(net, launch, by):
    one = launch(config(net, **(dict(grace=milliseconds(200), timeout=milliseconds(200)) if by == "timeout"
                                else dict(timeout=LONG))))
    with TlsConnection((net.v4, 443)) as tunnel:
        tunnel.send(UPGRADE)
        assert tunnel.response().status == 101
        one.signal(signal.SIGTERM)
        if by == "signal":
            until(lambda: is_refused(net), "it stops")
            one.signal(signal.SIGTERM)
        assert one.process.wait(timeout=patience(10)) == 0
        with pytest.raises((EOFError, OSError)):
            tunnel.take(1)
    said = {"timeout": ("the time of grace is over: stopping", "did not end in time"), "signal": ("ending at once",)}
    assert all(words in one.log() for words in said[by])


def test_websocket_that_does_not_end(net, launch):
    """The same over HTTP/2: told by GOAWAY, it is ended at the deadline with its connection."""
    one = launch(config(net, grace="0s", timeout=milliseconds(300)))
    with http2.connect((net.v4, 80)) as client:
        tunnel = WebSocket(client)
        assert tunnel.exchange(b"ping") == b"ping"
        one.signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionError):
            while client.more():
                pass
        assert client.goaway is not None and not tunnel.answer.is_whole
    assert one.process.wait(timeout=patience(10)) == 0
    assert "1 connections did not end in time" in one.log()


class Manager:
    """The service manager's end of NOTIFY_SOCKET. When `main` is set it hears that process alone, as systemd
    with NotifyAccess=main does, until it is told of another one."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(str(path))
        self.said, self.main = [], None
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            message, control, _, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(12))
            if not message:
                return
            pid = struct.unpack("iII", control[0][2])[0]
            if self.main in (None, pid):
                self.hear(message.decode().split("\n"))

    def hear(self, lines):
        self.said += lines
        for line in lines:
            if line.startswith("MAINPID="):
                self.main = int(line.removeprefix("MAINPID="))

    def heard(self, line):
        return any(said.startswith(line) for said in self.said)

    def forget(self):
        self.said.clear()

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.sock.getsockname())
        self.thread.join()
        self.sock.close()


@pytest.fixture
def managed(net):
    net.halt()
    manager = Manager(net.folder / "notify")
    one = net.current = Sluiced(net, config(net))
    one.spawn(env={"NOTIFY_SOCKET": str(net.folder / "notify"), "WATCHDOG_USEC": "2000000"})
    yield one, manager
    net.halt()
    manager.close()
    (net.folder / "notify").unlink()


def test_service_manager_is_told(managed):
    one, manager = managed
    until(lambda: manager.heard("READY=1"), "it is ready")
    assert one.is_ready()
    until(lambda: manager.heard("WATCHDOG=1"), "it is alive")
    manager.forget()
    one.signal(signal.SIGHUP)
    until(lambda: manager.heard("READY=1"), "it has reloaded")
    assert manager.said[0] == "RELOADING=1" and manager.said[1].startswith("MONOTONIC_USEC=")
    one.signal(signal.SIGTERM)
    until(lambda: manager.heard("STOPPING=1"), "it stops")
    until(lambda: manager.heard("EXTEND_TIMEOUT_USEC="), "and for how long at most")
    assert one.process.wait(timeout=patience(15)) == 0


def test_service_manager_follows_an_upgrade(managed):
    """The one before says who is the main process from now on, and that one speaks for itself; nobody says that
    the service stops."""
    one, manager = managed
    until(lambda: manager.heard("READY=1"), "it is ready")
    before, manager.main = one.process, one.process.pid
    one.ctl("upgrade")
    one.process = Foreign(one.api("/v1/status")["pid"])
    until(lambda: manager.main == one.process.pid, "the manager knows")
    assert before.wait(timeout=patience(15)) == 0 and not manager.heard("STOPPING=1")
    manager.forget()
    until(lambda: manager.heard("WATCHDOG=1"), "the other one is alive")
    one.signal(signal.SIGHUP)
    until(lambda: manager.heard("RELOADING=1") and manager.heard("READY=1"), "and reloads")


def test_service_manager_that_is_not_there(net):
    net.halt()
    one = Sluiced(net, config(net), "unheard").spawn(env={"NOTIFY_SOCKET": str(net.folder / "nobody")})
    assert one.process.wait(timeout=patience(15)) == 1
    assert "NOTIFY_SOCKET" in one.log()
    one.process = None


def test_worker_that_is_stuck(managed):
    """It is reported with its stack, and the service manager hears nothing until it goes on."""
    one, manager = managed
    until(lambda: manager.heard("READY=1"), "it is ready")
    let_go, _ = stop_thread(one, "sluice-w0")
    until(lambda: one.api("/v1/status")["worker_stalls"] == 1, "it is noticed")
    until(lambda: "worker 0 has taken no turn" in one.log(), "it is said")
    manager.forget()
    before = one.api("/v1/status")["uptime_s"]
    until(lambda: one.api("/v1/status")["uptime_s"] >= before + 2, "the watchdog's time passes")
    assert not manager.heard("WATCHDOG=1")
    let_go()
    until(lambda: manager.heard("WATCHDOG=1"), "it is alive again")
    until(lambda: "worker 0 takes turns again" in one.log(), "it is said")
    until(lambda: "stack of the worker that takes no turns: " in one.log(), "what it did is said")
