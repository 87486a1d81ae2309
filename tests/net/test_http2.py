"""HTTP/2 of clients: streams side by side, flow control, resets, the end of connections, what is refused,
and reloads."""
import struct
import subprocess

import pytest

import http2
import standard
import standard as ports
from http2 import END_HEADERS, END_STREAM, frame
from target import pattern_sha256
from test_http import sha256
from wire import SMALL_BUFFER, TlsConnection, client_context, patience, until

WWW = "www.sluice.test"


@pytest.fixture(params=["h2c", "h2"])
def client(request, std, net):
    name = None if request.param == "h2c" else WWW
    with http2.connect((net.v4, ports.HTTPS if name else ports.HTTP), name) as connection:
        yield connection


@pytest.fixture
def plain(std, net):
    with http2.connect((net.v4, ports.HTTP)) as connection:
        yield connection


def echo_headers(answer):
    return [(name.lower(), value) for name, value in answer.json()["headers"]]


# --- who speaks it

@pytest.mark.parametrize("offer, chosen", [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"),
                                           (["http/1.1"], "http/1.1"), (None, None)])
def test_alpn(std, net, offer, chosen):
    with TlsConnection((net.v4, ports.HTTPS), WWW, context=client_context(alpn=offer)) as connection:
        assert connection.tls.selected_alpn_protocol() == chosen


def test_preface_in_single_bytes(std, net):
    with http2.connect((net.v4, ports.HTTP), starts=False) as connection:
        connection.h2.initiate_connection()
        for byte in connection.h2.data_to_send():
            connection.raw(bytes([byte]))
        assert connection.request().status == 200


def test_clients(std, net):
    """curl and h2load as they are."""
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "--cacert", net.ca.pem, "--resolve",
                           f"{WWW}:443:{net.v4}", "-w", "%{http_version} %{http_code}", "-o", "/dev/null",
                           f"https://{WWW}/"], capture_output=True, text=True)
    assert done.stdout == "2 200", done.stderr
    done = subprocess.run(["h2load", "-n", "600", "-c", "3", "-m", "20", f"http://{net.v4}:{ports.HTTP}/bytes/20000"],
                          capture_output=True, text=True, timeout=patience(30))
    assert "600 succeeded, 0 failed" in done.stdout, done.stdout + done.stderr


# --- streams

def test_streams_side_by_side(client):
    """The slow one holds up none of the others."""
    slow = client.open("/slow/400")
    quick = [client.open(f"/bytes/{number * 1000}") for number in range(60)]
    for number, stream in enumerate(quick):
        assert sha256(client.answer(stream).body) == pattern_sha256(number * 1000)
    assert not client.answers[slow].is_over
    assert client.answer(slow).status == 200


def test_more_streams_than_allowed(plain):
    """Sent before the client knows how many are."""
    streams = [plain.open("/slow/300") for _ in range(140)]
    answers = [plain.answer(stream) for stream in streams]
    assert sum(a.status == 200 for a in answers) == 128
    assert {a.error for a in answers if a.status != 200} == {http2.REFUSED_STREAM}


def test_a_stream_that_does_not_read(client):
    """Its window is used up; the others go on, and so does it in the end."""
    held = client.open("/bytes/1000000")
    while client.answers[held].length < 65535:
        assert client.more(holds=True)
    client.h2.increment_flow_control_window(65535)
    client.flush()
    for _ in range(5):
        assert sha256(client.request("/bytes/10000").body) == pattern_sha256(10000)
    answer = client.answers[held]
    assert answer.length == 65535
    client.h2.increment_flow_control_window(1 << 24)
    client.h2.increment_flow_control_window(1 << 24, held)
    client.flush()
    assert sha256(client.answer(held, holds=True).body) == pattern_sha256(1000000)


def test_one_byte_of_window(plain, std, net):
    with http2.connect((net.v4, ports.HTTP),
                       settings={http2.h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1}) as connection:
        assert connection.request("/bytes/50").length == 50


