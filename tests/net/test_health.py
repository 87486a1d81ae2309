"""Health checks, what the maps show, balancing, fail-open, drain."""
import pytest

import standard
from counts import count
from load import Load
from standard import CHECK, group, listener
from wire import Connection, TlsConnection, milliseconds, until

ALL = ["healthy"] * 3


def web(net, **settings):
    """One http listener on port 80 and a group of the three targets."""
    settings = {"name": "web", "protocol": "http", "targets": net.target_list(8080), "check": CHECK} | settings
    return {"target_groups": [group(**settings)], "listeners": [listener("web", "http", 80, "web")]}


def spread(net, number, path="/", port=80):
    """{target: requests} of requests one after the other."""
    counts = {}
    with Connection((net.v4, port)) as client:
        for _ in range(number):
            answer = client.request(path)
            assert answer.status == 200
            counts[answer.get("x-target")] = counts.get(answer.get("x-target"), 0) + 1
    return counts


CHECKS = {
    "tcp": {"protocol": "tcp"},
    "tls": {"protocol": "tls", "port": 8443},
    "http": {"protocol": "http", "path": "/healthz", "matcher": "200", "port": 8080},
    "https": {"protocol": "https", "path": "/healthz", "matcher": "200", "port": 8443},
}


@pytest.mark.parametrize("kind", CHECKS)
def test_check_protocols(net, launch, targets, kind):
    """Each kind of check finds a living target healthy and a dead one unhealthy, and says why."""
    times = {k: CHECK[k] for k in ("interval", "timeout", "rise", "fall")}
    one = launch(web(net, check=CHECKS[kind] | times))
    one.wait_states("web", ALL)
    targets[1].kill()
    one.wait_states("web", ["healthy", "healthy", "unhealthy"])
    row = one.targets("web")["t2"]
    assert row["state"] == "unhealthy" and row["reason"] and row["last_check"]["ok"] is False
    assert set(spread(net, 12)) == {"t1", "t3"}
    targets[1].start()
    one.wait_states("web", ALL)
    assert set(spread(net, 12)) == {"t1", "t2", "t3"}


def test_matcher(net, launch, targets):
    """A status outside the matcher is a failure although the target answers."""
    one = launch(web(net, check=CHECK | {"path": "/status/404", "matcher": "200-299,404"}))
    one.wait_states("web", ALL)
    one.reload(web(net, check=CHECK | {"path": "/status/404", "matcher": "200-299"}, fail_open=False))
    one.wait_states("web", ["unhealthy"] * 3)
    assert all(t["reason"] for t in one.targets("web").values())


@pytest.mark.parametrize("state", ["fail", "hang"])
def test_rise_and_fall(net, launch, targets, state):
    """A target changes after `fall` failures and `rise` successes in a row, not before."""
    one = launch(web(net, check=CHECK | {"rise": 3, "fall": 3, "interval": milliseconds(300), "jitter": "0%"}))
    one.wait_states("web", ALL, 15)
    targets[0].reset()
    targets[0].health(state)
    until(lambda: one.targets("web")["t1"]["state"] == "unhealthy", "t1 is unhealthy")
    until(lambda: " warn  apply: target web/t1 is unhealthy: " in one.log(), "the log warns")
    assert targets[0].stats()["checks"] >= 3
    targets[0].reset()
    targets[0].health("ok")
    until(lambda: one.targets("web")["t1"]["state"] == "healthy", "t1 is healthy")
    assert targets[0].stats()["checks"] >= 3


def test_maps_show_words(net, launch, targets):
    """bpftool prints the state and the reason as words, and the names."""
    one = launch(web(net))
    one.wait_states("web", ALL)
    dump = one.dump("backends")
    assert "198.18.2.11:8080" in dump and '"web"' in dump
    assert dump.count('"BACKEND_HEALTHY"') == 3, dump
    targets[2].health("fail")
    until(lambda: '"BACKEND_UNHEALTHY"' in one.dump("backends"), "the map shows it")
    until(lambda: one.dump("backends").count('"BACKEND_HEALTHY"') == 2, "the others stay")
    rows = [row["formatted"]["value"] for row in one.dump_json("backends")]
    bad = next(row for row in rows if row["state"] == "BACKEND_UNHEALTHY")
    assert "198.18.2.13:8080" in str(bad["address_text"]) and bad["reason"].startswith("WHY_")
    good = {row["reason"] for row in rows if row["state"] == "BACKEND_HEALTHY"}
    assert bad["reason"] not in good and bad["failures"] >= 2 and bad["checks_failed"] >= 2
    group_row = one.dump_json("target_groups")[0]["formatted"]["value"]
    assert (group_row["healthy"], group_row["unhealthy"], group_row["targets"]) == (2, 1, 3)


