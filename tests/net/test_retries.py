"""Targets that fail under load: no request fails where a retry is allowed."""
import hashlib
import random

import pytest

from counts import count
from http2 import Http2
from load import Load
from standard import CHECK, group, listener
from wire import Connection, milliseconds, patience, until

ALL = ["healthy"] * 3
# What clients and targets speak, the port of those, and how their group is set for it.
SPOKEN = {"http1": (8080, {}), "http2": (8082, {"protocol_version": "http2"})}
CONNECTIONS = 64
# Nothing is known of a target from its checks for the time of the test.
BLIND = CHECK | {"interval": "1h", "fall": 100}


@pytest.fixture(params=SPOKEN)
def spoken(request):
    return request.param


def web(net, spoken="http1", **settings):
    port, version = SPOKEN[spoken]
    settings = {"name": "web", "protocol": "http", "targets": net.target_list(port), "check": BLIND,
                "retries": {"budget": "100%"}} | version | settings
    return {"target_groups": [group(**settings)], "listeners": [listener("web", "http", 80, "web")]}


def counts(one):
    return one.api("/v1/target-groups")["target_groups"][0]


@pytest.mark.parametrize("how", ["kill", "drop", "half"])
def test_failing_under_load(net, launch, targets, spoken, how):
    """A target dies, drops what it gets, or answers half of it with 500."""
    retries = {"budget": "100%"} | ({"status": "500-504"} if how == "half" else {})
    one = launch(web(net, spoken, retries=retries))
    one.wait_states("web", ALL)
    try:
        with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
            until(lambda: len(load.by_target) == 3, "all targets serve")
            if how == "kill":
                targets[1].kill()
            else:
                targets[1].requests(how)
            until(lambda: counts(one)["retries"] >= CONNECTIONS, "requests are tried again")
            before = load.ok
            until(lambda: load.ok > before + CONNECTIONS, "the load goes on")
    finally:
        if how == "kill":
            targets[1].start()
        targets[1].requests("ok")
    assert load.failures == []
    assert counts(one)["retries_refused"] == 0


@pytest.mark.parametrize("where", ["refused", "blackhole"])
def test_unreachable_under_load(net, launch, targets, spoken, where):
    """A third of the targets refuses connections, or does not answer at all."""
    dead = {"name": "dead", "address": net.target_list(1, 1)[0]["address"]}
    if where == "blackhole":
        dead["address"] = "198.18.2.250:8080"  # nobody has it
    one = launch(web(net, spoken, targets=net.target_list(SPOKEN[spoken][0], 1, 2) + [dead], check={"protocol": "off"},
                     timeouts={"connect": milliseconds(150)}))
    with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
        until(lambda: load.ok > 3 * CONNECTIONS, "the load goes on")
    assert load.failures == []
    assert set(load.by_target) == {"t1", "t2"} and counts(one)["retries"] > 0


def test_answers_in_less_time_than_connections(net, launch, targets):
    """The time for an answer does not end a connection that is on its way: another target is asked."""
    dead = {"name": "dead", "address": "198.18.2.250:8080"}  # nobody has it
    one = launch(web(net, targets=net.target_list(8080, 1) + [dead], check={"protocol": "off"},
                     timeouts={"connect": milliseconds(600), "response": milliseconds(300)}))
    with Connection((net.v4, 80)) as client:
        assert [client.request(method="POST", body=b"x").status for _ in range(4)] == [200] * 4
    assert counts(one)["retries"] > 0


def test_budget(net, launch, targets):
    """What fails everywhere is not multiplied."""
    one = launch(web(net, retries={"budget": "0%", "budget_per_second": 0}))
    one.wait_states("web", ALL)
    with Connection((net.v4, 80)) as client:
        assert [client.request("/drop").status for _ in range(5)] == [502] * 5
    row = counts(one)
    assert (row["retries"], row["retries_refused"]) == (0, 5)


@pytest.mark.parametrize("how", ["drop", "all"])
def test_each_target_once(net, launch, targets, spoken, how):
    """Two of three are of no use, and a key names them in any order: the third has every request."""
    one = launch(web(net, spoken, algorithm="consistent_hash", hash={"key": "header", "name": "X-Key"},
                     retries={"attempts": 2, "status": "500-504", "budget": "100%", "budget_per_second": 10000}))
    one.wait_states("web", ALL)
    for target in targets[:2]:
        target.requests(how)
    try:
        with Connection((net.v4, 80)) as client:
            answers = [client.request("/echo", headers=[("X-Key", i)]) for i in range(40)]
            assert [answer.status for answer in answers] == [200] * 40
            assert {answer.json()["target"] for answer in answers} == {"t3"}
            tried = counts(one)["retries"]
            assert 20 < tried < 80
            targets[2].requests(how)
            assert client.request("/").status == (502 if how == "drop" else 500)
            assert counts(one)["retries"] == tried + 2
    finally:
        for target in targets:
            target.requests("ok")


