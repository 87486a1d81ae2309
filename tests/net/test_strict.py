"""http.desync_mode: each row of strict_requests, over the wire, in each mode; limits of heads; names of
headers; what is counted."""
import re
from collections import Counter

import pytest

import http2
import standard as ports
from netns import TOP
from strict_client import is_target, verdict
from strict_h2 import verdict_h2
from strict_h2_rows import H2_ROWS
from strict_requests import MODES, ROWS
from wire import Connection, until

PORTS = dict(zip(MODES, (ports.DESYNC_MONITOR, ports.ONE, ports.DESYNC_STRICTEST)))
NAMES = dict(zip(MODES, ("desync-monitor", "one", "desync-strictest")))


def counts(daemon, listener):
    """{(found, "forwarded" or "refused"): count} of a listener, what is not 0."""
    rows = [row for row in daemon.api("/v1/desync")["desync"] if row["listener"] == listener]
    return Counter({(row["found"], what): row[what] for row in rows for what in ("forwarded", "refused")})


def framing(answer):
    """The framing headers the target got, as far as it tells."""
    if answer is None or not answer.body.startswith(b"{"):
        return []
    return [name for name, _ in answer.json()["headers"] if name.lower() in ("content-length", "transfer-encoding")]


@pytest.mark.parametrize("mode", MODES)
def test_rows(std, net, targets, mode):
    """The verdict of each, one framing at most for the target, nothing smuggled, everything counted."""
    before, wrong, expected = counts(std, NAMES[mode]), {}, Counter()
    for row in ROWS:
        wanted = row.verdicts[MODES.index(mode)]
        got, answer = verdict((net.v4, PORTS[mode]), row)
        if got != wanted or len(framing(answer)) > 1:
            wrong[row.name] = (got, wanted, answer)
        for found in row.found[MODES.index(mode)].split():
            expected[found, "forwarded" if wanted in ("forward", "close") else "refused"] += 1
    assert not wrong
    assert "smuggled" not in targets[0].stats()["paths"]
    assert counts(std, NAMES[mode]) - before == expected


def test_page_is_current():
    """docs/strictness.md has these rows; tools/gen-strictness writes it."""
    lines = (TOP / "docs/strictness.md").read_text().splitlines()
    for row in ROWS:
        found = ", ".join(dict.fromkeys(" ".join(row.found).split()))
        begin = "| " + " | ".join((row.name, found, *row.verdicts)) + " | "
        assert any(line.startswith(begin) for line in lines), begin
    for row in H2_ROWS:
        begin = "| " + " | ".join((row.name, ", ".join(row.found.split()), *row.verdicts)) + " | "
        assert any(line.startswith(begin) for line in lines), begin


def test_listener_shows_the_classes(std, net):
    def classes():
        one = next(row for row in std.api("/v1/listeners")["listeners"] if row["name"] == "desync-strictest")
        return one["desync"]
    before = classes()
    assert before["mode"] == "strictest"
    with Connection((net.v4, ports.DESYNC_STRICTEST)) as client:
        assert client.request("/echo", headers=[("Content-Length", "0")]).status == 400
    assert classes()["acceptable"]["refused"] == before["acceptable"]["refused"] + 1
    with Connection((net.v4, ports.DESYNC_STRICTEST)) as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
    assert classes()["severe"]["refused"] == before["severe"]["refused"] + 1
    assert "bad_host" in std.ctl("desync")[1] and "all requests" not in std.ctl("desync")[1]


def test_connection_to_the_target_is_closed(std, net, targets):
    """Behind a GET with a body, which the target may not have read."""
    with Connection((net.v4, ports.ONE)) as client:
        first = client.request("/echo").json()
        assert client.request("/echo").json()["served"] == first["served"] + 1
        client.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        answer = client.response()
        got = {name.lower(): value for name, value in answer.json()["headers"]}
        assert answer.json()["served"] == first["served"] + 2 and got["connection"] == "close"
        assert answer.get("connection") == "close" and client.is_ended()


