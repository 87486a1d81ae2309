"""Rates of requests per rule: in all and of each client, for the node; what is over them is answered with
429 and counted. And Alt-Svc, which answers of any kind have."""
import time

import pytest

import access_line
import http2
from net import CLIENTS, CLIENTS_V6
from standard import group, listener
from test_metrics import scrape
from wire import Connection, until

BURST = 20  # and one a second
LIMIT = {"requests_per_second": 1, "requests_burst": BURST}
RULES = [
    {"priority": 1, "name": "all", "conditions": [{"path": "/all"}], "target_group": "web", "rate_limit": LIMIT},
    {"priority": 2, "name": "each", "conditions": [{"path": "/each"}], "target_group": "web",
     "rate_limit": {"client": LIMIT}},
    {"priority": 3, "name": "fixed", "conditions": [{"path": "/fixed"}],
     "actions": [{"fixed_response": {"status": 204}}], "rate_limit": LIMIT},
    {"priority": 4, "name": "dry", "conditions": [{"path": "/dry"}], "target_group": "web",
     "rate_limit": LIMIT | {"dry_run": True}},
]


def config(net, rules=RULES, **settings):
    return {"target_groups": [group("web", "http", net.target_list(8080, 1, 2))],
            "listeners": [listener("web", "http", 80, "web", rules=rules)]} | settings


def count(net, path, n=60, source=None, address=None):
    """How many of `n` requests go through, and what the others are told. On three connections, so that
    both workers have some."""
    begin, statuses, refused = time.monotonic(), [], []
    clients = [Connection((address or net.v4, 80), source=source) for _ in range(3)]
    for i in range(n):
        answer = clients[i % 3].request(path)
        statuses.append(answer.status)
        if answer.status == 429:
            refused.append(answer)
    for client in clients:
        client.close()
    for answer in refused:
        assert 1 <= int(answer.get("retry-after")) <= 2 and answer.body == b"429 Too Many Requests\n"
    return len(statuses) - len(refused), time.monotonic() - begin


def holds(counted):
    """The burst, and one for each second that it took."""
    passed, seconds = counted
    return BURST <= passed <= BURST + seconds + 1


def row(one, name):
    listeners = one.api("/v1/rules")["listeners"]
    return next(r for r in listeners[0]["rules"] if r["name"] == name)


@pytest.mark.parametrize("workers", [1, 2])
def test_rates(net, launch, workers):
    """The same number whatever the number of workers; a client of its own, or all together."""
    one = launch(config(net, workers=workers))
    assert holds(count(net, "/all")) and holds(count(net, "/fixed"))
    assert holds(count(net, "/each")) and holds(count(net, "/each", source=CLIENTS[1]))
    assert holds(count(net, "/each", source=CLIENTS_V6[0], address=net.v6))
    passed, _ = count(net, "/all", source=CLIENTS[1], n=10)
    assert passed < 10
    assert count(net, "/dry")[0] == 60 and count(net, "/other")[0] == 60
    limited = {name: row(one, name)["limited"] for name in ("all", "each", "fixed", "dry")}
    assert min(limited.values()) > 20 and row(one, "dry")["hits"] == 60
    assert until(lambda: one.drops().get("rate_limited"), "they are among the refused") == sum(limited.values()) - \
        limited["dry"]
    seen = scrape(one)
    for name, number in limited.items():
        assert seen.value("sluice_rule_limited_total", listener="web", rule=name) == number
    assert row(one, "each")["rate_limit"] == {"requests_per_second": 0, "client_requests_per_second": 1,
                                              "dry_run": False}
    text = one.ctl("rules")
    assert "LIMITED" in text[1] and str(limited["all"]) in text[1]


