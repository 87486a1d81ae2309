"""The access log: a line for each request, whatever became of it, as JSON and in AWS's order; files that
come, go, are renamed, are full."""
import json
import re
import shlex
import subprocess
import threading
from datetime import datetime, timezone

import pytest

import access_line
import http2
from net import CLIENTS
from standard import group, listener
from wire import Connection, TlsConnection, milliseconds, until

NAME = "www.sluice.test"
PLAIN, SECURE, ALB, OFF = 80, 443, 81, 82
TRACE = "Root=1-67891233-abcdef012345678912345678"
RULES = [
    {"priority": 5, "name": "old", "conditions": [{"path": "/old/*"}],
     "actions": [{"redirect": {"status": "301", "protocol": "https", "path": "/new"}}]},
    {"priority": 6, "conditions": [{"path": "/fixed"}], "actions": [{"fixed_response": {"status": 418}}]},
    {"priority": 7, "name": "gone", "conditions": [{"path": "/gone"}], "target_group": "refused"},
    {"priority": 9, "name": "much", "conditions": [{"path": "/often"}], "target_group": "web",
     "rate_limit": {"requests_per_second": 1, "requests_burst": 1}},
    {"priority": 10, "name": "empty", "conditions": [{"path": "/empty"}], "target_group": "empty"},
    {"priority": 11, "name": "inside", "conditions": [{"host": "*.tenant.test"}, {"path": "/in/*"}],
     "target_group": "web", "rewrite": {"host": "#{host.1}:81", "path": "/echo/#{path.1}"}},
    {"priority": 12, "name": "hidden", "conditions": [{"path": "/hidden/*"}], "target_group": "web",
     "rewrite": {"host": "#{path.1}", "path": "/echo"}},
    {"priority": 13, "name": "astray", "conditions": [{"path": "/astray/*"}],
     "actions": [{"redirect": {"host": "#{path.1}"}}]},
    {"priority": 8, "name": "late", "conditions": [{"path": "/slow/*"}], "target_group": "impatient"},
]


def config(folder, net, **logs):
    def log(name, **settings):
        return {"access_log": {"path": str(folder / logs.get(name, f"{name}.log"))} | settings}
    limits = {"timeouts": {"header": milliseconds(600)}, "limits": {"header_bytes": 4096, "body_bytes": 1000}}
    return {
        "workers": 2,
        "certificates": net.certificates("default"),
        "target_groups": [
            group("web", "http", net.target_list(8080, 1)),
            group("refused", "http", net.target_list(1, 1), retries={"attempts": 1}),
            group("empty", "http", []),
            group("impatient", "http", net.target_list(8080, 2), timeouts={"response": milliseconds(300)})],
        "listeners": [
            listener("plain", "http", PLAIN, "web", rules=RULES, **limits, **log("access")),
            listener("secure", "https", SECURE, "web", rules=RULES, certificates=["default"], **log("access")),
            listener("alb", "http", ALB, "web", http={"trace_id": True}, **log("alb", format="alb")),
            listener("off", "http", OFF, "web")]}


class Log:
    """A file of the log, and where it was when the test began."""

    def __init__(self, path):
        self.path, self.mark = path, 0
        self.mark = len(self.lines())

    def lines(self):
        return self.path.read_text().splitlines()[self.mark:] if self.path.exists() else []

    def wait(self, number=1):
        """That many lines, and no more."""
        until(lambda: len(self.lines()) >= number, f"{number} lines are in {self.path.name}")
        assert len(self.lines()) == number, self.lines()
        return self.lines()

    def one(self):
        return access_line.parse(self.wait()[0])


@pytest.fixture
def folder(net):
    one = net.folder / "access"
    one.mkdir(exist_ok=True)
    return one


@pytest.fixture
def daemon(net, targets, folder):
    """The sluiced of this file; a test that changes its configuration leaves that to the next."""
    if net.current is None or net.current.role != "access_log":
        net.launch(config(folder, net), "access_log").role = "access_log"
    else:
        net.current.reload(config(folder, net))
    net.current.log_mark = len(net.current.log())
    yield net.current
    assert net.current.is_alive()


@pytest.fixture
def log(daemon, folder):
    return Log(folder / "access.log")


