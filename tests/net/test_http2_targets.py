"""Targets that speak HTTP/2: connections that many share, and their ends."""
import pytest

import http2
import standard as ports
from http2 import Http2
from standard import CHECK, group, listener
from wire import Connection, milliseconds, until

H2 = {"protocol_version": "http2"}


def web(net, n=(1,), check=None, **settings):
    targets = net.target_list(8082, *n)
    settings = H2 | {"check": check} | settings
    return {"target_groups": [group("web", "http", targets, **settings)],
            "listeners": [listener("web", "http", 80, "web", timeouts={"idle": milliseconds(3000)})]}


def counts(one):
    return one.api("/v1/target-groups")["target_groups"][0]


def refused(one):
    return {row["reason"] for row in one.api("/v1/drops")["drops"] if row["count"]}


@pytest.fixture
def target(targets):
    targets[0].reset()
    return targets[0]


def test_requests_share_a_connection(net, launch, target):
    launch(web(net) | {"workers": 1})
    with http2.connect((net.v4, 80)) as client:
        streams = [client.open("/slow/200") for _ in range(20)]
        assert [client.answer(stream).status for stream in streams] == [200] * 20
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 200
    stats = target.stats()
    assert (stats["requests"], stats["sessions"]) == (21, 1)


def test_answers_do_not_wait_for_slow_clients(net, launch, target):
    """More answers that are not taken than a connection's window of the usual size holds."""
    launch(web(net) | {"workers": 1})
    with http2.connect((net.v4, 80)) as slow, http2.connect((net.v4, 80)) as client:
        for _ in range(40):
            slow.open("/bytes/10000000")
        while len([a for a in slow.answers.values() if a.status]) < 40:
            assert slow.more(holds=True)
        assert len(client.request("/bytes/1000000").body) == 1_000_000
    assert target.stats()["sessions"] == 1


def test_client_that_goes_resets_its_request(net, launch, target):
    launch(web(net))
    with http2.connect((net.v4, 80)) as client:
        client.open("/hang")
        until(lambda: target.stats()["requests"] == 1, "the request is there")
    until(lambda: target.stats()["resets"] == 1, "it is reset")
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_goaway(net, launch, target, method):
    """The second request on each connection is not looked at, and sent again on another one."""
    one = launch(web(net, retries={"budget": "0%", "budget_per_second": 0}) | {"workers": 1})
    with Connection((net.v4, 80)) as client:
        for _ in range(4):
            body = b"body" if method == "POST" else b""
            assert client.request().status == 200
            assert client.request("/h2/goaway", method, body=body).status == 200
    assert target.stats()["sessions"] == 5
    assert counts(one)["retries_refused"] == 0


def test_goaway_again_and_again(net, launch, target):
    """It is not tried more often than other requests."""
    launch(web(net, retries={"attempts": 1}) | {"workers": 1})
    with http2.connect((net.v4, 80)) as client:
        assert client.request("/h2/refuse/100", "POST", body=b"x").status == 502
    assert target.stats()["paths"]["h2"] == 3


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b""), ("POST", b"x" * 30000)])
def test_refused_stream(net, launch, target, method, body):
    one = launch(web(net, retries={"budget": "0%", "budget_per_second": 0}))
    with http2.connect((net.v4, 80)) as client:
        assert client.request("/h2/refuse/2", method, body=body).status == 200
    assert counts(one)["retries"] == 1  # the first time it is as a connection that was about to end


@pytest.mark.parametrize("path", ["/h2/close", "/h2/reset"])
def test_target_ends_it(net, launch, target, path):
    """Who knows what became of it: POST is not sent again."""
    one = launch(web(net))
    with http2.connect((net.v4, 80)) as client:
        assert client.request().status == 200
        others = [client.open("/slow/300") for _ in range(3)]
        assert client.request(path, "POST", body=b"x").status == 502
        if path == "/h2/reset":
            assert [client.answer(stream).status for stream in others] == [200] * 3
        else:
            assert [client.answer(stream).status for stream in others] == [200] * 3  # sent again: GET
        assert client.request().status == 200
    assert target.stats()["paths"]["h2"] == 1
    assert refused(one) == ({"target_bad_response"} if path == "/h2/reset" else {"target_refused"})


def test_target_dies(net, launch, targets):
    """In the middle of an answer: it is cut, and looks so; the next one goes elsewhere."""
    one = launch(web(net, n=(1, 2)) | {"workers": 1})
    with http2.connect((net.v4, 80)) as client:
        stream = client.open("/stall")
        while client.answers[stream].length < 500:
            assert client.more()
        name = dict(client.answers[stream].headers)["x-target"]
        victim = next(t for t in targets if t.name == name)
        victim.kill()
        try:
            assert client.answer(stream).is_cut
            assert [client.request().status for _ in range(4)] == [200] * 4
        finally:
            victim.start()
    assert refused(one) == {"target_cut_response"}


def test_idle_connections_end(net, launch, target):
    launch(web(net, pool={"idle_timeout": milliseconds(300)}))
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 200
        until(lambda: target.stats()["open"] == 0, "it is closed")
        assert client.request().status == 200
    until(lambda: target.stats()["open"] == 0, "it is closed again")


