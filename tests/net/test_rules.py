"""Rules of HTTP listeners: which requests go where, what is changed of them and of their answers, what is
answered without a target; and that changing rules disturbs nobody."""
import subprocess
from collections import Counter

import pytest

import http2
from counts import count
from load import Load
from net import CLIENTS
from standard import CHECK, group, listener
from wire import Connection, TlsConnection, client_context, patience

HSTS = {"name": "Strict-Transport-Security", "value": "max-age=31536000"}


def rule(priority, conditions, target_group=None, **settings):
    """Conditions as one mapping; none: every request."""
    one = {"priority": priority, "conditions": [conditions] if conditions else []}
    return one | ({"target_group": target_group} if target_group else {}) | settings


def forward(**weights):
    return [{"target_group": name, "weight": weight} for name, weight in weights.items()]


def fixed(status, body=None, **settings):
    return [{"fixed_response": {"status": status} | ({"body": body} if body else {}) | settings}]


def redirect(**settings):
    return [{"redirect": settings}]


RULES = [
    rule(10, {"host": "*.tenant.test", "path": "/t/*"}, "blue", name="tenants",
         rewrite={"host": "#{host.1}.internal:8080", "path": "/echo/#{path.1}", "query": "from=#{host}&#{query}"},
         request_headers={"set": [{"name": "X-Tenant", "value": "#{host.1}"}], "remove": ["X-Secret"],
                          "add": [{"name": "X-Way", "value": "#{protocol}:#{port}"}]},
         response_headers={"set": [{"name": "X-Target", "value": "hidden"}], "remove": ["Content-Type"]}),
    rule(15, {"path": "/to/*"}, "blue", rewrite={"host": "#{path.1}", "path": "/echo"}),
    rule(20, {"path": "regex:/v([0-9]+)/(.*)"}, "green", rewrite={"path": "/echo/#{path.2}/#{path.1}"}),
    rule(30, {"header": {"name": "X-Canary", "values": ["yes", "1*"]}}, "green"),
    rule(31, {"cookie": {"name": "beta", "values": "1"}}, "green"),
    rule(32, {"query": [{"key": "to", "value": "green"}]}, "green"),
    rule(33, {"source_ip": ["10.0.0.0/8", CLIENTS[1]]}, "green"),
    rule(34, {"method": ["PUT", "DELETE"]}, "green"),
    rule(40, {"path": "/old/*"}, actions=redirect(status="301", protocol="https", host="new.test",
                                                  path="/new/#{path.1}")),
    rule(41, {"path": "/moved"}, actions=redirect(status="308", path="/there", query="")),
    rule(50, {"path": "/teapot"}, actions=fixed(418, "short\nand stout\n", content_type="text/tea")),
    rule(51, {"path": "/nothing"}, actions=fixed(204)),
    rule(60, {"path": "/weights"}, actions=[{"forward": {"target_groups": forward(blue=9, green=3, grey=0)}}]),
    rule(61, {"path": "/sticky"}, name="sticky", actions=[
        {"forward": {"target_groups": forward(blue=1, green=1), "stickiness": "1h"}}]),
    rule(70, {"not": True, "path": "/*"}, actions=fixed(400)),
]


def config(net, rules=RULES, back="http1", **settings):
    def colour(name, index):
        return group(name, "http", net.target_list(8080 if back == "http1" else 8082, index), CHECK,
                     protocol_version=back)
    return {"certificates": net.certificates("default"),
            "target_groups": [colour("blue", 1), colour("green", 2), colour("grey", 3)],
            "listeners": [
                listener("web", "http", 80, "blue", rules=rules, response_headers={"set": [HSTS]}, **settings),
                listener("secure", "https", 443, "blue", rules=rules, certificates=["default"]),
                {k: v for k, v in listener("closed", "http", 81, "").items() if k != "target_group"} |
                {"default_actions": redirect(protocol="https")}]}


@pytest.fixture(scope="module", params=["http1", "http2"])
def one(net, request):
    """By the version that is spoken to its targets."""
    net.heal()  # of what the module before has left
    one = net.launch(config(net, back=request.param))
    for name in ("blue", "green", "grey"):
        one.wait_states(name, ["healthy"])
    return one


@pytest.fixture(params=["h1", "h2c"])
def client(one, net, request):
    with (Connection if request.param == "h1" else http2.connect)((net.v4, 80)) as connection:
        yield connection