def moment(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


# --- what is in a line

@pytest.mark.parametrize("version", ["1.1", "2"])
def test_forwarded(daemon, net, log, version):
    """Every member, over TLS; the times add up."""
    headers = [("User-Agent", 'a "quoted"\\ agent'), ("X-Amzn-Trace-Id", TRACE)]
    if version == "2":
        with http2.connect((net.v4, SECURE), NAME) as client:
            headers = [(name.lower(), value) for name, value in headers]
            answer = client.request("/slow/40?a=b", "POST", headers, b"x" * 500)
            port = client.wire.sock.getsockname()[1]
    else:
        with TlsConnection((net.v4, SECURE), NAME) as client:
            answer = client.request("/slow/40?a=b", "POST", headers, b"x" * 500)
            port = client.sock.getsockname()[1]
    assert answer.status == 200
    line = log.one()
    assert line["type"] == ("h2" if version == "2" else "https")
    assert line["request_proto"] == ("HTTP/2.0" if version == "2" else "HTTP/1.1")
    assert line["listener"] == "secure" and line["listener_port"] == SECURE
    assert re.fullmatch("TID_[0-9a-f]{16}", line["conn_trace_id"])
    assert line["client_port"] == port and line["client_ip"] == CLIENTS[0]
    assert (line["request_verb"], line["scheme"], line["host"]) == ("POST", "https", NAME)
    assert line["request_uri"] == "/slow/40?a=b"
    assert line["user_agent"] == 'a "quoted"\\ agent' and line["trace_id"] == TRACE
    assert line["elb_status_code"] == line["target_status_code"] == 200
    assert line["received_bytes"] >= 500 and line["sent_bytes"] >= len(answer.body)
    assert line["received_bytes"] < 1000 and line["sent_bytes"] < 1000
    assert 0.04 <= line["target_processing_time"] <= line["duration"]
    spent = sum(line[f"{part}_processing_time"] for part in ("request", "target", "response"))
    assert spent <= line["duration"] + 0.001
    assert 0 <= (datetime.now(timezone.utc) - moment(line["time"])).total_seconds() < 60
    took = (moment(line["time"]) - moment(line["request_creation_time"])).total_seconds()
    assert abs(took - line["duration"]) < 0.00001
    assert (line["rule"], line["matched_rule_priority"]) == ("late", 8)
    assert line["actions_executed"] == "forward" and line["redirect_url"] is None
    assert line["target_group"] == "impatient" and line["tries"] == 1
    assert line["target"] == f"{net.targets[1].v4}:8080" and line["error_reason"] is None
    assert line["ssl_protocol"] == "TLSv1.3" and line["ssl_cipher"].startswith("TLS_")
    assert line["resumed"] is False and line["domain_name"] == NAME and line["chosen_cert"] == "default"


def test_plain(daemon, net, log):
    """Head and body are counted as they were on the wire, for each request of a connection."""
    head = b"GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n"
    with Connection((net.v4, PLAIN)) as client:
        client.send(head % 10 + head % 100)  # the second is here before the first is answered
        sizes = []
        for length in (10, 100):
            answer = client.take_until(b"\r\n\r\n") + client.take(length)
            sizes.append(len(answer))
        lines = [access_line.parse(line) for line in log.wait(2)]
        client.send(head % 1000)
        client.response()
        lines.append(access_line.parse(log.wait(3)[2]))
    assert [line["request_uri"] for line in lines] == ["/bytes/10", "/bytes/100", "/bytes/1000"]
    assert [line["sent_bytes"] for line in lines[:2]] == sizes
    assert [line["received_bytes"] for line in lines] == [len(head % n) for n in (10, 100, 1000)]
    assert len({line["conn_trace_id"] for line in lines}) == 1
    assert all(line["ssl_protocol"] is line["resumed"] is line["chosen_cert"] is None for line in lines)
    assert all((line["type"], line["rule"], line["matched_rule_priority"]) == ("http", "default", 0)
               for line in lines)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_answered_here(daemon, net, log, version):
    """Redirects and fixed responses have no target."""
    def ask(path):
        if version == "2":
            with http2.connect((net.v4, PLAIN)) as client:
                return client.request(path).status
        with Connection((net.v4, PLAIN)) as client:
            return client.request(path).status
    assert ask("/old/x?y") == 301 and ask("/fixed") == 418
    old, fixed = sorted((access_line.parse(line) for line in log.wait(2)), key=lambda line: line["elb_status_code"])
    assert old["actions_executed"] == "redirect" and old["redirect_url"] == f"https://{NAME}/new?y"
    assert (old["elb_status_code"], old["rule"], old["matched_rule_priority"]) == (301, "old", 5)
    assert fixed["actions_executed"] == "fixed-response" and fixed["matched_rule_priority"] == 6
    for line in (old, fixed):
        assert line["target"] is line["target_group"] is line["target_status_code"] is None
        assert line["request_processing_time"] is line["target_processing_time"] is None
        assert line["error_reason"] is None and line["tries"] == 0


def ask_raw(client, request):
    client.send(request)
    return client.response().status


REFUSED = {
    "bad_request": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, None),
    "header_too_large": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5000 + b"\r\n\r\n", 431, None),
    "header_timeout": (b"GET / HTTP/1.1\r\nHost: x\r\n", 408, None),
    "body_too_large": (b"POST /much HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413, "/much"),
    "target_refused": (b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n", 502, "/gone"),
    "target_timeout": (b"GET /slow/9000 HTTP/1.1\r\nHost: x\r\n\r\n", 504, "/slow/9000"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refused(daemon, net, log, reason):
    """Also what never became a request."""
    request, status, uri = REFUSED[reason]
    with Connection((net.v4, PLAIN)) as client:
        assert ask_raw(client, request) == status
        line = log.one()
    assert (line["elb_status_code"], line["error_reason"]) == (status, reason)
    assert line["request_uri"] == uri and line["target_status_code"] is None
    assert (line["request_verb"] is None) == (uri is None)
    assert line["target_processing_time"] is None
    assert (line["classification"] == "severe") == (reason == "bad_request")
    if reason == "target_refused":
        assert line["target"] == f"{net.targets[0].v4}:1" and line["tries"] == 2
        assert line["request_processing_time"] is None
    if reason == "target_timeout":
        assert line["request_processing_time"] is not None and line["duration"] >= 0.3


# What becomes of a request, by its path: status, rule, what is said to have been done.
ACTIONS = [
    (b"/echo", 200, "default", "forward"),
    (b"/often", 200, "much", "forward"),
    (b"/often", 429, "much", None),
    (b"/empty", 503, "empty", "forward"),
    (b"/gone", 502, "gone", "forward"),
    (b"/slow/9000", 504, "late", "forward"),
    (b"/hidden/a@b", 400, "hidden", "forward"),
    (b"/fixed", 418, None, "fixed-response"),
    (b"/old/x", 301, "old", "redirect"),
    (b"/astray/a%", 400, "astray", "redirect"),
]


def test_actions(daemon, net, log):
    """Of each answer that can be without a target, and of those that cannot."""
    for n, (path, status, rule, action) in enumerate(ACTIONS):
        with Connection((net.v4, PLAIN)) as client:
            assert ask_raw(client, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n") == status, path
            line = access_line.parse(log.wait(n + 1)[n])
        assert (line["elb_status_code"], line["actions_executed"]) == (status, action), line
        assert rule is None or line["rule"] == rule


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_transformed(daemon, net, log, version):
    """What rewrites made of host and path, or why they could not."""
    rows = [("/in/a?b", "c.tenant.test", 200, "c:81", "/echo/a?b", "TransformSuccess"),
            ("/hidden/a", "x", 200, "a", "/echo", "TransformSuccess"),
            ("/hidden/a@b", "x", 400, None, None, "TransformInvalidHost"),
            ("/echo", "x", 200, None, None, None)]
    for n, (path, host, status, told_host, told_uri, word) in enumerate(rows):
        with (http2.connect if version == "2" else Connection)((net.v4, PLAIN)) as client:
            assert client.request(path, host=host).status == status
        line = access_line.parse(log.wait(n + 1)[n])
        assert (line["request_uri"], line["host"]) == (path, host)
        assert [line[k] for k in ("transformed_host", "transformed_uri", "request_transform_status")] == [
            told_host, told_uri, word]


def test_refused_over_http2(daemon, net, log):
    with http2.connect((net.v4, PLAIN)) as client:
        assert client.request("/echo", headers=[("host", "other.test")]).status == 400
        line = log.one()
    assert (line["type"], line["elb_status_code"], line["error_reason"]) == ("h2", 400, "bad_request")
    assert line["request_uri"] is line["target"] is None and line["classification"] == "severe"


def test_reset_over_http2(daemon, net, log):
    """A request that is no request is reset, without an answer; the others of its connection go on."""
    with http2.connect((net.v4, PLAIN)) as client:
        stream = client.open("/echo", headers=[("transfer-encoding", "chunked")])
        assert client.answer(stream).error == 1  # PROTOCOL_ERROR
        line = log.one()
        assert client.request("/echo").status == 200
    assert (line["type"], line["elb_status_code"], line["error_reason"]) == ("h2", None, "bad_request")
    assert (line["received_bytes"], line["sent_bytes"], line["request_uri"]) == (0, 0, None)
    assert (line["classification"], line["classification_reason"]) == ("severe", "bad_h2_request")


def test_far_too_large_over_http2(daemon, net, log):
    """One of more than four times what a head may have is not read to its end: it is reset. Less gets 431."""
    with http2.connect((net.v4, PLAIN)) as client:
        assert client.request("/echo", headers=[("x-a", "b" * 5000)]).status == 431
        stream = client.open("/echo", headers=[(f"x-{n}", "b" * 5000) for n in range(4)])
        assert client.answer(stream).error == 2  # INTERNAL_ERROR
        assert client.request("/echo").status == 200
    lines = [access_line.parse(line) for line in log.wait(3)]
    assert [(line["elb_status_code"], line["error_reason"]) for line in lines] == [
        (431, "header_too_large"), (None, "header_too_large"), (200, None)]
    assert lines[1]["type"] == "h2" and lines[1]["request_uri"] is lines[1]["classification"] is None


def test_ids(daemon, net, folder):
    """As the target was told them."""
    log = Log(folder / "access.log")
    changed = config(folder, net)
    changed["listeners"][0]["http"] = {"trace_id": True, "request_id": "keep"}
    daemon.reload(changed)
    with Connection((net.v4, PLAIN)) as client:
        told = dict(client.request("/echo").json()["headers"])
        client.request("/echo", headers=[("X-Request-Id", "mine")])
    first, second = [access_line.parse(line) for line in log.wait(2)]
    assert first["request_id"] == told["X-Request-Id"] and first["trace_id"] == told["X-Amzn-Trace-Id"]
    assert second["request_id"] == "mine" and second["trace_id"].startswith("Root=1-")


def test_ambiguous(daemon, net, log):
    """What was forwarded all the same, and why it might not have been."""
    with Connection((net.v4, PLAIN)) as client:
        assert client.request("/", headers=[("Content_Length", "3")]).status == 200
    line = log.one()
    assert (line["classification"], line["classification_reason"]) == ("ambiguous", "suspicious_header")
    assert line["error_reason"] is None


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_client_gone(daemon, net, log, version):
    """While the answer is on its way."""
    if version == "2":
        with http2.connect((net.v4, PLAIN)) as client:
            client.open("/drip/10000")
            until(lambda: client.more() and client.answers and client.answers[1].length >= 10000, "it begins")
            client.reset()
    else:
        with Connection((net.v4, PLAIN)) as client:
            client.send(b"GET /drip/10000 HTTP/1.1\r\nHost: x\r\n\r\n")
            client.take(10000)
            client.reset()
    line = log.one()
    assert line["error_reason"] in ("client_reset", "client_gone") and line["sent_bytes"] >= 10000
    assert line["elb_status_code"] == line["target_status_code"] == 200


def test_nothing_asked(daemon, net, log):
    """A connection without a request, and one that is idle, have no line."""
    Connection((net.v4, PLAIN)).close()
    with Connection((net.v4, PLAIN)) as client:
        client.send(b"GET /")
    with Connection((net.v4, PLAIN)) as client:
        assert client.request().status == 200
    assert log.one()["request_uri"] == "/"


def test_websocket(daemon, net, log):
    """At its end, with what has gone through."""
    with TlsConnection((net.v4, SECURE), NAME) as client:
        client.send(b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert client.head().status == 101
        client.send(b"x" * 5000)
        assert client.take(5000) == b"x" * 5000
        assert not log.lines()
    line = log.one()
    assert (line["type"], line["elb_status_code"], line["target_status_code"]) == ("wss", 101, 101)
    assert 5000 < line["received_bytes"] < 5500 and 5000 < line["sent_bytes"] < 5500
    assert line["request_uri"] == "/upgrade" and line["target"] == f"{net.targets[0].v4}:8080"


def test_forging(daemon, net, log, folder):
    """Quotes, backslashes and bytes beyond ASCII, in a header and in the path."""
    evil = 'x" 200 - "\\x22\\u0022\xff\t}'
    with Connection((net.v4, PLAIN)) as client:
        client.send(b'GET /"\\"?\\ HTTP/1.1\r\nHost: x\r\nUser-Agent: ' + evil.encode("latin-1") + b"\r\n\r\n")
        status = client.response().status
    line = log.one()
    assert line["elb_status_code"] == status
    assert status == 400 or (line["user_agent"], line["request_uri"]) == (evil, '/"\\"?\\')
    alb = Log(folder / "alb.log")
    with Connection((net.v4, ALB)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: " + evil.encode("latin-1") + b"\r\n\r\n")
        assert client.response().status == 200
    fields = shlex.split(alb.wait()[0].replace("\\", "\\\\"))
    assert len(fields) == 33 and fields[13] == 'x\\x22 200 - \\x22\\x5cx22\\x5cu0022\\xff\\x09}'


def test_alb(daemon, net, folder):
    """As Athena's table of AWS's documentation splits it."""
    number, text, quoted = r"(-1|\d+\.\d{6})", r"(\S+)", '"([^"]*)"'
    stamp = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
    pattern = " ".join([text, stamp, text, text, text, number, number, number, r"(\d+|-)", r"(\d+|-)",
                        r"(\d+)", r"(\d+)", r'"(\S+) (\S+) (\S+)"', quoted, text, text, text, quoted, quoted,
                        quoted, r"(-?\d+)", stamp] + [quoted] * 7 + [text] + [quoted] * 3)
    log = Log(folder / "alb.log")
    with Connection((net.v4, ALB)) as client:
        assert client.request("/status/404?q", headers=[("X-Amzn-Trace-Id", TRACE)]).status == 404
    found = re.fullmatch(pattern, log.wait()[0])
    assert found, log.lines()
    fields = found.groups()
    target = f"{net.targets[0].v4}:8080"
    assert fields[0] == "http" and fields[2] == "alb" and fields[4] == target
    assert fields[8:10] == ("404", "404")
    assert fields[12:15] == ("GET", f"http://{NAME}:{ALB}/status/404?q", "HTTP/1.1")
    assert fields[15:19] == ("-", "-", "-", "web")
    assert re.fullmatch(f"Self=1-[0-9a-f]{{8}}-[0-9a-f]{{24}};{TRACE}", fields[19])
    assert fields[22] == "0" and fields[24:27] == ("forward", "-", "-")
    assert fields[27:29] == (target, "404") and fields[31].startswith("TID_")
    assert fields[32:] == ("-", "-", "-")


# --- files

def test_every_request(daemon, net, log):
    """From all workers, and both listeners with that file, in one file."""
    for _ in range(20):
        with Connection((net.v4, PLAIN)) as client, TlsConnection((net.v4, SECURE), NAME) as secure:
            for number in range(5):
                assert client.request(f"/status/20{number}").status == 200 + number
                assert secure.request().status == 200
    lines = [access_line.parse(line) for line in log.wait(200)]
    assert sum(line["listener"] == "plain" for line in lines) == 100
    row = next(row for row in daemon.api("/v1/status")["access_logs"] if row["path"] == str(log.path))
    assert row["open"] and row["lines"] >= 200 and row["dropped_full"] == row["dropped_error"] == 0


def test_faster_than_its_time(daemon, net, log):
    """Seven megabytes, before it is time to write."""
    number, head = 1800, b"GET /fixed?" + b"x" * 3500 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    with Connection((net.v4, PLAIN)) as client:
        sender = threading.Thread(target=lambda: client.send(head * number))
        sender.start()
        for _ in range(number):
            assert client.response().status == 418
        sender.join()
    log.wait(number)
    row = next(row for row in daemon.api("/v1/status")["access_logs"] if row["path"] == str(log.path))
    assert row["dropped_full"] == 0


def test_reopened(daemon, net, log, folder):
    """After a rename lines go to the old file until it is opened again, then to the new one."""
    with Connection((net.v4, PLAIN)) as client:
        client.request("/status/201")
        log.wait()
        renamed = log.path.rename(folder / "access.old")
        client.request("/status/202?renamed")
        until(lambda: "/status/202?renamed" in renamed.read_text(), "it is in the old file")
        daemon.ctl("log", "reopen")
        client.request("/status/203")
        log.mark = 0
        assert log.one()["elb_status_code"] == 203


def test_reload(daemon, net, folder):
    """A connection that was open before goes over with its next request; one that is asked for meanwhile
    is written where it began; the file is closed when nobody has it."""
    first, second = Log(folder / "alb.log"), Log(folder / "other.log")
    with Connection((net.v4, ALB)) as client, Connection((net.v4, ALB)) as slow:
        client.request("/status/201")
        first.wait()
        slow.send(b"GET /slow/700 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: net.targets[0].stats()["paths"].get("slow"), "it is asked")
        daemon.reload(config(folder, net, alb="other.log"))
        client.request("/status/202")
        assert " 202 202 " in second.wait()[0]
        assert slow.response().status == 200
        assert "/slow/700" in first.wait(2)[1]
    until(lambda: str(first.path) not in [row["path"] for row in daemon.api("/v1/status")["access_logs"]],
          "it is closed")
    changed = config(folder, net)
    del changed["listeners"][2]["access_log"]
    daemon.reload(changed)
    with Connection((net.v4, ALB)) as client:
        client.request("/status/203")
    daemon.reload(config(folder, net))
    with Connection((net.v4, ALB)) as client:
        client.request("/status/204")
    assert " 204 204 " in first.wait(3)[2] and len(second.wait()) == 1


def test_what_cannot_be(daemon, net, folder):
    """Refused with place and reason; nothing changes."""
    def refusal(listener, **access_log):
        changed = config(folder, net)
        changed["listeners"][listener]["access_log"] = access_log
        daemon.write(changed)
        status, _, err = daemon.ctl("reload", check=False)
        assert status != 0 and "access_log.path" in err
        return err
    assert "No such file" in refusal(0, path=str(folder / "no/such/x.log"))
    assert "in another format" in refusal(2, path=str(folder / "access.log"), format="alb")
    changed = config(folder, net) | {"log": {"connections": str(folder / "access.log")}}
    daemon.write(changed)
    status, _, err = daemon.ctl("reload", check=False)
    assert status != 0 and "log.connections" in err


def test_full_disk(daemon, net, folder):
    """Counted, said once; requests go on; written again when there is room."""
    small = folder / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        daemon.reload(config(folder, net, access="small/x.log"))
        (small / "ballast").write_bytes(b"x" * 56 * 1024)
        with Connection((net.v4, PLAIN)) as client:
            def ask():
                assert client.request().status == 200
                return next(row for row in daemon.api("/v1/status")["access_logs"] if "small" in row["path"])
            until(lambda: ask()["dropped_error"] > 0, "lines are dropped", pause=0)
            assert "No space left" in until(lambda: ask()["error"], "the error is shown")
            assert daemon.log()[daemon.log_mark:].count("access log: cannot write") == 1
            (small / "ballast").unlink()
            until(lambda: not ask()["error"], "it is written again")
        for line in (small / "x.log").read_text().splitlines():
            if line.endswith("}"):
                json.loads(line)
    finally:
        daemon.reload(config(folder, net))
        until(lambda: subprocess.run(["umount", small], check=False).returncode == 0, "the file is closed")


def test_stop(launch, net, folder):
    """What was answered is written before the process ends."""
    log = Log(folder / "access.log")
    one = launch(config(folder, net))
    with Connection((net.v4, PLAIN)) as client:
        for _ in range(50):
            assert client.request().status == 200
    net.halt()
    assert not one.is_alive()
    assert len(log.lines()) == 50
