"""What every version of HTTP does for a request, over each that clients and targets may speak: HTTP/1.1 and
HTTP/2, plain and in TLS."""
import hashlib

import pytest

import http2
import standard as ports
from counts import count
from http2 import Http2
from sluiced import IS_SANITIZED
from standard import NO_CHECK, group, listener
from target import pattern, pattern_sha256
from wire import Connection, TlsConnection, milliseconds, until

WWW = "www.sluice.test"


# What is spoken to the client, and to the target; where that has TLS, both have.
PAIRS = [("http/1.1", "http/1.1"), ("http/1.1 tls", "http/1.1"), ("h2c", "http/1.1"), ("h2", "http/1.1"),
         ("http/1.1", "h2"), ("h2", "h2")]
PORTS = {"http/1.1": (ports.HTTP, ports.HTTPS), "h2": (ports.H2, ports.HTTPS_H2)}


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request):
    return request.param


@pytest.fixture
def back(pair):
    return pair[1]


@pytest.fixture
def client(pair, std, net):
    front, (plain, tls) = pair[0], PORTS[pair[1]]
    if front == "http/1.1":
        context = Connection((net.v4, plain))
    elif front == "http/1.1 tls":
        context = TlsConnection((net.v4, tls), WWW)
    elif front == "h2c":
        context = http2.connect((net.v4, plain))
    else:
        context = http2.connect((net.v4, tls), WWW)
    with context as connection:
        yield connection


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_many_requests(client):
    for _ in range(20):
        assert client.request().body.startswith(b"hello")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_methods(client, method):
    answer = client.request("/echo", method, body=b"x" * 10)
    assert (answer.json()["method"], answer.json()["length"]) == (method, 10)


def test_head(client):
    answer = client.request("/bytes/1234", "HEAD")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "1234", b"")
    assert client.request().status == 200


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_statuses(client, status):
    assert client.request(f"/status/{status}").status == status
    assert client.request().status == 200


@pytest.mark.parametrize("path", ["/bytes", "/chunked", "/close"])
@pytest.mark.parametrize("length", [0, 1, 16384, 65535, 65536, 1_000_000])
def test_download(client, path, length):
    answer = client.request(f"{path}/{length}")
    assert (answer.is_cut, len(answer.body), sha256(answer.body)) == (False, length, pattern_sha256(length))


def test_big_download(client):
    length = count("big_bytes")
    assert sha256(client.request(f"/bytes/{length}").body) == pattern_sha256(length)


@pytest.mark.parametrize("length", [1, 16384, 65535, 65537, 1_000_000])
def test_upload(client, length):
    body = b"".join(pattern(length))
    answer = client.request("/echo", "POST", body=body).json()
    assert (answer["length"], answer["sha256"]) == (length, sha256(body))


def test_trailers_of_the_answer(client):
    answer = client.request("/chunked/300000", headers=[("TE", "trailers")])
    assert [t.lower() for t in answer.trailers] == [f"x-sum: {pattern_sha256(300000)}"]