def put(net, framing, body, before_second_half):
    """The answer to a PUT whose body comes in two halves, after its head."""
    pieces = [body[:len(body) // 2], body[len(body) // 2:]]
    if framing == "h2":
        client = Http2(Connection((net.v4, 80)))
        stream = client.open("/echo", "PUT", ends=False)
        client.body(stream, pieces[0], ends=False)
        before_second_half()
        client.body(stream, pieces[1], ends=False)
        client.trailers(stream, [("x-trailer", "yes")])
        answer = client.answer(stream)
        client.close()
        return answer
    if "chunked" in framing:
        pieces = [b"%x\r\n%b\r\n" % (len(p), p) for p in pieces]
        pieces[-1] += b"0\r\nX-Trailer: yes\r\n\r\n"
    with Connection((net.v4, 80)) as client:
        client.send(f"PUT /echo HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")
        client.send(pieces[0])
        before_second_half()
        client.send(pieces[1])
        return client.response("PUT")


@pytest.mark.parametrize("framing", ["length", "chunked", "h2"])
def test_body_is_sent_again(net, launch, targets, framing):
    """Targets are lost while the body of a request comes: another gets all of it, byte for byte."""
    one = launch(web(net, retries={"budget": "100%", "budget_per_second": 10000}))
    one.wait_states("web", ALL)
    for target in targets[:2]:
        target.requests("drop")
    body = random.randbytes(40000)
    how = {"length": f"Content-Length: {len(body)}", "h2": "h2",
           "chunked": "Transfer-Encoding: chunked\r\nTrailer: X-Trailer"}[framing]

    def has_come():
        return sum(target.stats()["requests"] for target in targets)
    try:
        for is_late in (False, True):
            for _ in range(4):
                seen = has_come()
                answer = put(net, how, body, lambda: until(lambda: not is_late or has_come() > seen,  # noqa: B023
                                                           "the head is at a target"))
                assert answer.status == 200 and answer.json()["target"] == "t3"
                assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
                assert bool(answer.json()["trailers"]) == (framing != "length")
    finally:
        for target in targets[:2]:
            target.requests("ok")
    assert counts(one)["retries"] > 2


def test_taken_out_under_load(net, launch, targets, spoken):
    """With outlier detection the one that drops everything is out after a few requests, and back in
    use when it has recovered; nobody has noticed."""
    one = launch(web(net, spoken, outlier_detection={"enabled": True, "ejection_time": milliseconds(500)}))
    one.wait_states("web", ALL)
    with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
        until(lambda: len(load.by_target) == 3, "all targets serve")
        targets[1].requests("drop")
        until(lambda: one.targets("web")["t2"]["ejected"], "t2 is out")
        targets[1].requests("ok")
        known = load.elapsed()
        until(lambda: not one.targets("web")["t2"]["ejected"], "t2 is let in")
        until(lambda: load.latest["t2"] > known + 0.5, "t2 serves again")
    assert load.failures == []


def test_flapping_under_load(net, launch, targets, spoken):
    """A target that drops what it gets and recovers, over and over: taken out and let in each time,
    within the configured time, and nobody has noticed."""
    out_s = patience(0.4)
    one = launch(web(net, spoken, outlier_detection={"enabled": True, "ejection_time": milliseconds(400),
                                             "max_ejection_time": milliseconds(800)}))
    one.wait_states("web", ALL)
    with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
        until(lambda: len(load.by_target) == 3, "all targets serve")
        for _ in range(count("flaps")):
            targets[1].requests("drop")
            until(lambda: one.targets("web")["t2"]["ejected"], "t2 is out")
            targets[1].requests("ok")
            known = load.elapsed()
            until(lambda: not one.targets("web")["t2"]["ejected"], "t2 is let in")
            assert load.elapsed() - known <= 2 * out_s + 1, "no longer than max_ejection_time"
            until(lambda: load.latest["t2"] > known + 0.3, "t2 serves again")
    assert load.failures == []
    assert one.targets("web")["t2"]["ejections"] >= count("flaps")


def test_slow_under_load(net, launch, targets, spoken):
    """A target that has become slow is taken out for that, and no request fails for it."""
    one = launch(web(net, spoken, outlier_detection={"enabled": True, "interval": milliseconds(300), "latency_ratio": 4,
                                             "min_requests": 5, "ejection_time": milliseconds(500)}))
    one.wait_states("web", ALL)
    with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
        until(lambda: len(load.by_target) == 3, "all targets serve")
        targets[1].requests("slow")
        row = until(lambda: one.targets("web")["t2"]["ejected"], "t2 is out")
        assert row["cause"] == "latency"
        targets[1].requests("ok")
        known = load.elapsed()
        until(lambda: load.latest["t2"] > known + 0.5, "t2 serves again")
    assert load.failures == []


def test_all_down_under_load(net, launch, targets, spoken):
    """Nobody can be tried while all are down, 503; from when the first is known to be healthy again no
    request fails, and no client's connection was ended meanwhile."""
    one = launch(web(net, spoken, check=CHECK, fail_open=False))
    one.wait_states("web", ALL)
    with Load((net.v4, 80), CONNECTIONS, 200, is_h2=spoken == "http2") as load:
        until(lambda: len(load.by_target) == 3, "all targets serve")
        assert load.failures == []
        down_s = load.elapsed()
        for target in targets:
            target.health("fail")
        until(lambda: len(load.failures) > CONNECTIONS, "requests are refused")
        targets[0].health("ok")
        until(lambda: "healthy" in one.states("web"), "one is back")
        up_s = load.elapsed()
        until(lambda: load.latest["t1"] > up_s + 0.5, "it serves")
    assert all(down_s < at < up_s + 0.2 and "503" in what for at, what in load.failures), load.failures[:5]
    assert load.closed == 0
