"""Sessions that stay with one target by a cookie."""
import pytest

import http2
from standard import CHECK, group, listener
from wire import Connection

ALL = ["healthy"] * 3


# What clients speak, and what is spoken to targets.
ENDS = [(Connection, "http1"), (http2.connect, "http1"), (Connection, "http2"), (http2.connect, "http2")]


@pytest.fixture(params=ENDS, ids=["h1-h1", "h2-h1", "h1-h2", "h2-h2"])
def ends(net, request):
    net.connect, net.back = request.param
    yield request.param
    del net.connect, net.back


def web(net, **stickiness):
    port = 8080 if net.back == "http1" else 8082
    return {"target_groups": [group("web", "http", net.target_list(port), CHECK, stickiness=stickiness,
                                    protocol_version=net.back)],
            "listeners": [listener("web", "http", 80, "web")]}


def ask(net, cookie=None, path="/"):
    """(target, the cookie to come back with)."""
    with net.connect((net.v4, 80)) as client:
        answer = client.request(path, headers=[("Cookie", cookie)] if cookie else ())
    assert answer.status == 200
    new = [v.split(";")[0] for n, v in answer.headers if n.lower() == "set-cookie" and v.startswith("SLUICE-")]
    assert len(new) <= 1
    return answer.get("x-target"), (new or [cookie])[0]


def test_lb_cookie(net, ends, launch, targets):
    """Clients come back to the target they had, over reloads; a target that is down loses them to
    others, where they stay."""
    one = launch(web(net, type="lb_cookie"))
    one.wait_states("web", ALL)
    sessions = [ask(net) for _ in range(6)]
    assert {target for target, _ in sessions} == {"t1", "t2", "t3"}
    for _ in range(3):
        assert [ask(net, cookie) for _, cookie in sessions] == sessions
    one.reload(web(net, type="lb_cookie", duration="2d"))
    assert [ask(net, cookie)[0] for _, cookie in sessions] == [target for target, _ in sessions]
    targets[1].health("fail")
    one.wait_states("web", ["healthy", "unhealthy", "healthy"])
    moved = [ask(net, cookie) for _, cookie in sessions]
    assert all(new[0] == old[0] if old[0] != "t2" else new[0] != "t2" and new[1] != old[1]
               for new, old in zip(moved, sessions)), moved
    targets[1].health("ok")
    one.wait_states("web", ALL)
    assert [ask(net, cookie)[0] for _, cookie in moved] == [target for target, _ in moved]
    one.reload(web(net, type="off"))
    assert ask(net)[1] is None


def test_app_cookie(net, ends, launch, targets):
    """Only sessions of the application stay."""
    one = launch(web(net, type="app_cookie", app_cookie="SID"))
    one.wait_states("web", ALL)
    assert ask(net)[1] is None
    target, cookie = ask(net, path="/session")
    assert cookie.startswith("SLUICE-web=")
    assert {ask(net, f"SID=1; {cookie}")[0] for _ in range(6)} == {target}
    assert len({ask(net, cookie)[0] for _ in range(6)}) == 3


@pytest.mark.parametrize("ends", ENDS[:1], indirect=True)
def test_refused_settings(net, ends, launch, targets):
    one = launch(web(net, type="lb_cookie"))
    one.write(web(net, type="app_cookie"))
    status, _, error = one.ctl("reload", check=False)
    assert status != 0 and "stickiness.app_cookie: is required with type app_cookie" in error
    assert ".yaml:" in error
