"""HTTP/1.1 edge cases, sent as bytes: framing, keep-alive, bodies, upgrades, refusals, time-outs,
slow and vanishing clients, targets that misbehave."""
import hashlib
import socket
import time

import pytest

import standard as ports
from counts import count
from sluiced import IS_SANITIZED
from target import pattern, pattern_sha256
from wire import SMALL_BUFFER, Connection, TlsConnection, patience, until

HOST = b"Host: www.sluice.test\r\n"


@pytest.fixture(params=["http", "https"])
def client(request, std, net):
    """A keep-alive connection to the http and the https listener."""
    if request.param == "http":
        connection = Connection((net.v4, ports.HTTP))
    else:
        connection = TlsConnection((net.v4, ports.HTTPS), "www.sluice.test")
    with connection:
        yield connection


@pytest.fixture
def one(std, net):
    """A connection to the listener whose group has one target only."""
    with Connection((net.v4, ports.ONE)) as connection:
        yield connection


def header(answer, name):
    """What the target got for a header, as a list."""
    return [v for k, v in answer.json()["headers"] if k.lower() == name.lower()]


# --- keep-alive, pipelining, methods

def test_keep_alive_on_both_sides(one, targets):
    """Many requests, one connection to the target."""
    served = [one.request("/echo").json()["served"] for _ in range(5)]
    assert served == sorted(served) and served[-1] - served[0] == 4


