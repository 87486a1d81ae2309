"""Targets by host name: every address the name has is one, and what it has changes without a reload,
without a failed request; a resolver that is dead holds nothing up."""
import signal
import time

import pytest

import dns
from load import Load
from standard import CHECK, group, listener
from wire import Connection, milliseconds, patience, until

NAME = "app.sluice.test"
AT_ONCE = {"hold": "off"}


@pytest.fixture
def names(net):
    server = dns.Dns(net.lb)
    yield server
    server.close()


def config(check=CHECK, name=NAME, port=8080, settings=(), **group_settings):
    target = {"address": f"{name}:{port}"} | dict(settings)
    return {"dns": {"servers": ["%s:%d" % dns.ADDRESS], "timeout": milliseconds(500)},
            "target_groups": [group("web", "http", [target], check) | group_settings],
            "listeners": [listener("web", "http", 80, "web")]}


def v4(net, *indexes):
    return [net.targets[i - 1].v4 for i in indexes]


def called(net, *indexes, name=NAME, port=8080):
    return {f"{name}/{address}:{port}" for address in v4(net, *indexes)}


def name_row(one):
    return one.api("/v1/target-groups")["target_groups"][0]["names"][0]


def ask(net, path="/"):
    with Connection((net.v4, 80)) as client:
        return client.request(path)


def test_addresses_change(net, launch, names):
    """Under 64 connections: a target comes and one goes, no request fails, no reload."""
    names.names[NAME] = v4(net, 1, 2)
    one = launch(config(dns=AT_ONCE))
    one.wait_states("web", ["healthy"] * 2)
    before = one.targets("web")
    assert set(before) == called(net, 1, 2) and {t["host"] for t in before.values()} == {NAME}
    assert name_row(one) | {"answered_at": 0} == {"host": NAME, "port": 8080, "addresses": 2, "used": 2,
                                                  "missing": 0, "ttl_s": 1, "answered_at": 0, "fault": None}
    with Load((net.v4, 80), 64, 50) as load:
        until(lambda: set(load.by_target) == {"t1", "t2"}, "both serve")
        names.names[NAME] = v4(net, 3, 2)
        until(lambda: set(one.targets("web")) == called(net, 2, 3), "one is gone, one is there")
        changed_s = load.elapsed()
        until(lambda: "t3" in load.by_target, "the new one serves")
        until(lambda: load.latest["t3"] > changed_s and load.latest["t2"] > changed_s, "both serve")
        assert load.latest["t1"] < changed_s + patience(0.3)
    assert load.failures == [] and load.closed == 0
    kept = one.targets("web")[f"{NAME}/{net.targets[1].v4}:8080"]
    assert kept["since"] == before[kept["name"]]["since"] and kept["requests"] > 0
    until(lambda: f"target web/{NAME}/{net.targets[0].v4}:8080 is gone" in one.log(), "the log says so")
    rows = [r["formatted"]["value"] for r in one.dump_json("backends")]
    assert len(rows) == 2
    assert names.asked.count((NAME, dns.A)) < 60  # once a second, by TTL


def test_failures_keep_addresses(net, launch, names):
    """What was known stays as long as the server is out of order, or says that there is nothing."""
    names.names[NAME] = v4(net, 1, 2)
    one = launch(config(settings={"name": "shop", "weight": 3}, dns={"interval": "1s"} | AT_ONCE))
    one.wait_states("web", ["healthy"] * 2)
    names.code = dns.NXDOMAIN
    row = until(lambda: name_row(one)["fault"] and name_row(one), "it says what is wrong")
    assert "not found" in row["fault"] and row["addresses"] == 2
    assert set(one.targets("web")) == called(net, 1, 2, name="shop")
    assert {t["weight"] for t in one.targets("web").values()} == {3}
    assert ask(net).status == 200
    until(lambda: "the 2 addresses it had stay" in one.log(), "the log says so")
    names.code = dns.OK
    until(lambda: name_row(one)["fault"] is None, "it is known again")
    names.names[NAME] = v4(net, 2)
    until(lambda: set(one.targets("web")) == called(net, 2, name="shop"), "the answer counts again")


@pytest.mark.alone  # it is about seconds
def test_dead_server(net, launch, names):
    """A start waits for two seconds, a reload and an end for nothing; what is known later follows."""
    names.is_silent = True
    names.names[NAME] = v4(net, 1)
    begin = time.monotonic()
    one = launch(config())
    assert patience(1) < time.monotonic() - begin < patience(2) + 8
    row, = one.api("/v1/targets")["targets"]
    assert (row["state"], row["reason"], row["address"]) == ("unused", "name_unresolved", None)
    assert "name_unresolved" in one.ctl("targets")[1]
    assert ask(net).status == 503
    begin = time.monotonic()
    one.reload(config(fail_open=False))
    assert time.monotonic() - begin < patience(1.5)
    names.is_silent = False
    one.wait_states("web", ["healthy"])
    assert ask(net).status == 200
    names.is_silent = True
    one.write(config(name="other.sluice.test"))
    one.signal(signal.SIGHUP)  # waits for the new name; its end does not wait for that
    until(lambda: any(name.startswith("other") for name, _ in names.asked), "the reload is under way")
    begin = time.monotonic()
    one.stop()
    assert time.monotonic() - begin < patience(1.9)


