"""Targets whose health checks pass and whose requests fail: taken out, let in again, within their times."""
import time

import pytest

from hostile_h2 import Target, number
from http2 import GOAWAY, REFUSED_STREAM, RST_STREAM, frame
from standard import CHECK, group, listener
from test_upgrade import has_ended, take_over
from wire import Connection, milliseconds, patience, until

ALL = ["healthy"] * 3
DETECTION = {"enabled": True, "interval": milliseconds(500), "min_requests": 5,
             "ejection_time": milliseconds(1500), "max_ejection_time": milliseconds(3000)}


def web(net, **settings):
    settings = {"name": "web", "protocol": "http", "targets": net.target_list(8080), "check": CHECK} | settings
    return {"target_groups": [group(**settings)], "listeners": [listener("web", "http", 80, "web")]}


def ask(net, path, times):
    """(status, target) of requests over one connection."""
    with Connection((net.v4, 80)) as client:
        answers = [client.request(path) for _ in range(times)]
    return [(a.status, a.get("x-target")) for a in answers]


@pytest.fixture
def sick(targets):
    """What t2 does instead of answering: {"half": …, "all": …, "slow": …}, its checks pass."""
    yield targets[1].requests
    if targets[1].process:
        targets[1].requests("ok")


def is_out(one):
    return one.targets("web")["t2"]["ejected"] is not None


def test_errors_in_a_row(net, launch, targets, sick):
    """Five errors and it is out, however its checks pass; the log, the API and the maps say so; it is
    back when its time is over, and out for longer if nothing has changed."""
    one = launch(web(net, outlier_detection=DETECTION))
    one.wait_states("web", ALL)
    sick("all")
    answers = ask(net, "/", 60)
    assert answers.count((500, "t2")) == 5 and len([a for a in answers if a[0] == 200]) == 55
    row = until(lambda: is_out(one) and one.targets("web")["t2"], "the API shows it")
    assert (row["state"], row["reason"]) == ("unhealthy", "anomaly") and row["last_check"]["ok"]
    assert row["ejected"]["cause"] == "consecutive_5xx" and "5 errors" in row["ejected"]["detail"]
    assert "5 errors" in one.ctl("targets")[1]
    out_since = time.monotonic()
    rows = [r["formatted"]["value"] for r in one.dump_json("backends")]
    assert [r["reason"] for r in rows if r["state"] == "BACKEND_UNHEALTHY"] == ["WHY_ANOMALY"]
    states = one.api("/v1/target-groups")["target_groups"][0]["targets"]
    assert (states["healthy"], states["unhealthy"]) == (2, 1)
    until(lambda: not is_out(one), "its time is over")
    assert time.monotonic() - out_since < patience(1.5) + 1
    until(lambda: "is taken out for" in one.log() and "is let in again" in one.log(), "the log says so")
    ask(net, "/", 60)
    row = until(lambda: is_out(one) and one.targets("web")["t2"], "it is out again")
    assert row["ejected"]["left_ms"] > patience(1.5) * 1000  # twice as long
    assert row["ejections"] == 2
    one.reload(web(net, outlier_detection={"enabled": False}))
    until(lambda: not is_out(one), "nobody is out where that is off")


@pytest.mark.parametrize("version", ["http1", "http2"])
@pytest.mark.parametrize("act", ["cut", "stall"])
def test_answers_that_are_not_whole(net, launch, targets, sick, act, version):
    """A good head is no answer yet: a target whose bodies do not come to their end is out as one that
    does not answer, and its failures are counted."""
    port = 8080 if version == "http1" else 8082
    config = web(net, targets=net.target_list(port), protocol_version=version, check=None,
                 outlier_detection=DETECTION | {"success_rate": "0%", "ejection_time": milliseconds(60000),
                                                "max_ejection_time": milliseconds(60000)})
    config["listeners"][0]["timeouts"] = {"idle": milliseconds(300)}
    one = launch(config)
    sick(act)
    answers = []
    for _ in range(30):
        with Connection((net.v4, 80)) as client:
            answer = client.request()
            answers.append((answer.get("x-target"), answer.is_cut))
    row = until(lambda: is_out(one) and one.targets("web")["t2"], "t2 is out")
    assert row["ejected"]["cause"] == "consecutive_gateway_errors" and row["failures"] == 5
    assert answers.count(("t2", True)) == 5 and len([a for a in answers if not a[1]]) == 25
    assert {n: r["failures"] for n, r in one.targets("web").items() if n != "t2"} == {"t1": 0, "t3": 0}


def test_half_of_the_answers(net, launch, targets, sick):
    """Never five in a row, but far fewer good answers than the others."""
    one = launch(web(net, outlier_detection=DETECTION))
    one.wait_states("web", ALL)
    sick("half")
    until(lambda: ask(net, "/", 30) and is_out(one), "t2 is out")
    row = one.targets("web")["t2"]["ejected"]
    assert row["cause"] == "success_rate" and "100 % of the others'" in row["detail"]
    assert {t for _, t in ask(net, "/", 12)} == {"t1", "t3"}
    sick("ok")
    until(lambda: not is_out(one), "it is back")
    until(lambda: "t2" in {t for _, t in ask(net, "/", 12)}, "it serves again")
    assert all(status == 200 for status, _ in ask(net, "/", 30))