@pytest.mark.parametrize("rule, expected", [("forward", ["1", "2"]), ("drop", ["2"]), ("refuse", None)])
def test_header_names(launch, net, rule, expected):
    config = ports.config(net) | {"listeners": [
        ports.listener("web", "http", 80, "one", http={"header_names": rule})]}
    daemon = launch(config)
    with Connection((net.v4, 80)) as client:
        answer = client.request("/echo", headers=[("X_A", "1"), ("X-A", "2")])
        if expected is None:
            assert answer.status == 400 and client.is_ended()
            assert until(lambda: daemon.drops().get("desync"), "the refusal is counted") == 1
        else:
            got = [v for k, v in answer.json()["headers"] if k in ("X_A", "X-A")]
            assert got == expected
            client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                        b"X_B: 1\r\nX-B: 2\r\nContent_Length: 3\r\n\r\n")
            got = [trailer.split(": ")[1] for trailer in client.response().json()["trailers"]]
            assert got == expected, "trailers too, and none that is taken for a length"
        found = "header_name_odd", "forwarded" if expected else "refused"
        assert counts(daemon, "web") == Counter({found: 1})


def test_limits(launch, net):
    """Each limit at its edge: the last byte, or header, that is in it, and the next one."""
    limits = {"request_line_bytes": 300, "header_line_bytes": 400, "headers": 5, "header_bytes": "1k"}
    launch(ports.config(net) | {"listeners": [ports.listener("web", "http", 80, "one", limits=limits)]})

    def ask(data):
        with Connection((net.v4, 80)) as client:
            client.send(data)
            return client.response().status
    host, end = b"Host: a\r\n", b"\r\n"

    def line(length):
        return b"GET /echo/".ljust(length - 11, b"a") + b" HTTP/1.1\r\n"

    def header(length):
        return b"X: ".ljust(length - 2, b"a") + b"\r\n"
    assert ask(line(300) + host + end) == 200 and ask(line(301) + host + end) == 414
    assert ask(line(30) + host + header(400) + end) == 200 and ask(line(30) + host + header(401) + end) == 431
    assert ask(line(30) + host + header(9) * 4 + end) == 200 and ask(line(30) + host + header(9) * 5 + end) == 431
    with http2.connect((net.v4, 80)) as client:
        long, wide = "/echo/".ljust(300 - 15, "a"), "a" * (400 - 5)
        assert client.request(long, host="a").status == 200 and client.request(long + "a", host="a").status == 414
        assert client.request("/echo", headers=[("x", wide)], host="a").status == 200
        assert client.request("/echo", headers=[("x", wide + "a")], host="a").status == 431
        assert client.request("/echo", headers=[("x", "a")] * 5, host="a").status == 200
        assert client.request("/echo", headers=[("x", "a")] * 6, host="a").status == 431
    used = 300 + len(host) + 400 + 2
    assert ask(line(300) + host + header(400) + header(1024 - used) + end) == 200
    assert ask(line(300) + host + header(400) + header(1025 - used) + end) == 431