def test_nothing_is_kept(net, launch, target):
    launch(web(net, pool={"idle_per_worker": 0}))
    with Connection((net.v4, 80)) as client:
        assert [client.request().status for _ in range(3)] == [200] * 3
    until(lambda: target.stats()["open"] == 0, "it is closed")
    assert target.stats()["sessions"] == 3


def test_limit_of_requests(net, launch, target):
    one = launch(web(net, limits={"requests": 2}))
    with http2.connect((net.v4, 80)) as client:
        held = [client.open("/slow/500") for _ in range(2)]
        until(lambda: target.stats()["requests"] == 2, "they are there")
        assert client.request().status == 503
        assert [client.answer(stream).status for stream in held] == [200, 200]
        assert client.request().status == 200
    assert counts(one)["limited"] == 1


def test_limit_of_connections(net, launch, target):
    """Many requests on the one connection there may be."""
    launch(web(net, limits={"connections": 1}) | {"workers": 1})
    with http2.connect((net.v4, 80)) as client:
        streams = [client.open("/slow/100") for _ in range(50)]
        assert {client.answer(stream).status for stream in streams} == {200}
    assert target.stats()["sessions"] == 1


def test_proxy_header_has_a_connection_for_itself(std, net, targets):
    with Connection((net.v4, ports.PP_OUT_H2)) as client, http2.connect((net.v4, ports.PP_OUT_H2)) as other:
        answers = [client.request("/echo").json(), client.request("/echo").json(), other.request("/echo").json()]
        own = [client.sock.getsockname()[1]] * 2 + [other.wire.sock.getsockname()[1]]
    assert [a["proxy"]["source_port"] for a in answers] == own


def test_target_that_does_not_agree(net, launch):
    """Over TLS, HTTP/2 is what both sides say it is."""
    one = launch({"target_groups": [group("web", "https", net.target_list(8443, 1), tls={"ca": str(net.ca.pem)}, **H2)],
                  "listeners": [listener("web", "http", 80, "web")]})
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 502
    until(lambda: "does not agree on HTTP/2" in one.log(), "the log says it")
    assert refused(one) == {"target_tls_failed"}


def test_target_that_speaks_something_else(net, launch):
    one = launch({"target_groups": [group("web", "http", net.target_list(8080, 1), **H2)],
                  "listeners": [listener("web", "http", 80, "web")]})
    with Connection((net.v4, 80)) as client:
        assert client.request("/", "POST").status == 502
    until(lambda: refused(one) & {"target_bad_response", "target_refused"}, "it is counted")


def test_protocol_version_changes(net, launch):
    """By a reload, in both directions, under a connection that stays."""
    def settings(version, port):
        return {"target_groups": [group("web", "http", net.target_list(port, 1), protocol_version=version)],
                "listeners": [listener("web", "http", 80, "web")]}
    one = launch(settings("http1", 8080))
    with Connection((net.v4, 80)) as client:
        versions = [client.request("/echo").json()["version"]]
        for version, port in [("http2", 8082), ("http1", 8080)]:
            one.reload(settings(version, port))
            versions.append(client.request("/echo").json()["version"])
    assert versions == ["HTTP/1.1", "HTTP/2", "HTTP/1.1"]


@pytest.mark.parametrize("protocol", ["http", "https"])
def test_health_checks_speak_http2(net, launch, targets, protocol):
    secure = {"tls": {"ca": str(net.ca.pem)}} if protocol == "https" else {}
    port = 8444 if secure else 8082
    one = launch({"target_groups": [group("web", protocol, net.target_list(port), CHECK | {
        "protocol": protocol, "port": "target"}, **H2, **secure)],
        "listeners": [listener("web", "http", 80, "web")]})
    one.wait_states("web", ["healthy"] * 3)
    targets[1].health("fail")
    try:
        one.wait_states("web", ["healthy", "unhealthy", "healthy"])
        assert "status 503" in str(one.targets("web"))
    finally:
        targets[1].health("ok")
    one.wait_states("web", ["healthy"] * 3)


def test_upgrade_is_not_asked_for(net, launch, target):
    """HTTP/2 has none but for WebSocket: the target answers as to any request."""
    launch(web(net))
    with Connection((net.v4, 80)) as client:
        answer = client.request("/echo", headers=[("Connection", "Upgrade"), ("Upgrade", "other")]).json()
    assert not {"upgrade", "connection"} & {name.lower() for name, _ in answer["headers"]}


def test_trailers_both_ways(net, launch, target):
    launch(web(net))
    with http2.connect((net.v4, 80)) as client:
        answer = client.request("/echo", "POST", body=b"abc", trailers=[("x-sum", "1")]).json()
        assert answer["trailers"] == ["x-sum: 1"]
        assert client.request("/chunked/10").trailers
    with Connection((net.v4, 80)) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n"
                    b"Connection: TE\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 2\r\n\r\n")
        answer = client.response().json()
    assert answer["trailers"] == ["x-sum: 2"]
    assert ["te", "trailers"] in answer["headers"]


def test_empty_answer_has_a_length(net, launch, target):
    """A head that ends the stream: HTTP/1.1 has to say so."""
    launch(web(net))
    with Connection((net.v4, 80)) as client:
        answer = client.request("/bytes/0")
        assert (answer.get("content-length"), answer.body) == ("0", b"")
        assert client.request().status == 200