def test_connection_goes_on(net, launch, tmp_path):
    """Over both versions of HTTP; the access log says why."""
    path = tmp_path / "access.log"
    rules = [RULES[0] | {"rate_limit": {"requests_per_second": 1}}]
    launch(config(net) | {"listeners": [listener("web", "http", 80, "web", rules=rules,
                                                 access_log={"path": str(path)})]})
    with Connection((net.v4, 80)) as client, http2.connect((net.v4, 80)) as second:
        for one in (client, second):
            until(lambda: one.request("/all").status == 429, "it is over the rate")
            assert one.request("/all", method="HEAD").get("retry-after") == "1"
            assert one.request("/other").status == 200
            until(lambda: one.request("/all").status == 200, "its time has come")
    until(lambda: path.read_text().count("\n") > 8, "the lines are there")
    lines = [access_line.parse(line) for line in path.read_text().splitlines()]
    over = [line for line in lines if line["elb_status_code"] == 429]
    assert len(over) > 3 and {(line["error_reason"], line["rule"]) for line in over} == {("rate_limited", "all")}


def test_reload(net, launch):
    """What was let through is not forgotten for a reload that changes something else."""
    one = launch(config(net))
    assert holds(count(net, "/all"))
    begin = time.monotonic()
    one.reload(config(net, rules=RULES + [{"priority": 9, "target_group": "web"}]))
    passed, _ = count(net, "/all", n=30)
    assert passed <= time.monotonic() - begin + 2
    one.reload(config(net, rules=[RULES[0] | {"rate_limit": {"requests_per_second": 1, "requests_burst": 25}}]))
    passed, seconds = count(net, "/all")
    assert 25 <= passed <= 26 + seconds


ALT_SVC = 'h3=":443"; ma=86400'


def test_alt_svc(net, launch):
    """Every answer has it, whoever it is of: a target, a rule, us."""
    rules = [RULES[2] | {"rate_limit": {"requests_per_second": 1, "requests_burst": 2}},
             {"priority": 5, "conditions": [{"path": "/move"}], "actions": [{"redirect": {"path": "/moved"}}]},
             {"priority": 6, "conditions": [{"path": "/gone"}], "target_group": "refused"},
             {"priority": 7, "conditions": [{"path": "/own/*"}], "target_group": "web",
              "rewrite": {"path": "/elsewhere"},
              "response_headers": {"set": [{"name": "Alt-Svc", "value": "clear"}]}},
             {"priority": 8, "conditions": [{"path": "/none/*"}], "target_group": "web",
              "response_headers": {"remove": ["Alt-Svc"]}}]
    groups = config(net)["target_groups"] + [group("refused", "http", net.target_list(1, 1))]
    one = launch({"target_groups": groups, "listeners": [
        listener("web", "http", 80, "web", rules=rules, http={"alt_svc": ALT_SVC}),
        listener("bare", "http", 81, "web", http={"alt_svc": ALT_SVC}),
        listener("off", "http", 82, "web")]})
    for port in (80, 81):
        for make in (Connection, http2.connect):
            with make((net.v4, port)) as client:
                for path in ("/", "/elsewhere", "/status/404", "/chunked/10", "/move", "/fixed", "/gone"):
                    assert client.request(path).all("alt-svc") == [ALT_SVC], path
                if port == 80:
                    until(lambda: client.request("/fixed").status == 429, "it is over the rate")
                    assert client.request("/fixed").all("alt-svc") == [ALT_SVC]
                    assert client.request("/own/").all("alt-svc") == ["clear"]
                    assert client.request("/none/").all("alt-svc") == []
        with Connection((net.v4, port)) as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            answer = client.response()
            assert answer.status == 400 and answer.all("alt-svc") == [ALT_SVC]
    with Connection((net.v4, 82)) as client:
        assert client.request("/").get("alt-svc") is None
        assert client.request("/elsewhere").all("alt-svc") == ['h2="own.test:9999"']
    one.reload({"target_groups": groups, "listeners": [listener("off", "http", 82, "web", http={"alt_svc": "clear"})]})
    with Connection((net.v4, 82)) as client:
        assert client.request("/elsewhere").all("alt-svc") == ["clear"]