def test_upload_waits_for_the_target(std, net, targets):
    """A target that does not read: no more is taken than a window."""
    with http2.connect((net.v4, ports.ONE)) as connection:
        stream = connection.open("/sink/100", "POST", ends=False)
        sent = 0
        while (room := connection.h2.local_flow_control_window(stream)) > 0:
            connection.h2.send_data(stream, b"x" * min(room, 16384))
            connection.flush()
            sent += min(room, 16384)
        assert sent == 65535
        connection.h2.reset_stream(stream)
        connection.flush()
        assert connection.request().status == 200


def test_trailers_of_the_request(client):
    answer = client.request("/echo", "POST", body=b"abc", trailers=[
        ("x-end", "yes"), ("x-forwarded-for", "7"), ("x_forwarded_for", "8"), ("x.forwarded-proto", "9")])
    assert [t.lower() for t in answer.json()["trailers"]] == ["x-end: yes"]


def test_100_continue(client):
    stream = client.open("/100", "POST", [("expect", "100-continue"), ("content-length", "5")], ends=False)
    while not client.answers[stream].interim:
        assert client.more()
    client.body(stream, b"abcde")
    assert client.answer(stream).json()["length"] == 5


def test_target_answers_before_the_body(client):
    """The answer comes whole; the rest of the request is not wanted, and the connection goes on."""
    stream = client.open("/refuse", "POST", ends=False)
    client.h2.send_data(stream, b"x" * 1000)
    client.flush()
    answer = client.answer(stream)
    assert (answer.status, answer.body) == (413, b"large\n")
    assert client.request().status == 200


@pytest.mark.parametrize("length", range(200000, 440000, 20000))
def test_whole_answer_before_the_body(std, plain, length):
    """However it is cut into turns: it is not taken for one that was given up."""
    resets = std.drops().get("client_reset", 0)
    plain.h2.increment_flow_control_window(1 << 24)
    stream = plain.open(f"/bytes/{length}", "POST", ends=False)
    plain.h2.increment_flow_control_window(1 << 24, stream)
    plain.flush()
    assert sha256(plain.answer(stream).body) == pattern_sha256(length)
    assert plain.request().status == 200
    assert std.drops().get("client_reset", 0) == resets