def test_slow(net, launch, targets, sick):
    one = launch(web(net, algorithm="weighted_random",
                     outlier_detection=DETECTION | {"latency_ratio": 4, "min_requests": 3}))
    one.wait_states("web", ALL)
    sick("slow")
    until(lambda: ask(net, "/", 20) and is_out(one), "t2 is out")
    assert one.targets("web")["t2"]["ejected"]["cause"] == "latency"


def test_flapping(net, launch, targets, sick):
    """Half of the targets fail and recover by turns: no more than one of two is out, and somebody
    always answers."""
    one = launch(web(net, targets=net.target_list(8080)[:2],
                     outlier_detection=DETECTION | {"ejection_time": milliseconds(300)}))
    one.wait_states("web", ["healthy"] * 2)
    for _ in range(2):
        sick("all")
        until(lambda: ask(net, "/", 20) and is_out(one), "t2 is out")
        assert all(a == (200, "t1") for a in ask(net, "/", 5)) or not is_out(one)
        sick("ok")
        until(lambda: not is_out(one), "t2 is back")
    assert one.targets("web")["t2"]["ejections"] >= 2


@pytest.mark.parametrize("act, is_counted", [("refuses", True), ("goes", False)])
def test_refused_streams(net, launch, targets, act, is_counted):
    """A target that refuses every stream has as good as failed; one that is about to end has not. Its
    connections work, and nobody's request is lost."""
    def refuse(session, stream):
        session.send(frame(RST_STREAM, 0, stream, number(REFUSED_STREAM)))

    def go(session, stream):
        session.send(frame(GOAWAY, 0, 0, number(0) + number(0)))
        session.sock.shutdown(1)

    with Target(net, {"/": refuse if act == "refuses" else go}) as hostile:
        members = [net.target_list(8082)[0], {"name": "hostile", "address": "%s:%d" % hostile.address}]
        one = launch(web(net, targets=members, check=None, protocol_version="http2",
                         outlier_detection=DETECTION | {"success_rate": "0%", "ejection_time": milliseconds(60000),
                                                        "max_ejection_time": milliseconds(60000)}))
        with Connection((net.v4, 80)) as client:
            assert [client.request().status for _ in range(60)] == [200] * 60
        assert (len(hostile.asked) == 5) == is_counted, hostile.asked
        if is_counted:
            row = until(lambda: one.targets("web")["hostile"]["ejected"], "it is told")
            assert row["cause"] == "consecutive_gateway_errors"
        else:
            assert len(hostile.asked) > 20 and not one.targets("web")["hostile"]["ejections"]


def test_raw_targets(net, launch, targets):
    """Connections that are refused count in a tcp group, whose checks look at another port."""
    config = {"target_groups": [group("raw", "tcp", [{"name": "t1", "address": net.target_list(9000)[0]["address"]},
                                                     {"name": "dead", "address": net.target_list(1)[1]["address"]}],
                                      outlier_detection=DETECTION | {"consecutive_gateway_errors": 2})],
              "listeners": [listener("raw", "tcp", 80, "raw")]}
    one = launch(config)
    for _ in range(6):
        with Connection((net.v4, 80)) as client:
            client.send(b"give 5\n")
            assert client.take(5)
    until(lambda: one.targets("raw")["dead"]["ejected"], "the dead one is out")
    assert one.targets("raw")["dead"]["ejected"]["cause"] == "consecutive_gateway_errors"


def test_upgrade(net, launch, targets, sick):
    """Who is out stays out with the process that takes over, for the time that is left."""
    settings = web(net, outlier_detection=DETECTION | {"ejection_time": milliseconds(60000),
                                                       "max_ejection_time": milliseconds(120000)})
    one = launch(settings)
    one.wait_states("web", ALL)
    sick("all")
    ask(net, "/", 60)
    until(lambda: is_out(one), "t2 is out")
    left_ms = one.targets("web")["t2"]["ejected"]["left_ms"]
    two = take_over(net, one)
    row = two.targets("web")["t2"]
    assert row["ejected"]["cause"] == "consecutive_5xx" and row["ejections"] == 1
    assert 0 < row["ejected"]["left_ms"] < left_ms and (row["state"], row["reason"]) == ("unhealthy", "anomaly")
    assert {t for _, t in ask(net, "/", 12)} == {"t1", "t3"}
    sick("ok")
    two.reload(web(net, outlier_detection={"enabled": False}))
    until(lambda: "t2" in {t for _, t in ask(net, "/", 12)}, "it serves again")
    assert has_ended(one)
