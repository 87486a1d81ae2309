"""What answers say beside what the target said: Server and Date, and response_headers of the listener, which
go with each answer, whoever made it."""
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

import pytest

import http2
from standard import group, listener
from wire import Connection, TlsConnection

WWW = "www.sluice.test"
KEPT, POLICY, SECURE, LONG = 80, 81, 443, 82
HSTS = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
OLD = "Sun, 06 Nov 1994 08:49:37 GMT"


def config(net):
    rules = [
        {"priority": 1, "conditions": [{"path": "/moved"}], "actions": [{"redirect": {"status": "301", "path": "/"}}]},
        {"priority": 2, "conditions": [{"path": "/fixed"}],
         "actions": [{"fixed_response": {"status": 418, "body": "tea"}}]},
        {"priority": 3, "conditions": [{"path": "/refused"}], "target_group": "refused"},
        {"priority": 4, "conditions": [{"path": "/empty"}], "target_group": "empty"},
        {"priority": 5, "conditions": [{"path": "/served/rule"}], "target_group": "web",
         "response_headers": {"set": [{"name": "Server", "value": "rule"}], "remove": ["Date"],
                              "add": [{"name": "X-Rule", "value": "1"}]}},
        {"priority": 6, "conditions": [{"path": "/limited"}], "target_group": "web",
         "rate_limit": {"requests_per_second": 1}}]
    edits = {"set": [{"name": HSTS[0], "value": HSTS[1]}, {"name": "Cache-Control", "value": "private"}],
             "add": [{"name": "X-Frame-Options", "value": "DENY"}], "remove": ["X-Target"]}
    long = {"set": [{"name": f"X-Long-{n}", "value": "a" * 1000} for n in range(7)]}
    return {
        "certificates": net.certificates("default"),
        "target_groups": [group("web", "http", net.target_list(8080, 1)),
                          group("refused", "http", net.target_list(1, 1)), group("empty", "http", [])],
        "listeners": [
            listener("kept", "http", KEPT, "web", http={"date": False}),
            listener("policy", "http", POLICY, "web", rules=rules, http={"server": False}),
            listener("secure", "https", SECURE, "web", rules=rules, certificates=["default"], response_headers=edits),
            listener("long", "http", LONG, "empty", response_headers=long)]}


@pytest.fixture(params=["h1", "h2"])
def dial(request, launch, net):
    """dial(port): a client of that version."""
    launch(config(net))

    @contextmanager
    def dial(port):
        address, name = (net.v4, port), WWW if port == SECURE else None
        if request.param == "h2":
            with http2.connect(address, name) as client:
                yield client
        else:
            with TlsConnection(address, name) if name else Connection(address) as client:
                yield client
    return dial


def every(answer, name):
    return [value for key, value in answer.headers if key.lower() == name.lower()]


def test_server_and_date(dial):
    with dial(KEPT) as client:
        answer = client.request("/served")
        assert every(answer, "server") == ["target/1"] and every(answer, "date") == [OLD]
        assert not every(client.request("/"), "date")
    with dial(POLICY) as client:
        answer = client.request("/served")
        assert not every(answer, "server") and every(answer, "date") == [OLD]
        date, = every(client.request("/"), "date")
        assert parsedate_to_datetime(date).year > 1994
        answer = client.request("/served/rule")
        assert every(answer, "server") == ["rule"] and not every(answer, "date")
        for path in ("/refused", "/fixed", "/moved"):
            answer = client.request(path)
            assert len(every(answer, "date")) == 1 and not every(answer, "server")


def test_headers_of_all_answers(dial):
    """From targets, of rules, and of our own; once each, and nothing of what errors say themselves."""
    with dial(SECURE) as client:
        client.request("/limited")
        for path, status in (("/", 200), ("/moved", 301), ("/fixed", 418), ("/refused", 502), ("/empty", 503),
                             ("/limited", 429)):
            answer = client.request(path)
            assert answer.status == status
            assert every(answer, HSTS[0]) == [HSTS[1]] and every(answer, "x-frame-options") == ["DENY"]
            is_own = status in (502, 503, 429)
            assert every(answer, "cache-control") == ["no-store" if is_own else "private"]
            assert not every(answer, "x-target")
        answer = client.request("/#", headers=[("host", WWW)] if isinstance(client, http2.Http2) else [])
        assert (answer.status, every(answer, HSTS[0])) == (400, [HSTS[1]]), "before there is a rule"


def test_rules_are_not_for_errors(dial):
    with dial(POLICY) as client:
        assert every(client.request("/served/rule"), "x-rule") == ["1"]
        assert not every(client.request("/refused"), "x-rule")


def test_long_headers(dial):
    with dial(LONG) as client:
        answer = client.request("/")
        assert answer.status == 503 and every(answer, "x-long-6") == ["a" * 1000]