def test_families(net, launch, names):
    """IPv4 and IPv6 side by side; one family alone where that is wanted; no more than wanted."""
    both = v4(net, 1, 2) + [net.targets[2].v6]
    names.names[NAME] = both
    one = launch(config(dns=AT_ONCE))
    one.wait_states("web", ["healthy"] * 3)
    assert f"{NAME}/[{net.targets[2].v6}]:8080" in one.targets("web")
    names.names[NAME] = both[:2]
    until(lambda: len(one.targets("web")) == 2, "the IPv6 address is gone")
    names.names[NAME] = both
    one.reload(config(dns={"family": "v6"} | AT_ONCE))
    assert set(one.targets("web")) - called(net, 1, 2) == {f"{NAME}/[{net.targets[2].v6}]:8080"}
    one.reload(config(dns={"max_addresses": 1}))
    until(lambda: set(one.targets("web")) == called(net, 1), "the lowest one alone")
    assert (name_row(one)["addresses"], name_row(one)["used"]) == (3, 1)


def test_half_a_failure(net, launch, names):
    """A server that does not tell of one family any more takes none of its addresses away."""
    names.names[NAME] = v4(net, 1, 2) + [net.targets[2].v6]
    one = launch(config(dns=AT_ONCE))
    one.wait_states("web", ["healthy"] * 3)
    names.codes = {dns.AAAA: dns.SERVFAIL}
    until(lambda: name_row(one)["fault"], "it says what is wrong")
    names.asked.clear()
    until(lambda: {(NAME, dns.A), (NAME, dns.AAAA)} <= set(names.asked), "both were asked for again")
    assert one.states("web") == ["healthy"] * 3 and name_row(one)["addresses"] == 3
    names.codes = {}
    until(lambda: name_row(one)["fault"] is None, "it is known again")
    assert "3 addresses it had stay" in one.log()


def test_parts(net, launch, names):
    """Answers that are another part of the addresses each time: all of them are targets, as long as they
    were there a while ago."""
    names.names[NAME] = v4(net, 1, 2)
    one = launch(config())
    one.wait_states("web", ["healthy"] * 2)
    names.names[NAME] = v4(net, 3)
    until(lambda: set(one.targets("web")) == called(net, 1, 2, 3), "one is new, none is gone")
    one.wait_states("web", ["healthy"] * 3)
    assert (name_row(one)["addresses"], name_row(one)["missing"]) == (3, 2)
    names.names[NAME] = v4(net, 1)
    names.asked.clear()
    until(lambda: names.asked.count((NAME, dns.A)) > 1, "there was such an answer")
    assert one.states("web") == ["healthy"] * 3
    one.reload(config(dns=AT_ONCE))
    until(lambda: set(one.targets("web")) == called(net, 1), "nothing is held any more")
    assert ask(net).status == 200


def test_back_in_time(net, launch, names):
    """A target that comes back before it has left is the one it was: what it has goes on."""
    names.names[NAME] = v4(net, 1, 2)
    one = launch(config(dns=AT_ONCE, deregistration_delay="1m"))
    one.wait_states("web", ["healthy"] * 2)
    with Connection((net.v4, 80)) as client:
        client.send(b"GET /upgrade HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        answer = client.response()
        assert answer.status == 101
        index = [t.name for t in net.targets].index(answer.get("x-target")) + 1
        before = one.targets("web")[called(net, index).pop()]
        names.names[NAME] = v4(net, 3 - index)
        until(lambda: sorted(one.states("web")) == ["draining", "healthy"], "it leaves")
        names.names[NAME] = v4(net, 1, 2)
        until(lambda: one.states("web") == ["healthy"] * 2, "it is back")
        after = one.targets("web")[before["name"]]
        assert after["requests"] >= before["requests"] > 0 and after["outstanding"] == 1
        assert f"target web/{before['name']} is wanted again" in one.log()
        assert f"target web/{before['name']} is gone" not in one.log()
        assert len(one.dump_json("backends")) == 2
        client.send(b"still here")
        assert client.take(10) == b"still here"
    assert {ask(net).get("x-target") for _ in range(8)} == {net.targets[0].name, net.targets[1].name}


def test_name_in_certificates(net, launch, names):
    """The name is what is asked for and verified: in TLS and in checks, without server_name."""
    name = "target.sluice.test"
    names.names[name] = v4(net, 1)
    check = {"protocol": "https", "path": "/healthz", "interval": milliseconds(300),
             "timeout": milliseconds(250), "tls": {"verify": True}}
    settings = config(check, name, 8443, protocol="https", tls={"ca": str(net.ca.pem)})
    one = launch(settings)
    one.wait_states("web", ["healthy"])
    assert ask(net).status == 200
    names.names["wrong.sluice.test"] = v4(net, 1)
    one.reload(config(check, "wrong.sluice.test", 8443, protocol="https", tls={"ca": str(net.ca.pem)}))
    until(lambda: one.targets("web")[f"wrong.sluice.test/{net.targets[0].v4}:8443"]["reason"] == "tls_failed",
          "its certificate is for another name")
    assert ask(net).status == 502