@pytest.mark.parametrize("algorithm", ["round_robin", "least_outstanding"])
def test_target_killed_under_load(net, launch, targets, algorithm):
    """One of three targets dies under load. Asserted: only requests that the dead target had may
    fail, so at most one per connection of the load; none once it is known to be unhealthy; and the
    target gets no request after that until it is back."""
    one = launch(web(net, algorithm=algorithm))
    one.wait_states("web", ALL)
    connections = 20
    with Load((net.v4, 80), connections, 50) as load:
        until(lambda: len(load.by_target) == 3, "all targets serve")
        targets[1].kill()
        until(lambda: one.targets("web")["t2"]["state"] == "unhealthy", "t2 is unhealthy")
        known = load.elapsed()
        load.run_for(count("load_seconds"))
        late = [f for f in load.failures if f[0] > known + 0.2]
        assert len(load.failures) <= connections and not late, load.failures
        assert load.latest["t2"] < known + 0.2
        targets[1].start()
        until(lambda: load.latest["t2"] > known + 1, "t2 serves again")
        served_again = load.elapsed()
    assert load.ok > connections
    assert [f for f in load.failures if f[0] > known + 0.2 and f[0] <= served_again] == []


@pytest.mark.parametrize("is_open", [True, False])
def test_all_down(net, launch, targets, is_open):
    """With fail_open all targets are used when none is healthy, without it none: 503."""
    one = launch(web(net, fail_open=is_open))
    one.wait_states("web", ALL)
    for target in targets:
        target.health("fail")
    one.wait_states("web", ["unhealthy"] * 3)
    with Connection((net.v4, 80)) as client:
        assert client.request().status == (200 if is_open else 503)
    groups = {g["name"]: g for g in one.api("/v1/target-groups")["target_groups"]}
    assert groups["web"]["fail_open"] is is_open and groups["web"]["failing_open"] is is_open
    targets[0].health("ok")
    one.wait_states("web", ["healthy", "unhealthy", "unhealthy"])
    assert set(spread(net, 9)) == {"t1"}


def test_round_robin_and_weights(net, launch, targets):
    number = count("spread_requests")
    one = launch(web(net, targets=[t | {"weight": w} for t, w in zip(net.target_list(8080), (1, 2, 0))]))
    one.wait_states("web", ALL)
    counts = spread(net, number)
    assert set(counts) == {"t1", "t2"}
    assert abs(counts["t2"] - 2 * counts["t1"]) <= 6, counts
    one.reload(web(net))
    one.wait_states("web", ALL)
    counts = spread(net, number)
    assert max(counts.values()) - min(counts.values()) <= 3, counts


def busy(net, targets, total, so_far=0):
    """Connections with a request that waits, until `total` wait."""
    kept = []
    try:
        for _ in range(total - so_far):
            client = Connection((net.v4, 80))
            client.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
            kept.append(client)
        until(lambda: sum(t.stats()["paths"].get("hang", 0) for t in targets) == total, "all wait")
    except BaseException:
        for client in kept:
            client.close()
        raise
    return kept


def test_least_outstanding(net, launch, targets):
    """Requests go where the fewest wait: waiting ones spread evenly, and while one target has more
    of them than the others it gets nothing of a sequence."""
    one = launch(web(net, algorithm="least_outstanding") | {"workers": 1})
    one.wait_states("web", ALL)
    kept = busy(net, targets, 6)
    try:
        assert [t.stats()["paths"].get("hang", 0) for t in targets] == [2, 2, 2]
        kept += busy(net, targets, 7, so_far=6)
        loaded = max(targets, key=lambda t: t.stats()["paths"].get("hang", 0)).name
        assert loaded not in spread(net, 10)
    finally:
        for client in kept:
            client.reset()


def test_drain_on_removal(net, launch, targets):
    """A target that leaves the configuration gets nothing new; what it is serving ends in peace."""
    one = launch(web(net, deregistration_delay="20s"))
    one.wait_states("web", ALL)
    clients = [Connection((net.v4, 80)) for _ in range(6)]
    try:
        for client in clients:
            client.send(b"GET /slow/1500 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: all(t.stats()["paths"].get("slow") for t in targets), "every target has a request")
        one.reload(web(net, targets=net.target_list(8080, 1, 2), deregistration_delay="20s"))
        assert set(spread(net, 12)) == {"t1", "t2"}
        answers = [client.response() for client in clients]
        assert [a.status for a in answers] == [200] * 6
        assert "t3" in {a.get("x-target") for a in answers}
    finally:
        for client in clients:
            client.close()
    until(lambda: "t3" not in one.targets("web"), "the drained target is gone", 25)
    assert "198.18.2.13" not in one.dump("backends")


def test_deregistration_delay_ends(net, launch, targets):
    """What is still open after deregistration_delay is closed."""
    def config(*indexes):
        return {"target_groups": [group("raw", "tcp", net.target_list(9000, *indexes), standard.NO_CHECK,
                                        deregistration_delay="1s")],
                "listeners": [listener("raw", "tcp", 4000, "raw")]}
    one = launch(config(1))
    with Connection((net.v4, 4000)) as client:
        client.send(b"hold\n")
        assert client.take(5) == b"held\n"
        one.reload(config(2))
        client.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv()
        assert client.is_ended(timeout=8)


def test_reencrypted_group_is_checked_over_tls(net, launch, targets):
    one = launch({"certificates": net.certificates("default"),
                  "target_groups": [group("web", "https", net.target_list(8443),
                                          CHECK | {"protocol": "https", "port": "target",
                                                   "tls": {"verify": True}}, tls={"ca": str(net.ca.pem)})],
                  "listeners": [listener("web", "https", 443, "web", certificates=["default"])]})
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