def test_a_request_in_each_record(one, net):
    """Requests that are answered at once, each in a record of its own and all of them there already: one
    after the other, however many. (Records are OpenSSL's where the client asks for small ones.)"""
    n = 4000
    head = b"GET /teapot HTTP/1.1\r\nHost: a.test\r\nX: "
    request = head + b"x" * (512 - len(head) - 4) + b"\r\n\r\n"
    path = net.folder / "requests"
    path.write_bytes(request * (n - 1) + b"GET /teapot HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    with path.open("rb") as requests:
        done = subprocess.run(["openssl", "s_client", "-connect", f"{net.v4}:443", "-quiet", "-maxfraglen", "512",
                               "-servername", "a.test"], stdin=requests, capture_output=True, timeout=patience(60))
    assert done.stdout.count(b"HTTP/1.1 418") == n
    with TlsConnection((net.v4, 443), "a.test", client_context()) as client:
        assert client.request("/teapot").status == 418
    assert one.process.poll() is None


def echoed(answer):
    """What the target got: (target, URL, headers by small name)."""
    got = answer.json()
    return got["target"], got["path"], {k.lower(): v for k, v in got["headers"]}


@pytest.mark.parametrize("request_, target", [
    ({}, "t1"),
    ({"headers": [("x-canary", "YES")]}, "t2"),
    ({"headers": [("X-Canary", "17")]}, "t2"),
    ({"headers": [("X-Canary", "no")]}, "t1"),
    ({"headers": [("Cookie", "a=b; beta=1")]}, "t2"),
    ({"headers": [("Cookie", "a=b; beta=2")]}, "t1"),
    ({"path": "/echo?a=b&To=Green"}, "t2"),
    ({"path": "/echo?a=b&to=greener"}, "t1"),
    ({"method": "PUT"}, "t2"),
    ({"method": "POST"}, "t1"),
])
def test_conditions(client, net, request_, target):
    """Each kind of condition, met and not met, on one kept-alive connection."""
    names = {f"t{i + 1}": t.name for i, t in enumerate(net.targets)}
    answer = client.request(**({"path": "/echo"} | request_))
    assert answer.json()["target"] == names[target]


def test_source_address(one, net):
    with Connection((net.v4, 80), source=CLIENTS[1]) as client:
        assert client.request("/echo").json()["target"] == net.targets[1].name


def test_rewrite(client, net):
    """Host, path, query and headers of what the target gets; headers of what comes back."""
    answer = client.request("/t/a/b%20c?x=1", host="Shop.Tenant.test", headers=[("X-Secret", "1"), ("X-Way", "0")])
    target, url, headers = echoed(answer)
    assert target == net.targets[0].name and url == "/echo/a/b%20c?from=Shop.Tenant.test&x=1"
    assert headers["host"] == "Shop.internal:8080" and headers["x-tenant"] == "Shop"
    ways = [v for k, v in answer.json()["headers"] if k.lower() == "x-way"]
    assert "x-secret" not in headers and ways == ["0", "http:80"]
    assert answer.all("x-target") == ["hidden"] and answer.get("content-type") is None
    assert answer.get("strict-transport-security") == HSTS["value"]
    target, url, headers = echoed(client.request("/v12/a/b?q"))
    assert target == net.targets[1].name and url == "/echo/a/b/12?q"
    assert headers["host"] == "www.sluice.test"


def test_a_rewrite_that_makes_no_request(client, one):
    """What the client sent becomes part of a host name: it is refused, not sent."""
    assert echoed(client.request("/to/b.test"))[2]["host"] == "b.test"
    for host in ("a@b.test", "b.test:99999", "b%zz", "b.test/c", ""):
        assert client.request(f"/to/{host}").status == 400, host


def test_redirects(client, one, net):
    answer = client.request("/old/a/b?c=d", "POST", body=b"x")
    assert answer.status == 301 and answer.get("location") == "https://new.test/new/a/b?c=d"
    if answer.version == "HTTP/1.1":
        assert answer.get("connection") == "close", "the body was not read"
    with Connection((net.v4, 80)) as client:
        answer = client.request("/moved?x=y", host="a.test:8000")
        assert answer.status == 308 and answer.get("location") == "http://a.test:8000/there"
        assert answer.get("strict-transport-security") == HSTS["value"] and answer.body == b""
        assert client.request("/echo").status == 200
    with Connection((net.v4, 81)) as client:
        answer = client.request("/x?y", host="a.test:81")
        assert answer.status == 302 and answer.get("location") == "https://a.test/x?y"
    with TlsConnection((net.v4, 443), "default.sluice.test") as client:
        assert client.request("/moved", host="a.test").get("location") == "https://a.test/there"


def test_fixed_responses(client):
    answer = client.request("/teapot")
    assert (answer.status, answer.body, answer.get("content-type")) == (418, b"short\nand stout\n", "text/tea")
    answer = client.request("/teapot", "HEAD")
    assert answer.get("content-length") == "16" and answer.body == b""
    assert client.request("/nothing").status == 204
    assert client.request("*", "OPTIONS").status == 400
    assert client.request("/echo").status == 200


def test_weights(one, net):
    """Nine to three, exactly, whatever worker; nothing for weight 0."""
    with Connection((net.v4, 80)) as client:
        seen = Counter(client.request("/weights").get("x-target") for _ in range(24))
    assert seen == {net.targets[0].name: 18, net.targets[1].name: 6}


def test_stickiness(one, net):
    """A client that shows its cookie stays; one that shows a forged one does not count."""
    with Connection((net.v4, 80)) as client:
        first = client.request("/sticky")
        cookie, *attributes = first.get("set-cookie").split("; ")
        assert attributes == ["Path=/", "Max-Age=3600", "HttpOnly"]
        shown = [client.request("/sticky", headers=[("Cookie", "x=y; " + cookie)]) for _ in range(6)]
        assert {a.get("x-target") for a in shown} == {first.get("x-target")}
        assert all(a.get("set-cookie") is None for a in shown)
        forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
        shown = [client.request("/sticky", headers=[("Cookie", forged)]) for _ in range(4)]
        assert len({a.get("x-target") for a in shown}) == 2 and all(a.get("set-cookie") for a in shown)
    with TlsConnection((net.v4, 443), "default.sluice.test") as client:
        assert client.request("/sticky").get("set-cookie").endswith("; Secure")


# A redirect of a listener, and where it leads what was asked for as http(s)://a.test:<port>/p/q?x=y, with the
# port that the client names, and without: what is not given is as it was (AWS: #{protocol}, #{host}, #{port}...).
REDIRECTS = [
    ("http", {"protocol": "https"}, "https://a.test/p/q?x=y", "https://a.test/p/q?x=y"),
    ("http", {"protocol": "https", "port": "#{port}"}, "https://a.test:8080/p/q?x=y", "https://a.test:80/p/q?x=y"),
    ("http", {"protocol": "https", "port": "8443"}, "https://a.test:8443/p/q?x=y", "https://a.test:8443/p/q?x=y"),
    ("http", {"protocol": "http", "path": "/new"}, "http://a.test:8080/new?x=y", "http://a.test/new?x=y"),
    ("http", {"host": "b.test"}, "http://b.test:8080/p/q?x=y", "http://b.test/p/q?x=y"),
    ("http", {"port": "8081"}, "http://a.test:8081/p/q?x=y", "http://a.test:8081/p/q?x=y"),
    ("http", {"port": "443"}, "http://a.test:443/p/q?x=y", "http://a.test:443/p/q?x=y"),
    ("http", {"query": "#{query}&z"}, "http://a.test:8080/p/q?x=y&z", "http://a.test/p/q?x=y&z"),
    ("http", {"query": ""}, "http://a.test:8080/p/q", "http://a.test/p/q"),
    ("http", {"host": "#{host}.b", "path": "/#{path}/end", "query": "q=#{protocol}"},
     "http://a.test.b:8080/p/q/end?q=http", "http://a.test.b/p/q/end?q=http"),
    ("https", {"protocol": "https", "path": "/new"}, "https://a.test:8080/new?x=y", "https://a.test/new?x=y"),
    ("https", {"protocol": "HTTPS", "host": "b.test"}, "https://b.test:8080/p/q?x=y", "https://b.test/p/q?x=y"),
    ("https", {"protocol": "http"}, "http://a.test/p/q?x=y", "http://a.test/p/q?x=y"),
    ("https", {"protocol": "#{protocol}", "path": "/"}, "https://a.test:8080/?x=y", "https://a.test/?x=y"),
]


def test_table_of_redirects(net, launch):
    """Each with each status, over HTTP/1.1 and HTTP/2."""
    def rules(protocol):
        return [rule(n + 1, {"header": {"name": "X-Row", "values": str(n)}},
                     actions=redirect(status=("301", "302", "303", "307", "308")[n % 5], **row))
                for n, (of, row, _, _) in enumerate(REDIRECTS) if of == protocol]
    settings = config(net, [])
    settings["listeners"] = [listener("web", "http", 80, "blue", rules=rules("http")),
                             listener("secure", "https", 443, "blue", rules=rules("https"), certificates=["default"])]
    launch(settings)
    name = "default.sluice.test"
    with (Connection((net.v4, 80)) as h1, http2.connect((net.v4, 80)) as h2c,
          TlsConnection((net.v4, 443), name, client_context()) as tls, http2.connect((net.v4, 443), name) as h2):
        for n, (protocol, row, with_port, without) in enumerate(REDIRECTS):
            for client in (h1, h2c) if protocol == "http" else (tls, h2):
                for host, expected in (("a.test:8080", with_port), ("a.test", without)):
                    answer = client.request("/p/q?x=y", headers=[("X-Row", str(n))], host=host)
                    assert (answer.status, answer.get("location")) == ((301, 302, 303, 307, 308)[n % 5], expected), row


def test_rules_change_under_load(net, launch):
    """Rules come and go while requests are under way: none fails, none goes where no rule ever led."""
    one = launch(config(net))
    for name in ("blue", "green", "grey"):
        one.wait_states(name, ["healthy"])
    with Load((net.v4, 80), 16, 10) as load:
        for number in range(count("reloads")):
            rules = RULES + [rule(5, {"path": "/"}, ("blue", "green")[number % 2])]
            one.reload(config(net, rules[number % 3:]))
        load.run_for(count("load_seconds"))
    assert load.failures == [] and load.closed == 0


def test_rules_through_the_api(net, launch):
    """They are a setting of the listener: changed at once, refused with their place, rolled back."""
    one = launch(config(net, rules=[]))
    with Connection((net.v4, 80)) as client:
        assert client.request("/teapot").status == 200
        one.change("PUT", "/v1/objects/listeners/web", {"rules": RULES})
        assert client.request("/teapot").status == 418
        status, answer, _ = one.ask("PATCH", "/v1/objects/listeners/web", {
            "rules": [{"priority": 1, "conditions": [{"path": "regex:("}], "target_group": "blue"}]})
        assert status == 422
        assert "listeners[web].rules[0].conditions[0].path[0]: is no regular expression" in str(answer)
        assert client.request("/teapot").status == 418
        one.change("POST", "/v1/rollback?to=0")
        assert client.request("/teapot").status == 200


def test_what_rules_are_there_and_which_one(net, launch):
    """Counted by rule; the API and sluicectl say which one a request would go by, as it then does."""
    one = launch(config(net))
    for name in ("blue", "green", "grey"):
        one.wait_states(name, ["healthy"])
    with Connection((net.v4, 80)) as client:
        for _ in range(3):
            client.request("/teapot")
        client.request("/moved")
        client.request("/echo")
    web = one.api("/v1/rules?listener=web")["listeners"][0]
    hits = {r["name"]: r["hits"] for r in web["rules"]}
    assert [r["priority"] for r in web["rules"]] == sorted(r["priority"] for r in web["rules"])
    assert hits["rule-50"] == 3 and hits["rule-41"] == 1 and hits["tenants"] == 0 and web["default"]["hits"] == 1
    assert web["redirects"] == 1 and web["fixed_responses"] == 3 and web["rule_evaluations"] >= 4
    assert web["rules"][0]["conditions"] == ["host *.tenant.test, path /t/*"]
    one.reload(config(net, RULES[1:]))
    hits = {r["name"]: r["hits"] for r in one.api("/v1/rules?listener=web")["listeners"][0]["rules"]}
    assert hits["rule-50"] == 3 and "tenants" not in hits, "counts go on under the same name"
    one.reload(config(net))
    status, answer, _ = one.ask("POST", "/v1/rules/test", {"listener": "web", "url": "http://A.tenant.test/t/x?y",
                                                           "headers": [["X-Canary", "yes"]]})
    assert status == 200 and answer["rule"] == "tenants" and answer["action"] == "forward blue"
    assert (answer["host"], answer["target"]) == ("A.internal:8080", "/echo/x?from=A.tenant.test&y")
    _, answer, _ = one.ask("POST", "/v1/rules/test", {"listener": "web", "url": "/x", "source": CLIENTS[1]})
    assert answer["rule"] == "rule-33" and answer["evaluated"][-1]["matches"]
    assert answer["evaluated"][0]["why"] == "does not fit: host *.tenant.test"
    out = one.ctl("rules", "test", "--listener", "secure", "--url", "/old/a", "--header", "Host: b.test")[1]
    assert "https://new.test/new/a" in out and "does not fit: query to=green" in out
    out = one.ctl("rules", "web")[1]
    assert "fixed response 418" in out and "redirect 301 https://new.test" in out
    assert one.ctl("rules", "test", "--url", "no url", "--listener", "web", check=False)[0] == 1