def is_told(row, answer):
    """Is what the target got the row's request, and nothing that was put into it?"""
    if not answer.body.startswith(b"{"):
        return True
    got, wanted = answer.json(), dict(reversed(row.fields))
    names = {name.lower() for name, _ in got["headers"]}
    names -= {"host", "transfer-encoding", "connection", "te", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-port"}
    trailers = {trailer.split(":")[0] for trailer in got["trailers"]}
    return (got["method"].encode() == wanted[b":method"] and got["path"].encode() == wanted[b":path"]
            and got["length"] == len(row.data or b"") and len(framing(answer)) <= 1
            and names <= {name.decode() for name in wanted} and trailers <= {n.decode() for n, _ in row.trailers})


@pytest.mark.parametrize("mode", MODES)
def test_http2(std, net, targets, mode):
    """The same for what HTTP/2 can bring: a refusal ends the request, and not the others' connection."""
    targets[0].reset()
    before, wrong, expected = counts(std, NAMES[mode]), {}, Counter()
    for row in H2_ROWS:
        wanted = row.verdicts[MODES.index(mode)]
        got, answer = verdict_h2((net.v4, PORTS[mode]), row, is_target)
        if got != wanted or wanted == "forward" and not is_told(row, answer):
            wrong[row.name] = (got, wanted, answer)
        for found in row.found.split():
            expected[found, "forwarded" if wanted == "forward" else "refused"] += 1
    assert not wrong
    paths = targets[0].stats()["paths"]
    assert "smuggled" not in paths and paths["after"] == len(H2_ROWS)
    assert counts(std, NAMES[mode]) - before == expected


# --- what targets are told

def told(client, headers=()):
    answer = client.request("/echo", headers=headers)
    return {name.lower(): value for name, value in answer.json()["headers"]}


@pytest.mark.parametrize("connect", [Connection, http2.connect], ids=["h1", "h2"])
def test_origin_by_rules(launch, net, connect, tmp_path):
    """What a rule sets or removes of them is as it says, and told once; what it adds stands beside."""
    path = tmp_path / "access.log"
    http = {"forwarded": "append", "request_id": "set", "trace_id": True}
    edits = {"set": [{"name": "X-Request-Id", "value": "rule"}], "remove": ["Forwarded"],
             "add": [{"name": "X-Amzn-Trace-Id", "value": "Root=rule"}]}
    launch(ports.config(net) | {"listeners": [ports.listener(
        "web", "http", 80, "one", http=http, access_log={"path": str(path)},
        rules=[{"priority": 1, "target_group": "one", "request_headers": edits}])]})
    with connect((net.v4, 80)) as client:
        answer = client.request("/echo", headers=[("X-Request-Id", "mine"), ("Forwarded", "for=a")])
    got = [(name.lower(), value) for name, value in answer.json()["headers"]]
    assert [v for n, v in got if n == "x-request-id"] == ["rule"] and "forwarded" not in dict(got)
    traces = [v for n, v in got if n == "x-amzn-trace-id"]
    assert len(traces) == 2 and "Root=rule" in traces
    line = until(path.read_text, "the line is there")
    assert '"request_id":"rule"' in line


@pytest.mark.parametrize("connect", [Connection, http2.connect], ids=["h1", "h2"])
def test_origin_headers(launch, net, connect):
    """Forwarded, ids and the client's port, in both versions; traceparent passes as it came."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    http = {"forwarded": "append", "client_port": True, "request_id": "keep", "trace_id": True}
    launch(ports.config(net) | {"listeners": [ports.listener("web", "http", 80, "one", http=http)]})
    with connect((net.v4, 80)) as client:
        first = told(client, [("Forwarded", "for=a"), ("Traceparent", trace), ("X-Amzn-Trace-Id", "Root=1-2-3")])
        second = told(client, [("X-Request-Id", "mine")])
        long = ", ".join(f"for=_{i}" for i in range(1000))
        assert told(client, [("Forwarded", long)])["forwarded"].startswith(long + ", for="), "no limit of its own"
    address = first["x-forwarded-for"]
    assert re.fullmatch(r"198\.18\.1\.1:\d+", address)
    assert first["forwarded"] == f'for=a, for="{address}";proto=http;host=www.sluice.test'
    assert first["traceparent"] == trace
    assert re.fullmatch(r"Self=1-[0-9a-f]{8}-[0-9a-f]{24};Root=1-2-3", first["x-amzn-trace-id"])
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", second["x-amzn-trace-id"])
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first["x-request-id"])
    assert second["x-request-id"] == "mine"
    assert first["x-amzn-trace-id"][5:40] != second["x-amzn-trace-id"][5:40]


def test_origin_headers_are_not_touched(std, net):
    """Unless it is asked for."""
    headers = [("Forwarded", "for=a"), ("X-Request-Id", "b"), ("X-Amzn-Trace-Id", "c"), ("Tracestate", "d=e")]
    with Connection((net.v4, ports.ONE)) as client:
        got = told(client, headers)
        assert [got[name.lower()] for name, _ in headers] == ["for=a", "b", "c", "d=e"]
        assert not {"forwarded", "x-request-id", "x-amzn-trace-id"} & set(told(client))
