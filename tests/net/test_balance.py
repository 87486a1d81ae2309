"""Which target gets a request: consistent hashing, chance, slow start, limits, fail-open below a number."""
import threading

import http2
from standard import CHECK, group, listener
from wire import Connection, until

ALL = ["healthy"] * 3
USERS = 24


def web(net, **settings):
    """One http listener on port 80 and a group of the three targets."""
    settings = {"name": "web", "protocol": "http", "targets": net.target_list(8080), "check": CHECK} | settings
    return {"target_groups": [group(**settings)], "listeners": [listener("web", "http", 80, "web")]}


def ask(net, path="/", headers=(), times=1):
    """The targets that answered requests on a connection of their own."""
    with Connection((net.v4, 80)) as client:
        answers = [client.request(path, headers=headers) for _ in range(times)]
    assert [a.status for a in answers] == [200] * times
    return [a.get("x-target") for a in answers]


def owners(net, make):
    """{user: target}; every user comes twice, over two connections, and finds the same one."""
    found = {user: set(ask(net, *make(user)) + ask(net, *make(user))) for user in range(USERS)}
    assert all(len(names) == 1 for names in found.values()), found
    return {user: names.pop() for user, names in found.items()}


def test_consistent_hash(net, launch, targets):
    """The same user finds the same target on every connection. While a target is down only its users
    go elsewhere, and come back with it."""
    def by_header(user):
        return "/", [("X-User", f"user-{user}")]

    config = web(net, algorithm="consistent_hash", hash={"key": "header", "name": "x-user"})
    one = launch(config)
    one.wait_states("web", ALL)
    before = owners(net, by_header)
    assert set(before.values()) == {"t1", "t2", "t3"}
    assert len(set(ask(net, times=24))) == 3  # without the header
    targets[1].health("fail")
    one.wait_states("web", ["healthy", "unhealthy", "healthy"])
    during = owners(net, by_header)
    assert all(during[u] == before[u] for u in before if before[u] != "t2")
    assert set(during.values()) == {"t1", "t3"}
    targets[1].health("ok")
    one.wait_states("web", ALL)
    assert owners(net, by_header) == before
    for part, make in (("cookie", lambda u: ("/", [("Cookie", f"a=b; user=user-{u}")])),
                       ("query", lambda u: (f"/?user=user-{u}", ()))):
        one.reload(web(net, algorithm="consistent_hash", hash={"key": part, "name": "user"}))
        assert owners(net, make) == before  # what the hash is of decides, not where it was
    assert one.dump_json("target_groups")[0]["formatted"]["value"]["algorithm"] == "GROUP_MAGLEV"
    one.reload(web(net, algorithm="consistent_hash", hash={"key": "header", "name": "host"}))
    found = {}
    for user in range(USERS):
        host = f"user-{user}"
        with Connection((net.v4, 80)) as client, http2.connect((net.v4, 80)) as other:
            found[user] = {c.request(host=host).get("x-target") for c in (client, client, other, other)}
    assert {user: [name] for user, name in before.items()} == {user: list(names) for user, names in found.items()}
    one.reload(web(net, algorithm="consistent_hash"))
    assert len(set(ask(net, times=12) + ask(net, times=12))) == 1  # one address


def test_weighted_random(net, launch, targets):
    one = launch(web(net, algorithm="weighted_random",
                     targets=[t | {"weight": w} for t, w in zip(net.target_list(8080), (1, 3, 0))]))
    one.wait_states("web", ALL)
    names = ask(net, times=400)
    assert 230 < names.count("t2") < 370 and "t3" not in names  # 300 give or take 8 deviations


def test_slow_start(net, launch, targets):
    """A target that comes back gets little at first, those that came with the group do not."""
    one = launch(web(net, slow_start="15m"))
    one.wait_states("web", ALL)
    names = ask(net, times=60)
    assert [names.count(t) for t in ("t1", "t2", "t3")] == [20, 20, 20]
    targets[1].health("fail")
    one.wait_states("web", ["healthy", "unhealthy", "healthy"])
    targets[1].health("ok")
    one.wait_states("web", ALL)
    names = ask(net, times=63)
    assert 1 <= names.count("t2") <= 5  # a tenth of the others' share
    assert [one.targets("web")[t]["slow_start"] for t in ("t1", "t2", "t3")] == [False, True, False]
    one.reload(web(net, slow_start="off"))
    assert ask(net, times=60).count("t2") == 20


def test_limits(net, launch, targets):
    """What is over the limit of requests is refused at once, and counted; then all is as before."""
    one = launch(web(net, limits={"requests": 1}))
    one.wait_states("web", ALL)
    clients = [threading.Thread(target=ask, args=(net, "/slow/3000")) for _ in range(3)]
    for client in clients:
        client.start()
    until(lambda: sum(t.stats()["requests"] for t in targets) == 3, "three requests are under way")
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 503
    row = one.api("/v1/target-groups")["target_groups"][0]
    assert row["limited"] == 1
    reasons = {d["reason"]: d for d in one.api("/v1/drops")["drops"]}
    assert reasons["target_limit"]["count"] == 1
    for client in clients:
        client.join()
    assert len(set(ask(net, times=6))) == 3


def test_fail_open_below(net, launch, targets):
    one = launch(web(net, fail_open_below=2))
    one.wait_states("web", ALL)
    targets[0].health("fail")
    one.wait_states("web", ["unhealthy", "healthy", "healthy"])
    assert set(ask(net, times=12)) == {"t2", "t3"}
    targets[1].health("fail")
    one.wait_states("web", ["unhealthy", "unhealthy", "healthy"])
    assert one.api("/v1/target-groups")["target_groups"][0]["failing_open"] is True
    assert set(ask(net, times=12)) == {"t1", "t2", "t3"}
