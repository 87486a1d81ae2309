"""What XDP throws away before a socket exists: deny lists, limits per source and per listener; and
that it is counted by name."""
import socket

import pytest

from net import CLIENTS, CLIENTS_V6
from sluiced import stopwatch
from standard import NO_CHECK, group, listener
from wire import Connection, status, until

DENIED, DENIED_V6 = CLIENTS[1], CLIENTS_V6[1]


def config(net, deny=(), source=None, limits=None):
    settings = {"target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
                "listeners": [listener("web", "http", 80, "web", limits=limits or {}),
                              listener("other", "http", 81, "web")],
                "deny": list(deny)}
    if source:
        settings["limits"] = {"source": source}
    return settings


def knocks(address, port, source, number):
    """Sends `number` SYNs as fast as they go, without waiting for an answer."""
    kept = []
    for _ in range(number):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setblocking(False)
        sock.bind((source, 0))
        try:
            sock.connect((address, port))
        except BlockingIOError:
            pass
        kept.append(sock)
    return kept


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_deny_list(net, launch, family):
    """A denied prefix gets nothing, its neighbours are served, the drops are counted by reason; a
    reload takes it off again."""
    address = getattr(net, family)
    prefix, denied, served = (("198.18.1.20/31", DENIED, [CLIENTS[0], CLIENTS[2]]) if family == "v4"
                              else ("fd51:1:0:1::/64", DENIED_V6, [CLIENTS_V6[0]]))
    one = launch(config(net, deny=[prefix]))
    before = one.counter(f"deny_{family}")
    assert status(address, source=denied, timeout=0.5) is None
    for source in served:
        assert status(address, source=source) == 200
    assert one.counter(f"deny_{family}") > before
    rows = [r for r in one.api("/v1/drops")["drops"] if r["reason"] == f"deny_{family}"]
    assert rows and rows[0]["where"] == "xdp" and rows[0]["count"] > 0 and rows[0]["help"]
    assert f"deny_{family}" in one.ctl("drops")[1]
    one.reload(config(net))
    assert status(address, source=denied) == 200


def test_deny_applies_to_established_connections(net, launch):
    """The deny list comes before everything: a connection that is open stops too."""
    one = launch(config(net))
    with Connection((net.v4, 80), source=DENIED, timeout=0.7) as client:
        assert client.request().status == 200
        one.reload(config(net, deny=[f"{DENIED}/32"]))
        with pytest.raises(TimeoutError):
            client.request()
        one.reload(config(net))
        client.sock.settimeout(10)
        assert client.response().status == 200


def test_deny_leaves_other_traffic(net, launch):
    """Only packets for listeners are judged: the host's other ports answer a denied address."""
    launch(config(net, deny=[f"{DENIED}/32"]))
    with pytest.raises(ConnectionRefusedError):
        Connection((net.v4, 9), source=DENIED, timeout=3)


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_source_limit(net, launch, family):
    """One source over its limit is dropped, others are not, and established connections spend
    nothing: the excess is counted."""
    address = getattr(net, family)
    noisy, quiet = (CLIENTS[1:3] if family == "v4" else (CLIENTS_V6[1], CLIENTS_V6[0]))
    one = launch(config(net, source={"packets_per_second": 20, "packets_burst": 20}))
    with Connection((address, 80), source=noisy) as kept:
        assert kept.request().status == 200
        sockets = knocks(address, 80, noisy, 150)
        try:
            until(lambda: one.counter("source_packet_limit") >= 50, "the excess is dropped", 3)
            for _ in range(100):
                assert kept.request().status == 200
            assert status(address, source=quiet) == 200
        finally:
            for sock in sockets:
                sock.close()
    assert one.drops()["source_packet_limit"] >= 50
    # Tokens come back with time.
    until(lambda: status(address, source=noisy, timeout=1) == 200, "the source is served again", 10)


def test_source_limit_can_be_lifted(net, launch):
    one = launch(config(net, source={"packets_per_second": 5, "packets_burst": 5}))
    for sock in knocks(net.v4, 80, DENIED, 60):
        sock.close()
    until(lambda: one.counter("source_packet_limit") > 0, "the limit holds", 3)
    one.reload(config(net))
    before = one.counter("source_packet_limit")
    assert [status(net.v4, source=DENIED) for _ in range(20)] == [200] * 20
    assert one.counter("source_packet_limit") == before


@pytest.mark.parametrize("setting,counter", [("packets_per_second", "listener_packet_limit"),
                                             ("connections_per_second", "listener_connection_limit")])
def test_listener_limit(net, launch, setting, counter):
    """All sources together; the other listener is not touched; open connections spend nothing."""
    one = launch(config(net, limits={setting: 20}))
    with Connection((net.v4, 80)) as kept:
        assert kept.request().status == 200
        sockets = [sock for source in CLIENTS[1:] for sock in knocks(net.v4, 80, source, 60)]
        try:
            until(lambda: one.counter(counter) >= 50, "the excess is dropped", 3)
            watch = stopwatch()
            assert status(net.v4, port=81) == 200 and watch() < 1
            for _ in range(100):
                assert kept.request().status == 200
        finally:
            for sock in sockets:
                sock.close()
    assert one.drops()[counter] >= 50
    until(lambda: status(net.v4, timeout=1) == 200, "the listener serves again", 10)


def test_maps_by_name(net, launch):
    """Names of listeners and addresses are readable in the dump of the map."""
    one = launch(config(net, source={"packets_per_second": 123}))
    dump = one.dump("listeners")
    assert '"web"' in dump and '"other"' in dump and "0.0.0.0:80" in dump and "[::]:81" in dump
    assert '"LISTENER_ACTIVE"' in dump
    rows = [r["formatted"]["value"] for r in one.dump_json("listeners")]
    # The first of a listener's limits: LIMIT_SOURCE_PACKETS.
    assert {r["limits"][0]["rate_per_s"] for r in rows} == {123}
    for name in ("counters", "backends", "target_groups", "listeners", "settings", "workers"):
        assert one.dump(name), name


def test_native_mode_is_reported(net, launch):
    one = launch(config(net))
    interfaces = one.api("/v1/status")["xdp"]["interfaces"]
    assert [(i["name"], i["mode"]) for i in interfaces] == [(net.device, "native")]
    assert interfaces[0]["prog_id"]


def test_generic_and_off(net, launch):
    """Where native is not wanted the next best is used and reported."""
    for mode, expected in (("generic", "generic"), ("off", "none")):
        one = launch(config(net, deny=[f"{DENIED}/32"]) | {
            "xdp": {"mode": mode, "interfaces": [net.device], "pin_dir": str(net.pins)}})
        assert {i["mode"] for i in one.api("/v1/status")["xdp"]["interfaces"]} <= {expected}
        assert status(net.v4) == 200
        assert (status(net.v4, source=DENIED, timeout=0.5) is None) == (mode == "generic")
