"""Byte tunnels (tcp and tls listeners): each direction ends by itself, nothing is lost, nothing
lingers."""
import json
import socket
import threading

import pytest

import standard as ports
from counts import count
from sluiced import IS_SANITIZED
from target import pattern, pattern_sha256
from wire import Connection, TlsConnection, until


def dial(net, kind, idle=False, **options):
    if kind == "tcp":
        return Connection((net.v4, ports.TCP_IDLE if idle else ports.TCP), **options)
    return TlsConnection((net.v4, ports.TLS_IDLE if idle else ports.TLS), "www.sluice.test", **options)


@pytest.fixture(params=["tcp", "tls"])
def tunnel(request, std, net):
    with dial(net, request.param) as connection:
        yield connection


def sent(length):
    return b"".join(pattern(length))


def test_client_ends_first(tunnel):
    """The target sees the client's end and still answers."""
    data = sent(100_000)
    tunnel.send(b"sink\n" + data)
    tunnel.finish()
    report = json.loads(tunnel.rest())
    assert report == {"length": len(data), "sha256": pattern_sha256(len(data)), "end": "eof"}


def test_target_ends_first(tunnel, targets):
    """The client sees the target's end and goes on sending."""
    tunnel.send(b"give 100000\n")
    assert tunnel.rest() == sent(100_000)
    tunnel.send(sent(50_000))
    tunnel.finish()
    until(lambda: targets[0].stats()["raw"], "the target has everything")
    assert targets[0].stats()["raw"] == [{"length": 50_000, "sha256": pattern_sha256(50_000), "end": "eof"}]


def test_both_ways_at_once(tunnel, targets):
    length = count("tunnel_bytes")
    tunnel.sock.settimeout(60)
    tunnel.send(b"both %d\n" % length)
    if isinstance(tunnel, TlsConnection):
        # One object, one thread: a piece out, whatever is there in.
        got = b""
        for piece in pattern(length):
            tunnel.send(piece)
            while len(got) < length and (tunnel.incoming.pending or tunnel.tls.pending()):
                got += tunnel.recv()
            if len(got) < length:
                got += tunnel.recv()
        tunnel.held = got + tunnel.rest()
        tunnel.finish()
        got = tunnel.held
    else:
        def sender():
            for piece in pattern(length):
                tunnel.send(piece)
            tunnel.finish()
        thread = threading.Thread(target=sender)
        thread.start()
        got = tunnel.rest()
        thread.join()
    assert len(got) == length and got == sent(length)
    until(lambda: targets[0].stats()["raw"], "the target has everything")
    assert targets[0].stats()["raw"][0]["sha256"] == pattern_sha256(length)


@pytest.mark.parametrize("kind,port", [("tcp", ports.TCP_GREET), ("tls", ports.TLS_GREET)])
def test_target_speaks_first(std, net, kind, port):
    """As mail servers do: the greeting arrives although the client has sent nothing."""
    make = Connection if kind == "tcp" else TlsConnection
    with make((net.v4, port), timeout=2) as connection:
        assert connection.line() == "220 ready"
        connection.send(b"quit\n")
        assert connection.line() == "quit"


def test_nothing_sent(tunnel, targets):
    tunnel.finish()
    assert tunnel.is_ended()
    until(lambda: targets[0].stats()["connections"] and targets[0].stats()["raw_open"] == 0, "the target is let go")


def test_client_resets(tunnel, targets):
    tunnel.send(b"hold\n")
    assert tunnel.take(5) == b"held\n"
    tunnel.reset()
    until(lambda: targets[0].stats()["raw"], "the target sees the end")


def test_target_resets(tunnel):
    tunnel.send(b"reset\n")
    assert tunnel.is_ended()


@pytest.mark.parametrize("length", [5, 1_000_000])
def test_client_ends_without_close_notify(std, net, targets, length):
    """An attacker may have sent that FIN: the target must not take what it has for the whole."""
    with dial(net, "tls") as connection:
        connection.send(b"hold\n" + sent(length))
        assert connection.take(5) == b"held\n"
        connection.sock.shutdown(socket.SHUT_WR)
        until(lambda: targets[0].stats()["raw"], "the target sees the end")
    assert targets[0].stats()["raw"][0]["end"] == "ConnectionResetError"


@pytest.mark.parametrize("length", [5, 1_000_000])
def test_target_ends_without_close_notify(std, net, length):
    """Nor must the client, whose own TLS is another one."""
    with TlsConnection((net.v4, ports.TLS_TLS), "www.sluice.test") as connection:
        connection.send(b"truncate %d\n" % length)
        with pytest.raises(ConnectionResetError):
            connection.rest()


def test_idle_tunnel_is_closed(std, net, targets):
    for kind in ("tcp", "tls"):
        with dial(net, kind, idle=True) as connection:
            connection.send(b"hold\n")
            assert connection.take(5) == b"held\n"
            assert connection.is_ended(timeout=5)
    until(lambda: len(targets[0].stats()["raw"]) == 2, "the target's side is closed too")


def test_busy_tunnel_is_not_idle(std, net):
    """Bytes now and then, longer in all than timeouts.idle, keep it open."""
    with dial(net, "tcp", idle=True, timeout=3) as connection:
        connection.send(b"echo\n")
        done = []

        def is_long_enough():
            connection.send(b"x")
            done.append(connection.take(1))
            return len(done) >= 12
        until(is_long_enough, "12 exchanges over 1.2 s", pause=0.1)


def test_slow_reader_bounds_memory(std, net):
    """100 MB wait for a client that does not read."""
    before = std.rss_bytes()
    connections = [dial(net, kind, receive_buffer=65536) for kind in ("tcp", "tls") for _ in range(3)]
    try:
        for connection in connections:
            connection.send(b"give 100000000\n")
            connection.take(1000)
        assert std.rested_rss_bytes() - before < 24 << 20 or IS_SANITIZED
    finally:
        for connection in connections:
            connection.close()


def test_tcp_is_spliced(std, net):
    """Between two plain sockets the bytes that wait are in pipes, not in the daemon's memory."""
    number = 6
    connections = [dial(net, "tcp", receive_buffer=65536) for _ in range(number)]
    try:
        for connection in connections:
            connection.send(b"give 100000000\n")
            connection.take(1000)
        until(lambda: std.open_files("pipe:") >= 2 * number, "a pipe for each tunnel")
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("port", [ports.TCP_REFUSED, ports.TCP_EMPTY])
def test_no_target(std, net, port):
    """Nobody to talk to: the connection ends quickly, and the reason is counted."""
    before = std.drops()
    with Connection((net.v4, port)) as connection:
        assert connection.is_ended(timeout=5)
    until(lambda: std.drops()["target_refused"] + std.drops()["no_target"]
          > before["target_refused"] + before["no_target"], "it is counted")


def test_descriptors_are_given_back(std, net, targets):
    """Many short tunnels leave nothing open."""
    def run(number):
        for _ in range(number):
            with Connection((net.v4, ports.TCP)) as connection:
                connection.send(b"echo\nx")
                connection.finish()
                assert connection.rest() == b"x"
    run(20)
    until(lambda: targets[0].stats()["raw_open"] == 0, "no tunnel is open")
    before = std.open_files()
    run(60)
    # A worker that had no tunnel before may keep a pipe for each direction.
    until(lambda: std.open_files() <= before + 8, "as many descriptors as before")