def test_head_and_body_apart(one, net):
    """Senders that wait with the body until the head is acknowledged: they need not wait long for it."""
    one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    before = net.tcp_extension("DelayedACKs")
    for number in range(40):
        body = b"body %d" % number
        one.send(b"POST /apart HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, len(body)))
        one.send(body)
        assert one.response().body == body
    assert net.tcp_extension("DelayedACKs") - before < 20, "80 messages came in two parts"


def test_pipelining(client):
    """Answers come whole and in order."""
    client.send(b"".join(b"GET /bytes/%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in (1000, 0, 70000, 5)))
    bodies = [client.response().body for _ in range(4)]
    assert bodies == [b"".join(pattern(n)) for n in (1000, 0, 70000, 5)]


def test_pipelining_with_bodies(client):
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc"
                b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
                b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert client.response().json()["length"] == 3
    assert client.response().json()["sha256"] == hashlib.sha256(b"de").hexdigest()
    assert client.response("HEAD").body == b""
    assert client.response().body.startswith(b"hello")


def test_head(client):
    answer = client.request("/bytes/1234", "HEAD")
    assert answer.status == 200 and answer.get("content-length") == "1234"
    assert client.request().status == 200, "the connection is in step after HEAD"


@pytest.mark.parametrize("status", [204, 304, 404, 500])
def test_statuses_pass(client, status):
    assert client.request(f"/status/{status}").status == status
    assert client.request().status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(client, method):
    answer = client.request("/echo", method, body=b"x" * 10)
    assert answer.json()["method"] == method and answer.json()["length"] == 10


def test_early_hints_pass(client):
    answer = client.request("/early-hints")
    assert answer.status == 200 and [i.status for i in answer.interim] == [103]


def test_http_1_0(std, net):
    """Answered and closed; no chunks, which HTTP/1.0 does not know."""
    with Connection((net.v4, ports.HTTP)) as connection:
        connection.send(b"GET /chunked/100000 HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = connection.response()
        assert answer.status == 200 and answer.get("transfer-encoding") is None
        assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(100000)
        assert connection.is_ended()


def test_connection_close(client):
    answer = client.request(headers=[("Connection", "close")])
    assert answer.status == 200 and answer.get("connection") == "close"
    assert client.is_ended()


def test_requests_per_connection(std, net):
    with Connection((net.v4, ports.REQUESTS_3)) as connection:
        answers = [connection.request().get("connection", "keep-alive") for _ in range(3)]
        assert answers == ["keep-alive", "keep-alive", "close"]
        assert connection.is_ended()


def test_lifetime(std, net):
    """Of a connection: what comes later is its last, and has its answer."""
    with Connection((net.v4, ports.LIFETIME)) as connection:
        began, said = time.monotonic(), ""
        while said != "close":
            answer = connection.request()
            assert answer.status == 200
            said = answer.get("connection", "keep-alive")
            assert time.monotonic() - began < patience(10)
        assert time.monotonic() - began > 0.4
        assert connection.is_ended()
    with Connection((net.v4, ports.LIFETIME)) as connection:
        answer = connection.request("/slow/900")
        assert answer.status == 200 and answer.get("connection", "keep-alive") == "keep-alive"
        assert connection.request().get("connection") == "close"


# --- bodies

@pytest.mark.parametrize("path", ["/bytes", "/chunked", "/close"])
def test_download(client, path):
    length = count("big_bytes")
    answer = client.request(f"{path}/{length}")
    assert not answer.is_cut and hashlib.sha256(answer.body).hexdigest() == pattern_sha256(length)


def test_chunked_answer_with_trailer(client):
    answer = client.request("/chunked/300000", headers=[("TE", "trailers")])
    assert answer.get("transfer-encoding") == "chunked"
    assert [t.lower() for t in answer.trailers] == [f"x-sum: {pattern_sha256(300000)}"]
    assert client.request().status == 200


def test_upload(client):
    length = count("big_bytes")
    client.send(b"POST /echo HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, length))
    for piece in pattern(length):
        client.send(piece)
    answer = client.response().json()
    assert (answer["length"], answer["sha256"]) == (length, pattern_sha256(length))


def test_upload_chunked_with_trailer(client):
    """Every chunk boundary is the client's own; extensions are allowed; trailers arrive."""
    length = 200_000
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n")
    for piece in pattern(length):
        client.send(b"%x;name=value\r\n" % 1 + piece[:1] + b"\r\n%X\r\n" % (len(piece) - 1) + piece[1:] + b"\r\n")
    client.send(b"0\r\nX-End: yes\r\n\r\n")
    answer = client.response().json()
    assert (answer["length"], answer["sha256"]) == (length, pattern_sha256(length))
    assert [t.lower() for t in answer["trailers"]] == ["x-end: yes"]
    assert client.request().status == 200


def test_head_in_single_bytes(client):
    for byte in b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    assert client.response().json()["length"] == 3


def test_100_continue(client):
    """The client waits for 100 before it sends the body."""
    client.send(b"POST /100 HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert client.head().status == 100
    client.send(b"abcde")
    answer = client.response()
    assert answer.status == 200 and answer.json()["length"] == 5 and not answer.interim


def test_100_continue_refused_by_the_target(client):
    """An early final answer reaches the client without 100; the body is never sent."""
    client.send(b"POST /refuse HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 500000\r\n\r\n")
    answer = client.response()
    assert answer.status == 413 and not answer.interim
    assert answer.body == b"large\n"


def test_target_answers_before_the_body(client):
    """The client is still sending when the target answers and closes."""
    client.send(b"POST /refuse HTTP/1.1\r\n" + HOST + b"Content-Length: 50000000\r\n\r\n" + b"x" * 1000)
    assert client.response().status == 413


def test_unknown_expectation(client):
    client.send(b"GET / HTTP/1.1\r\n" + HOST + b"Expect: miracles\r\n\r\n")
    assert client.response().status == 417


def test_upgrade_tunnel(client):
    client.send(b"GET /upgrade HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nearly")
    answer = client.response()
    assert answer.status == 101 and answer.get("upgrade") == "websocket"
    assert client.take(5) == b"early"
    data = b"".join(pattern(300_000))
    for start in range(0, len(data), 20_000):
        client.send(data[start:start + 20_000])
        assert client.take(len(data[start:start + 20_000])) == data[start:start + 20_000]
    client.finish()
    assert client.is_ended()


def test_upgrade_declined(client):
    """A target that answers something else keeps the connection in HTTP."""
    answer = client.request("/echo", headers=[("Connection", "Upgrade"), ("Upgrade", "other")])
    assert answer.status == 200
    assert client.request().status == 200


# --- headers

def test_forwarded_headers(std, net, address):
    for port, proto, make in ((ports.HTTP, "http", Connection), (ports.HTTPS, "https", TlsConnection)):
        with make((address, port)) as connection:
            answer = connection.request("/echo")
            source = "198.18.1.1" if address == net.v4 else "fd51:1::1"
            assert header(answer, "x-forwarded-for") == [source]
            assert header(answer, "x-forwarded-proto") == [proto]
            assert header(answer, "x-forwarded-port") == [str(port)]
            assert header(answer, "host") == ["www.sluice.test"]


def test_forwarded_for_modes(std, net):
    """append keeps what came and adds the client; forged proto and port never reach the target."""
    forged = [("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Port", "1")]
    for port, expected in ((ports.ONE, ["203.0.113.1, 198.18.1.1"]), (ports.XFF_PRESERVE, ["203.0.113.1"]),
                           (ports.XFF_REMOVE, [])):
        with Connection((net.v4, port)) as connection:
            answer = connection.request("/echo", headers=forged)
            joined = [", ".join(header(answer, "x-forwarded-for"))] if header(answer, "x-forwarded-for") else []
            assert joined == expected
            assert header(answer, "x-forwarded-proto") == ["http"]
            assert header(answer, "x-forwarded-port") == [str(port)]


def test_hop_by_hop_removed(client):
    answer = client.request("/echo", headers=[
        ("Connection", "X-Private, keep-alive"), ("X-Private", "1"), ("Keep-Alive", "timeout=9"),
        ("Proxy-Authorization", "Basic eDp5"), ("Proxy-Connection", "keep-alive"), ("TE", "gzip"),
        ("X-Public", "2")])
    for name in ("x-private", "keep-alive", "proxy-connection"):
        assert header(answer, name) == [], name
    assert header(answer, "te") in ([], ["trailers"])
    assert header(answer, "x-public") == ["2"]
    answer = client.request("/hop")
    for name in ("x-private", "keep-alive", "proxy-connection"):
        assert answer.get(name) is None, name
    assert answer.get("x-public") == "2"
    assert "X-Private" not in (answer.get("connection") or "")


def test_headers_pass_unchanged(client):
    """Order, repetition and bytes of fields that are none of our business."""
    fields = [("Cookie", "a=1"), ("X-Same", "1"), ("x-same", "2"), ("Accept", "text/html;q=0.5, */*"),
              ("X-Bytes", "\xe4\xf6\xfc"), ("X-Empty", "")]
    answer = client.request("/echo", headers=fields)
    names = {name.lower() for name, _ in fields}
    got = [(k.lower(), v) for k, v in answer.json()["headers"] if k.lower() in names]
    assert got == [(k.lower(), v) for k, v in fields]


def test_query_and_odd_paths(client):
    for path in ("/echo?a=b&c=%20d//e", "/echo/%2e%2e/x;y=z", "/echo//double", "/echo?"):
        assert client.request(path).json()["path"] == path


def test_absolute_form(client):
    client.send(b"GET http://www.sluice.test/echo?x=1 HTTP/1.1\r\n" + HOST + b"\r\n")
    answer = client.response()
    assert answer.status == 200 and answer.json()["path"].endswith("/echo?x=1")


# --- what is refused

GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKS = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "no version": (b"GET /\r\n\r\n", (400, 505)),
    "garbage": (b"\x00\x01\x02 nonsense\r\n\r\n", (400,)),
    "version 2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", (505,)),
    "version 1.9": (b"GET / HTTP/1.9\r\n" + HOST + b"\r\n", (505, 400)),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", (400,)),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400,)),
    "bad host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", (400,)),
    "host differs": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    "space before colon": (GET + b"X : y\r\n\r\n", (400,)),
    "folded": (GET + b"X: a\r\n b\r\n\r\n", (400,)),
    "nul": (GET + b"X: a\0b\r\n\r\n", (400,)),
    "bare cr": (GET + b"X: a\rb\r\n\r\n", (400,)),
    "bare lf": (b"GET / HTTP/1.1\nHost: a\n\n", (400,)),
    "empty name": (GET + b": a\r\n\r\n", (400,)),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", (400,)),
    "space in target": (b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n", (400, 505)),
    "connect": (b"CONNECT www.sluice.test:443 HTTP/1.1\r\nHost: www.sluice.test:443\r\n\r\n", (405, 400, 501)),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", (501, 400)),
    "length and coding": (POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", (400,)),
    "coding and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX", (400,)),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400,)),
    "same length twice": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", (400,)),
    "list of lengths": (POST + b"Content-Length: 1, 1\r\n\r\na", (400,)),
    "signed length": (POST + b"Content-Length: +1\r\n\r\na", (400,)),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", (400,)),
    "hex length": (POST + b"Content-Length: 0x1\r\n\r\na", (400,)),
    "huge length": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
    "coding twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    "chunked not last": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    "gzip coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (501, 400)),
    "odd coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n", (501, 400)),
    "vertical tab coding": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    "coding in 1.0": (b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    "chunk size": (CHUNKS + b"xyz\r\n", (400,)),
    "chunk size prefix": (CHUNKS + b"0x3\r\nabc\r\n0\r\n\r\n", (400,)),
    "chunk end": (CHUNKS + b"3\r\nabcdef\r\n0\r\n\r\n", (400,)),
    "huge chunk": (CHUNKS + b"fffffffffffffffff\r\n", (400, 413)),
    "chunk lf": (CHUNKS + b"3\nabc\n0\n\n", (400,)),
    "long line": (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", (414,)),
    "long header": (GET + b"X: " + b"a" * 200_000 + b"\r\n\r\n", (431,)),
    "many headers": (GET + b"X: y\r\n" * 5000 + b"\r\n", (431,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(std, net, targets, name):
    """Answered with the right status and closed: what follows is never taken for a request."""
    data, statuses = REFUSED[name]
    with Connection((net.v4, ports.ONE)) as connection:
        try:
            connection.send(data + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
        except ConnectionError:
            pass  # refused before the last byte was sent
        answer = connection.response()
        assert answer.status in statuses, answer
        assert answer.get("connection") == "close"
        assert connection.is_ended(), "the connection is closed after a refusal"
    assert "smuggled" not in targets[0].stats()["paths"]


@pytest.mark.parametrize("data,status", [
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 5000 + b"\r\n\r\n", 431),
    (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1025\r\n\r\n", 413),
    (CHUNKS + b"401\r\n" + b"x" * 1025 + b"\r\n0\r\n\r\n", 413),
], ids=["line", "header", "length", "chunked"])
def test_limits_of_the_listener(std, net, data, status):
    with Connection((net.v4, ports.STRICT)) as connection:
        connection.send(data)
        assert connection.response().status == status
        assert connection.is_ended()


def test_limits_are_not_reached_below(std, net):
    with Connection((net.v4, ports.STRICT)) as connection:
        assert connection.request("/echo", "POST", body=b"x" * 1024).json()["length"] == 1024


def test_connection_limit(std, net):
    """limits.connections holds for the listener, however many workers there are."""
    before = std.drops()["listener_limit"]
    kept = []
    try:
        for _ in range(3):
            kept.append(Connection((net.v4, ports.CONNECTION_LIMIT)))
            assert kept[-1].request().status == 200
        with Connection((net.v4, ports.CONNECTION_LIMIT)) as fourth:
            try:
                fourth.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
                data = fourth.rest()
            except ConnectionError:
                data = b""
            assert b" 200 " not in data
        assert std.drops()["listener_limit"] > before
    finally:
        for connection in kept:
            connection.close()

    def is_served_again():
        with Connection((net.v4, ports.CONNECTION_LIMIT)) as connection:
            try:
                return connection.request().status == 200
            except (EOFError, ConnectionError):
                return False
    until(is_served_again, "a place is free again")


# --- what targets do

@pytest.mark.parametrize("port,status", [(ports.REFUSED, 502), (ports.EMPTY, 503)])
def test_no_target(std, net, port, status):
    with Connection((net.v4, port)) as connection:
        assert connection.request().status == status


def test_target_too_slow(std, net, targets):
    with Connection((net.v4, ports.IMPATIENT)) as connection:
        assert connection.request("/slow/100").status == 200
        assert connection.request("/hang").status == 504
    until(lambda: sum(t.stats()["gone"] for t in targets) == 1, "the target's connection is closed")


def test_target_stalls_in_the_body(std, net):
    """timeouts.idle; the client sees that the body is not whole."""
    with Connection((net.v4, ports.IMPATIENT)) as connection:
        answer = connection.request("/stall")
        assert answer.status == 200 and answer.is_cut


@pytest.mark.parametrize("path", ["/garbage", "/drop"])
def test_target_speaks_no_http(client, path):
    assert client.request(path, "POST").status == 502


def test_target_cuts_the_body(client):
    answer = client.request("/partial")
    assert answer.status == 200 and answer.is_cut and len(answer.body) == 500


def test_target_cuts_chunks(client):
    answer = client.request("/partial-chunked")
    assert answer.status == 200 and answer.is_cut and answer.body.startswith(b"hello")


def test_target_closes_idle_connection(std, net, targets):
    """A target that closes after each answer: the next request gets another connection, never 502."""
    with Connection((net.v4, ports.ONE)) as connection:
        for _ in range(30):
            assert connection.request("/last").status == 200


def test_target_restarted_between_requests(std, net, targets):
    """Pooled connections of a target that was restarted are noticed before or while reused."""
    with Connection((net.v4, ports.ONE)) as connection:
        assert connection.request().status == 200
        targets[0].kill()
        targets[0].start()
        assert connection.request().status == 200


# --- slow and vanishing clients

def test_slow_client_bounds_memory(std, net):
    """A large answer waits for a client that does not read: the target waits too."""
    length = count("slow_client_bytes")
    clients = []
    before = std.rss_bytes()
    try:
        for make, port in ((Connection, ports.HTTP), (TlsConnection, ports.HTTPS)):
            for _ in range(3):
                client = make((net.v4, port), receive_buffer=65536)
                client.send(b"GET /bytes/%d HTTP/1.1\r\n%b\r\n" % (length, HOST))
                client.take(1000)
                clients.append(client)
        # Whatever could be taken in is in when the daemon's figure rests.
        grown = std.rested_rss_bytes() - before
        print(f"memory for 6 waiting bodies of {length} bytes: {grown >> 10} KiB")
        assert grown < 24 << 20 or IS_SANITIZED
    finally:
        for client in clients:
            client.close()


def test_slow_reader_gets_everything(std, net):
    """Read in bits with small buffers: every byte is there."""
    length = 3_000_000
    with TlsConnection((net.v4, ports.HTTPS), receive_buffer=SMALL_BUFFER) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\n%b\r\n" % (length, HOST))
        answer = client.response()
    assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(length)


def test_upload_to_a_slow_target(std, net):
    """The client is held back: memory stays bounded while the target reads next to nothing."""
    length, sent = 100_000_000, 0
    before = std.rss_bytes()
    with Connection((net.v4, ports.ONE)) as client:
        client.send(b"POST /sink/5000 HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, length))

        def is_stopped():
            nonlocal sent
            pushed = client.push()
            sent += pushed
            assert sent < length // 2, "as much as that is not in the buffers of sockets"
            return not pushed
        until(is_stopped, "nothing more is taken", pause=0.3)
        assert std.rss_bytes() - before < 16 << 20 or IS_SANITIZED
        client.reset()  # it would take minutes else until the target has what it is owed


@pytest.mark.parametrize("data", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["byte", "half"])
def test_slow_head(std, net, data):
    """A head that has begun and does not come is answered with 408."""
    with Connection((net.v4, ports.STRICT)) as client:
        client.send(data)
        got = client.rest()
        assert got.startswith(b"HTTP/1.1 408 ")


def test_trickled_head(std, net):
    """A byte now and then does not extend timeouts.header: it counts from the first byte."""
    with Connection((net.v4, ports.STRICT), timeout=0.1) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        got = b""

        def is_over():
            nonlocal got
            try:
                client.send(b"X: y\r\n")
                data = client.recv()
                got += data
                return data == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        until(is_over, "the daemon ends it", 4, 0.05)
        assert got == b"" or got.startswith(b"HTTP/1.1 408 ")


def test_stalled_request_body(std, net, targets):
    with Connection((net.v4, ports.STRICT)) as client:
        client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\nabc")
        assert client.response().status == 408
        assert client.is_ended()
    until(lambda: targets[0].stats()["gone"] == 1, "the target's connection is closed too")


def test_own_answer_to_an_old_client(std, net):
    """Of HTTP/1.0, which waits for the end if it is not told that the connection stays."""
    with Connection((net.v4, ports.EMPTY)) as client:
        for says, answered in ((b"keep-alive", "keep-alive"), (b"close", "close")):
            client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: " + says + b"\r\n\r\n")
            answer = client.response()
            assert (answer.status, answer.get("connection")) == (503, answered)


def test_empty_line_behind_a_body(std, net):
    """Old clients send one: it is no request that does not go on."""
    with Connection((net.v4, ports.STRICT)) as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n")
        assert client.response().status == 200
        assert client.rest() == b""  # the end of an idle connection, and no 408


def test_keep_alive_timeout(std, net):
    with Connection((net.v4, ports.STRICT)) as client:
        assert client.request().status == 200
        assert client.rest() == b"", "an idle connection is closed without a word"


@pytest.mark.parametrize("path", ["/hang", "/stall"])
@pytest.mark.parametrize("kind,end", [("http", "reset"), ("https", "close"), ("https", "reset")])
def test_client_goes_away(std, net, targets, kind, end, path):
    """The target's connection ends with the client's. (The end of a plain client's direction alone
    is no going away: it may wait for its answer, see below.)"""
    make, port = (Connection, ports.HTTP) if kind == "http" else (TlsConnection, ports.HTTPS)
    with make((net.v4, port)) as client:
        client.send(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        until(lambda: any(t.stats()["requests"] for t in targets), "the target has the request")
        getattr(client, end)()
        until(lambda: sum(t.stats()["gone"] for t in targets) == 1, "the target sees the end")


def test_client_goes_away_in_the_upload(client, targets):
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc")
    until(lambda: any(t.stats()["body_bytes"] for t in targets), "the target has some of the body")
    client.close()
    until(lambda: sum(t.stats()["gone"] for t in targets) == 1, "the target sees the end")


def test_client_ends_its_direction_after_the_request(std, net):
    """A half-closed client still gets its answer."""
    with Connection((net.v4, ports.ONE)) as client:
        client.send(b"GET /slow/100 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        client.finish()
        assert client.response().status == 200


def test_close_notify_ends_the_stream(std, net):
    """The daemon says close_notify, so that a cut is told from an end."""
    with TlsConnection((net.v4, ports.HTTPS)) as client:
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        client.response()
        # An end without close_notify would be an SSLEOFError.
        assert client.recv() == b""


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("length", [100, 1_000_000])
def test_target_ends_the_body_without_close_notify(std, net, version, length):
    """The end of a target's connection is the end of the body only if TLS says so."""
    with TlsConnection((net.v4, ports.HTTPS_REENCRYPT)) as client:
        client.send(b"GET /truncate/%d HTTP/%b\r\n%b\r\n" % (length, version, HOST))
        assert client.head().status == 200
        with pytest.raises(ConnectionResetError):
            client.rest()


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
def test_client_ends_its_side_and_reads_on(std, net, more):
    """Slowly: the daemon still has the end of the answer when it has read the client's."""
    with TlsConnection((net.v4, ports.HTTPS), receive_buffer=SMALL_BUFFER) as client:
        client.send(b"GET /bytes/2000000 HTTP/1.1\r\n%b%b\r\n" % (HOST, more))
        client.finish()
        assert client.response().body == b"".join(pattern(2_000_000))
        assert client.recv() == b"", "close_notify"


def test_no_connection_is_forgotten(std):
    """After all of the above, with every client gone, nothing is open. The slow target takes what it
    is owed first, in its own time."""
    try:
        until(lambda: std.api("/v1/status")["connections_open"] == 0, "no connection is open", 60)
    except AssertionError:
        pytest.fail(f"still open: {std.api('/v1/connections')}")
    assert all(t["outstanding"] == 0 for t in std.api("/v1/targets")["targets"])