def test_large_heads(plain):
    """Of a target: as large as they may be."""
    plain.h2.decoder.max_header_list_size = 1 << 20
    answer = plain.request("/head/65000")
    assert (answer.status, len(answer.get("x-119"))) == (200, 65000 // 120 - 9)
    assert plain.request().status == 200


def test_many_cookies(plain):
    """Browsers send each in a field of its own."""
    cookies = [f"cookie-{number}=value-{number}" for number in range(250)]
    answer = plain.request("/echo", headers=[("cookie", cookie) for cookie in cookies])
    assert [v for k, v in echo_headers(answer) if k == "cookie"] == ["; ".join(cookies)]
    large = plain.request("/echo", headers=[("cookie", f"c{number}=" + "x" * 1000) for number in range(17)])
    assert large.status == 431


def test_cookies_are_one_again(client):
    answer = client.request("/echo", headers=[("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2"), ("cookie", "d")])
    assert [v for k, v in echo_headers(answer) if k == "cookie"] == ["a=1; c=2; d"]


def test_client_resets_a_stream(std, net, targets):
    """The target learns of it at once; the other streams do not."""
    gone = sum(target.stats()["gone"] for target in targets)
    with http2.connect((net.v4, ports.HTTP)) as connection:
        slow = connection.open("/slow/300")
        stream = connection.open("/hang")
        connection.ping()
        connection.h2.reset_stream(stream, http2.CANCEL)
        connection.flush()
        until(lambda: sum(target.stats()["gone"] for target in targets) == gone + 1, "the target is told")
        assert connection.answer(slow).status == 200


@pytest.mark.parametrize("name, how", [(WWW, "close"), (WWW, "reset"), (None, "reset")])
def test_client_goes_away(std, net, targets, name, how):
    gone = sum(target.stats()["gone"] for target in targets)
    with http2.connect((net.v4, ports.HTTPS if name else ports.HTTP), name) as connection:
        for _ in range(5):
            connection.open("/hang")
        connection.ping()
        getattr(connection, how)()
    until(lambda: sum(target.stats()["gone"] for target in targets) == gone + 5, "the targets are told")


def test_client_ends_its_side(std, net, targets):
    """Plain: it may have sent its last request, which is answered; one that is not whole cannot be."""
    gone = sum(target.stats()["gone"] for target in targets)
    with http2.connect((net.v4, ports.HTTP)) as connection:
        connection.ping()
        cut = connection.open("/echo", "POST", ends=False)
        stream = connection.open("/slow/300")
        connection.wire.finish()
        assert connection.answer(stream).status == 200
        assert connection.answers[cut].error is not None
        assert connection.wire.is_ended()
    until(lambda: sum(target.stats()["gone"] for target in targets) == gone + 1, "a target is told")


def test_cut_answer_is_reset(client):
    answer = client.answer(client.open("/partial"))
    assert (answer.status, answer.length, answer.error) == (200, 500, http2.INTERNAL_ERROR)
    assert client.request().status == 200


def test_is_shown(std, plain):
    plain.request()
    assert " http2 " in std.ctl("connections", "--state", "http2", "-o", "wide")[1]


# --- time-outs, and the end

def test_time_outs(std, net):
    """Of one request (limits of `strict`: 700 ms); the connection goes on."""
    with http2.connect((net.v4, ports.STRICT)) as connection:
        stream = connection.open("/echo", "POST", [("content-length", "100")], ends=False)
        other = connection.open("/slow/100")
        assert connection.answer(other).status == 200
        assert connection.answer(stream).status == 408
        assert connection.request().status == 200


def test_client_that_does_not_open_its_window(std, net):
    with http2.connect((net.v4, ports.STRICT)) as connection:
        stream = connection.open("/bytes/1000000")
        answer = connection.answer(stream, holds=True)
        assert (answer.length, answer.error) == (65535, http2.CANCEL)


def test_keep_alive_ends(std, net):
    with http2.connect((net.v4, ports.STRICT)) as connection:
        assert connection.request().status == 200
        assert connection.until_goaway() == http2.NO_ERROR
        assert connection.wire.is_ended()


def test_nothing_comes(std, net):
    with http2.connect((net.v4, ports.STRICT)) as connection:
        assert connection.until_goaway() == http2.NO_ERROR


def test_head_that_does_not_end(std, net):
    with http2.connect((net.v4, ports.STRICT)) as connection:
        connection.ping()
        connection.raw(frame(http2.HEADERS, END_STREAM, 1, b"\x82"))
        assert connection.until_goaway() == http2.NO_ERROR


def test_trailers_that_do_not_end(std, net):
    """The answer is there before them: what they hold up is over, and the other requests go on."""
    with http2.connect((net.v4, ports.STRICT)) as connection:
        connection.ping()  # nothing may come between the frames below
        slow = connection.open(f"/slow/{round(patience(1500))}")
        stream = connection.open("/slow/300", "POST", ends=False)
        connection.raw(frame(http2.HEADERS, END_STREAM, stream, b"\x00\x01a\x01b"))
        assert connection.answer(stream).status == 200
        connection.raw(frame(http2.CONTINUATION, END_HEADERS, stream))
        assert connection.answer(slow).status == 200


def test_requests_per_connection(std, net):
    """No request is lost on the way there: GOAWAY names the last one."""
    with http2.connect((net.v4, ports.REQUESTS_3)) as connection:
        streams = [connection.open("/slow/50") for _ in range(3)]
        assert [connection.answer(stream).status for stream in streams] == [200] * 3
        while connection.goaway is None or connection.goaway.last_stream_id > 1 << 30:
            assert connection.more()
        assert connection.goaway.last_stream_id == streams[-1]
        assert connection.wire.is_ended()


def test_lifetime(std, net):
    """What is under way then, and what comes before GOAWAY is read, has its answer."""
    with http2.connect((net.v4, ports.LIFETIME)) as connection:
        slow, n = connection.open("/slow/800"), 0
        while connection.goaway is None:
            assert connection.request().status == 200
            n += 1
        assert connection.answer(slow).status == 200 and n > 1
        while connection.goaway.last_stream_id > 1 << 30:
            assert connection.more()
        assert connection.wire.is_ended()


def test_limits_of_a_listener(std, net):
    with http2.connect((net.v4, ports.STRICT)) as connection:
        assert connection.request("/echo", "POST", body=b"x" * 1025).status == 413
        assert connection.request("/echo", "POST", body=b"x" * 1024).status == 200
        stream = connection.open("/echo", "POST", ends=False)
        connection.h2.send_data(stream, b"x" * 1025, end_stream=True)
        connection.flush()
        assert connection.answer(stream).status == 413
        assert connection.request("/" + "x" * 5000).status == 414
        assert connection.request("/echo", headers=[(f"x-{n}", "y" * 100) for n in range(50)]).status == 431


# --- malformed requests

GOOD = [(":method", "GET"), (":scheme", "http"), (":authority", WWW), (":path", "/echo")]


def without(name):
    return [field for field in GOOD if field[0] != name]


def changed(name, value):
    return [(n, value if n == name else v) for n, v in GOOD]


BAD = {
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "empty path": changed(":path", ""),
    "path without slash": changed(":path", "echo"),
    "path with a space": changed(":path", "/a b"),
    "path with a line end": changed(":path", "/a HTTP/1.1\r\nX: y"),
    "path with a fragment": changed(":path", "/a#b"),
    "asterisk": changed(":path", "*"),
    "other scheme": changed(":scheme", "ftp"),
    "method with a line end": changed(":method", "GET / HTTP/1.1\r\nX: y"),
    "method with a space": changed(":method", "GET /x"),
    "authority with a line end": changed(":authority", "a\r\nX: y"),
    "authority with a user": changed(":authority", "user@a"),
    "no authority": without(":authority"),
    "host differs": GOOD + [("host", "other.test")],
    "two hosts": without(":authority") + [("host", "a"), ("host", "a")],
    "pseudo field twice": GOOD + [(":path", "/x")],
    "pseudo field behind others": without(":path") + [("a", "b"), (":path", "/echo")],
    "unknown pseudo field": [(":what", "x")] + GOOD,
    "status": [(":status", "200")] + GOOD,
    "name in upper case": GOOD + [("X-Upper", "a")],
    "name with a space": GOOD + [("x y", "a")],
    "name with a colon": GOOD + [("x:y", "a")],
    "name with a line end": GOOD + [("x\r\ny", "a")],
    "empty name": GOOD + [("", "a")],
    "value with a line end": GOOD + [("x", "a\r\nb: c")],
    "value with LF": GOOD + [("x", "a\nb")],
    "value with NUL": GOOD + [("x", "a\0b")],
    "connection": GOOD + [("connection", "close")],
    "transfer-encoding": GOOD + [("transfer-encoding", "chunked")],
    "upgrade": GOOD + [("upgrade", "websocket")],
    "keep-alive": GOOD + [("keep-alive", "1")],
    "proxy-connection": GOOD + [("proxy-connection", "keep-alive")],
    "te": GOOD + [("te", "gzip")],
    "two lengths": GOOD + [("content-length", "0"), ("content-length", "0")],
    "length is no number": GOOD + [("content-length", "+1")],
    "length without a body": GOOD + [("content-length", "5")],
    "CONNECT": [(":method", "CONNECT"), (":authority", "a:80")],
    "CONNECT with a path": changed(":method", "CONNECT"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed_requests(std, net, targets, name):
    """Refused by a status or a reset, never seen by a target; the connection goes on."""
    with http2.connect((net.v4, ports.ONE)) as connection:
        connection.fields(1, BAD[name])
        answer = connection.answer(1)
        assert answer.status in (400, 405, 501) or answer.error == http2.PROTOCOL_ERROR, answer
        assert connection.request("/echo").json()["headers"], "the next one is in order"


@pytest.mark.parametrize("length, body", [(5, b"1234"), (5, b"123456"), (0, b"1")])
def test_length_and_body_differ(plain, length, body):
    plain.fields(1, changed(":method", "POST") + [("content-length", str(length))], ends=False, flushes=False)
    plain.h2.send_data(1, body, end_stream=True)
    plain.flush()
    answer = plain.answer(1)
    assert answer.error == http2.PROTOCOL_ERROR or answer.status == 400
    assert plain.request().status == 200


def test_trailers_with_pseudo_fields(plain):
    stream = plain.open("/echo", "POST", ends=False)
    plain.trailers(stream, [(":path", "/x")])
    assert plain.answer(stream).error == http2.PROTOCOL_ERROR


def test_trailers_with_line_ends(plain):
    stream = plain.open("/echo", "POST", ends=False)
    plain.trailers(stream, [("x", "a\r\nb: c")])
    answer = plain.answer(stream)
    assert answer.error == http2.PROTOCOL_ERROR or answer.json()["trailers"] == []


@pytest.mark.parametrize("data, code", [
    (frame(http2.DATA, 0, 1, b"x"), http2.PROTOCOL_ERROR),
    (frame(http2.HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x86\x84\x41\x01a"), http2.PROTOCOL_ERROR),
    (frame(http2.HEADERS, END_HEADERS, 0, b"\x82"), http2.PROTOCOL_ERROR),
    (frame(http2.HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"), 9),
    (frame(http2.SETTINGS, 0, 0, b"123"), 6),
    (frame(http2.PING, 0, 0, b"123"), 6),
    (frame(http2.WINDOW_UPDATE, 0, 0, struct.pack("!I", 0)), http2.PROTOCOL_ERROR),
    (frame(http2.WINDOW_UPDATE, 0, 0, struct.pack("!I", 0x7fffffff)), http2.FLOW_CONTROL_ERROR),
    (frame(http2.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"), http2.PROTOCOL_ERROR),
    (frame(http2.CONTINUATION, END_HEADERS, 1, b"\x82"), http2.PROTOCOL_ERROR),
    (frame(http2.DATA, 0, 1, bytes(16385)), 6),
])
def test_broken_frames(plain, data, code):
    plain.ping()
    plain.raw(data)
    assert plain.until_goaway() == code


def test_false_preface(std, net):
    with http2.connect((net.v4, ports.HTTP), starts=False) as connection:
        connection.raw(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n")
        assert connection.wire.head().status in (400, 501, 505)


# --- reloads, and the end of the daemon

def config(net, **settings):
    return {"certificates": net.certificates("default"),
            "target_groups": [standard.group("web", "http", net.target_list(8080))],
            "listeners": [standard.listener("web", "https", 443, "web", certificates=["default"], **settings)]}


def test_reloads(net, launch):
    """Requests under way and those that follow notice nothing; the listener in force now serves them."""
    one = launch(config(net))
    with http2.connect((net.v4, 443), WWW) as connection:
        slow = connection.open("/slow/600")
        for number in range(5):
            one.reload(config(net, limits={"body_bytes": str(100 + number)}))
            assert connection.request("/echo", "POST", body=b"x" * (100 + number)).status == 200
            assert connection.request("/echo", "POST", body=b"x" * (101 + number)).status == 413
        assert connection.answer(slow).status == 200
        assert connection.goaway is None


def test_turned_off(net, launch):
    """Connections that speak it end behind their next request; new ones speak HTTP/1.1."""
    one = launch(config(net))
    with http2.connect((net.v4, 443), WWW) as connection:
        slow = connection.open("/slow/300")
        connection.ping()
        one.reload(config(net, http2=False))
        assert connection.request().status == 200
        assert connection.answer(slow).status == 200
        assert connection.until_goaway() == http2.NO_ERROR
        while connection.more():
            pass
    with TlsConnection((net.v4, 443), WWW, client_context(alpn=["h2", "http/1.1"])) as connection:
        assert connection.tls.selected_alpn_protocol() == "http/1.1"
        assert connection.request().status == 200


def test_stop(net, launch):
    """What is under way is answered, then the connection ends in order."""
    one = launch(config(net))
    with http2.connect((net.v4, 443), WWW) as connection, http2.connect((net.v4, 443), WWW) as idle:
        assert idle.request().status == 200
        slow = connection.open("/slow/500")
        connection.ping()
        one.process.terminate()
        assert connection.answer(slow).status == 200
        assert connection.until_goaway() == http2.NO_ERROR
        assert idle.until_goaway() == http2.NO_ERROR
    one.stop()