def test_trailers_of_the_request(client, pair):
    """Those behind a length, as HTTP/2 may have them, are left out: the body ends with its last byte."""
    if pair[0].startswith("http/1.1"):
        client.send(f"POST /echo HTTP/1.1\r\nHost: {WWW}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() +
                    b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        answer = client.response().json()
    else:
        answer = client.request("/echo", "POST", body=b"abc", trailers=[("x-sum", "1")]).json()
        known = client.request("/echo", "POST", [("content-length", "3")], b"abc", trailers=[("x-sum", "1")]).json()
        assert (known["length"], known["trailers"]) == (3, [])
    assert (answer["length"], [t.lower() for t in answer["trailers"]]) == (3, ["x-sum: 1"])
    assert client.request().status == 200


def test_early_hints(client):
    answer = client.request("/early-hints")
    assert (answer.status, [i.status for i in answer.interim]) == (200, [103])


def test_headers_reach_the_target(client, back):
    answer = client.request("/echo?a=b&c", headers=[("X-One", "1"), ("Accept", "*/*")]).json()
    headers = {name.lower(): value for name, value in answer["headers"]}
    assert (headers["x-one"], headers["accept"], headers["host"]) == ("1", "*/*", WWW)
    assert headers["x-forwarded-for"].startswith("198.18.")
    assert (answer["path"], answer["version"]) == ("/echo?a=b&c", "HTTP/2" if back == "h2" else "HTTP/1.1")


@pytest.mark.parametrize("fields, length", [(1, 10_000), (3, 9_000)])
def test_a_long_way_here(client, fields, length):
    """X-Forwarded-For has the limits of headers, and no other: the oldest address is still there."""
    way = [", ".join(f"192.0.2.{i % 250}" for i in range(length // 13)) for _ in range(fields)]
    answer = client.request("/echo", headers=[("X-Forwarded-For", part) for part in way])
    assert answer.status == 200
    told = [value for name, value in answer.json()["headers"] if name.lower() == "x-forwarded-for"]
    assert told == [", ".join(way + ["198.18.1.1"])]


def test_headers_of_one_hop_end_here(client):
    answer = client.request("/hop")
    names = {name.lower() for name, _ in answer.headers}
    assert "x-public" in names and not names & {"x-private", "keep-alive", "connection"}


def test_unknown_expectation(client):
    assert client.request(headers=[("Expect", "miracles")]).status == 417


def test_unknown_method(client):
    assert client.request(method="BREW").status == 501


def test_large_header(client):
    """Of 15 KiB: passes; of 17 KiB: refused."""
    assert client.request("/echo", headers=[("X-Big", "x" * 15000)]).status == 200
    assert client.request("/echo", headers=[("X-Big", "x" * 17000)]).status == 431


@pytest.mark.parametrize("path", ["/partial", "/partial-chunked", "/bare-head", "/no-end", "/no-trailers"])
def test_cut_answers_do_not_look_whole(client, path):
    assert client.request(path).is_cut


@pytest.mark.parametrize("path", ["/garbage", "/drop", "/half-head"])
def test_targets_that_fail(client, path):
    assert client.request(path, "POST").status == 502


# --- requests whose body is still to come

class Upload:
    """The head of a POST, of a body of that length."""

    def __init__(self, client, path, length, headers=()):
        self.client, self.stream = client, None
        fields = [*headers, ("content-length", str(length))]
        if isinstance(client, Connection):
            lines = [f"POST {path} HTTP/1.1", f"Host: {WWW}", *(f"{name}: {value}" for name, value in fields)]
            client.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        else:
            self.stream = client.open(path, "POST", fields, ends=False)

    def interim(self):
        if self.stream is None:
            return self.client.head().status
        while not self.client.answers[self.stream].interim:
            assert self.client.more()
        return self.client.answers[self.stream].interim[0].status

    def send(self, data, ends=True):
        if self.stream is None:
            self.client.send(data)
        else:
            self.client.body(self.stream, data, ends)

    def answer(self):
        return self.client.response() if self.stream is None else self.client.answer(self.stream)


EXPECT = [("expect", "100-continue")]


def test_expect_continue(client):
    upload = Upload(client, "/100", 5, EXPECT)
    assert upload.interim() == 100
    upload.send(b"abcde")
    assert upload.answer().json()["length"] == 5
    assert client.request().status == 200


def test_expect_and_send_at_once(client):
    """Who expects 100 need not wait for it (RFC 9110 section 10.1.1), and targets need not send it."""
    upload = Upload(client, "/echo", 5, EXPECT)
    upload.send(b"abcde")
    assert upload.answer().json()["length"] == 5
    assert client.request().status == 200


def test_expect_refused(client):
    """The final answer comes in place of 100; the body is never sent."""
    answer = Upload(client, "/refuse", 500000, EXPECT).answer()
    assert (answer.status, answer.body, answer.interim) == (413, b"large\n", [])


@pytest.mark.parametrize("sent", [1000, 60000])
def test_answer_before_the_body(client, sent):
    upload = Upload(client, "/refuse", 50_000_000)
    upload.send(b"x" * sent, ends=False)
    answer = upload.answer()
    assert (answer.status, answer.body) == (413, b"large\n")


@pytest.mark.parametrize("when", ["in the upload", "waiting", "in the answer"])
def test_client_is_gone(client, targets, pair, when):
    """Its target learns of it, whatever the request has come to. A plain client that ends its side may wait for
    the answer: it is gone when it resets."""
    def sum_of(name):
        return sum(target.stats()[name] for target in targets)
    gone, requests, taken = sum_of("gone"), sum_of("requests"), sum_of("body_bytes")
    if when == "in the upload":
        Upload(client, "/echo", 1000).send(b"abc", ends=False)
        until(lambda: sum_of("body_bytes") > taken, "a target has some of the body")
    else:
        path = "/hang" if when == "waiting" else "/stall"
        if isinstance(client, Connection):
            client.send(f"GET {path} HTTP/1.1\r\nHost: {WWW}\r\n\r\n".encode())
        else:
            client.open(path)
        until(lambda: sum_of("requests") > requests, "a target has the request")
        if when == "in the answer":
            client.head() if isinstance(client, Connection) else client.more()
    client.reset() if pair[0] in ("http/1.1", "h2c") else client.close()
    until(lambda: sum_of("gone") == gone + 1, "the target is told")


# --- bodies of any length

def download(client, length):
    """Its bytes are counted and not kept."""
    if isinstance(client, Connection):
        client.send(f"GET /bytes/{length} HTTP/1.1\r\nHost: {WWW}\r\n\r\n".encode())
        assert client.head().status == 200
        got = len(client.held)
        client.held = b""
        while got < length and (data := client.recv()):
            got += len(data)
        return got
    stream = client.open(f"/bytes/{length}")
    while not client.answers[stream].is_over and client.more():
        client.answers[stream].pieces.clear()
    return client.answers[stream].length


def test_memory_stays_as_it_is(client, std):
    """A body takes no more room on its way than its windows, however long it is."""
    length, piece = count("streamed_bytes"), bytes(1 << 18)
    assert client.request().status == 200
    before = std.peak_rss_bytes(anew=True)
    upload = Upload(client, "/echo", length)
    for at in range(0, length, len(piece)):
        upload.send(piece[:length - at], ends=at + len(piece) >= length)
    assert upload.answer().json()["length"] == length
    assert download(client, length) == length
    assert std.peak_rss_bytes() - before < 4 << 20 or IS_SANITIZED


# --- time-outs

def impatient(net):
    """Ports 80 and 81: in front of targets of HTTP/1.1, and of HTTP/2."""
    short = milliseconds(300)
    rows = [("one", 80, 8080, {}), ("two", 81, 8082, {"protocol_version": "http2"})]
    return {"target_groups": [group(name, "http", net.target_list(port), NO_CHECK, timeouts={"response": short}, **more)
                              for name, _, port, more in rows],
            "listeners": [listener(name, "http", port, name, timeouts={"request_body": short, "idle": short})
                          for name, port, _, _ in rows]}


def reasons(one):
    return {row["reason"]: row["count"] for row in one.api("/v1/counters")["counters"]}


def test_time_outs(net, launch):
    """The body of a request that does not go on, an answer that does not come, one that stops: each ends by its
    own limit and counts under its own name, and others on the connection go on."""
    one = launch(impatient(net))
    counted = dict.fromkeys(("request_body_timeout", "target_timeout", "idle_timeout"), 0)
    for port in (80, 81):
        for dial in (lambda: Connection((net.v4, port)), lambda: Http2(Connection((net.v4, port)))):  # noqa: B023
            for name in counted:
                client = dial()
                if name == "request_body_timeout":
                    upload = Upload(client, "/echo", 1000)
                    upload.send(b"abc", ends=False)
                    assert upload.answer().status == 408
                elif name == "target_timeout":
                    assert client.request("/hang").status == 504
                else:
                    assert client.request("/stall").is_cut
                counted[name] += 1
                until(lambda: reasons(one)[name] == counted[name], "it is counted")  # noqa: B023
                if name == "target_timeout" or isinstance(client, Http2):
                    assert client.request().status == 200
                client.close()
