"""Targets that break the rules of HTTP/2, or stretch them: what clients get, what is counted, and that the next
request is fine. One connection, one waiting and one request at a time may be in use: what does not come back
is seen at once."""
import threading
import time

import hpack
import pytest

import http2
from hostile_h2 import OK, Session, Target, number, setting
from http2 import CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR, \
    PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame
from standard import group, listener
from wire import Connection, milliseconds, patience, until

LIMITS = {"connections": 1, "pending": 1, "requests": 1}
CUT = "cut"  # behind a head of 200, which may not have been sent yet


def config(target, timeouts=None, **settings):
    address = "%s:%d" % target.address
    settings = {"retries": {"attempts": 0}, "limits": LIMITS} | settings
    timeouts = {"connect": milliseconds(1000), "response": milliseconds(3000)} | (timeouts or {})
    return {"workers": 1, "listeners": [listener("web", "http", 80, "web")],
            "target_groups": [group("web", "http", [{"name": "hostile", "address": address}], protocol_version="http2",
                                    timeouts=timeouts, **settings)]}


def sends(*make):
    """An act: frames made by each of `make`(session, stream)."""
    def act(session, stream):
        session.send(*[one(session, stream) for one in make])
    return act


def head(fields=OK, **how):
    return lambda session, stream: session.head(stream, fields, **how)


def raw(*fields, ends=True):
    return lambda session, stream: session.raw_head(stream, fields, ends)


def data(body=b"ok", ends=True, flags=0):
    return lambda session, stream: frame(DATA, flags | (END_STREAM if ends else 0), stream, body)


def on_stream(kind, payload=b"", flags=0, ahead=0):
    return lambda session, stream: frame(kind, flags, stream + ahead, payload)


def on_connection(kind, payload=b"", flags=0, times=1):
    return lambda session, stream: frame(kind, flags, 0, payload) * times


def close(session, stream):
    session.sock.close()


def goaway(last, code):
    def act(session, stream):
        session.send(frame(GOAWAY, 0, 0, number(last(stream)) + number(code)))
    return act


STATUS = (b":status", b"200")
WHOLE = (head(), data())

# name: act, what the client gets, whether the connection ends.
ROWS = {
    # heads
    "no-status": (sends(raw((b"x-a", b"b"))), 502, False),
    "status-99": (sends(raw((b":status", b"99"))), 502, False),
    "status-1000": (sends(raw((b":status", b"1000"))), 502, False),
    "status-words": (sends(raw((b":status", b"abc"))), 502, False),
    "status-space": (sends(raw((b":status", b" 200"))), 502, False),
    "status-empty": (sends(raw((b":status", b""))), 502, False),
    "status-twice": (sends(raw(STATUS, STATUS)), 502, False),
    "status-behind": (sends(raw((b"x-a", b"b"), STATUS)), 502, False),
    "status-101": (sends(raw((b":status", b"101"), ends=False), *WHOLE), 502, False),
    "path": (sends(raw(STATUS, (b":path", b"/"))), 502, False),
    "unknown-pseudo": (sends(raw(STATUS, (b":sluice", b"1"))), 502, False),
    "upper-case": (sends(raw(STATUS, (b"X-A", b"b"))), 502, False),
    "name-space": (sends(raw(STATUS, (b"x a", b"b"))), 502, False),
    "name-empty": (sends(raw(STATUS, (b"", b"b"))), 502, False),
    "value-newline": (sends(raw(STATUS, (b"x-a", b"b\r\nx-c: d"))), 502, False),
    "value-nul": (sends(raw(STATUS, (b"x-a", b"b\0c"))), 502, False),
    "connection": (sends(raw(STATUS, (b"connection", b"close"))), 502, False),
    "transfer-encoding": (sends(raw(STATUS, (b"transfer-encoding", b"chunked"))), 502, False),
    "lengths": (sends(raw(STATUS, (b"content-length", b"2"), (b"content-length", b"2"), ends=False), data()), 502, False),
    "length-words": (sends(raw(STATUS, (b"content-length", b"x"), ends=False), data()), 502, False),
    "length-sign": (sends(raw(STATUS, (b"content-length", b"+2"), ends=False), data()), 502, False),
    "length-but-end": (sends(raw(STATUS, (b"content-length", b"2"))), 502, False),
    "long-field": (sends(head(OK + [("x-a", "b" * 7000)] * 2), data()), 200, False),
    "head-100k": (lambda s, n: big_head(s, n, 100), 502, False),
    "head-1m": (lambda s, n: big_head(s, n, 1000), 502, True),
    "fields-200": (sends(head(OK + [(f"x-{i}", "b") for i in range(200)], ends=True)), 502, False),
    "hpack": (sends(on_stream(HEADERS, b"\xff\xff\xff\xff\xff", END_HEADERS)), 502, True),
    # interim answers
    "interim-ends": (sends(head([(":status", "103")], ends=True)), 502, False),
    "interim-flood": (lambda s, n: s.send(s.head(n, [(":status", "103")]) * 3000), 502, True),
    # bodies
    "short": (sends(head(OK + [("content-length", "5")]), data()), CUT, False),
    "long": (sends(head(OK + [("content-length", "1")]), data()), CUT, False),
    "data-first": (sends(data()), 502, True),
    "data-behind-end": (sends(*WHOLE, data()), 200, False),
    "head-behind-end": (sends(*WHOLE, head(ends=True)), 200, False),
    "padding": (sends(head(), data(b"\x09ab", flags=8)), CUT, True),
    "status-of-none": (sends(head([(":status", "099")]), data()), 502, False),
    "status-600": (sends(head([(":status", "600")]), data()), 502, False),
    "status-999": (sends(head([(":status", "999")]), data()), 502, False),
    "frame-size": (sends(head(), data(bytes(16385))), CUT, True),
    "204-with-body": (sends(head([(":status", "204")]), data()), 204, False),
    "304-with-length": (sends(head([(":status", "304"), ("content-length", "7")], ends=True)), 304, False),
    "empty-data-flood": (sends(head(), *[data(b"", ends=False)] * 1000), CUT, True),
    "reset-behind-head": (sends(head(), on_stream(RST_STREAM, number(INTERNAL_ERROR))), CUT, False),
    "reset-no-error": (sends(head(), on_stream(RST_STREAM, number(NO_ERROR))), CUT, False),
    "reset-behind-end": (sends(*WHOLE, on_stream(RST_STREAM, number(NO_ERROR))), 200, False),
    # trailers
    "trailers-pseudo": (sends(head(), data(ends=False), raw(STATUS)), CUT, False),
    "trailers-unended": (sends(head(), data(ends=False), raw((b"x-a", b"b"), ends=False)), CUT, False),
    "trailers-upper": (sends(head(), data(ends=False), raw((b"X-A", b"b"))), CUT, False),
    "trailers-newline": (sends(head(), data(ends=False), raw((b"x-a", b"b\nc"))), CUT, False),
    "trailers-70": (sends(head(), data(ends=False), raw(*[(b"x-a", b"b")] * 70)), CUT, False),
    "trailers-20k": (sends(head(), data(ends=False), head([("x-a", "b" * 7000)] * 2, ends=True)), 200, False),
    "trailers-over": (sends(head(), data(ends=False), lambda s, n: big_head(s, n, 20, [])), CUT, False),
    # frames
    "reset": (sends(on_stream(RST_STREAM, number(INTERNAL_ERROR))), 502, False),
    "refused": (sends(on_stream(RST_STREAM, number(REFUSED_STREAM))), 502, True),
    "reset-size": (sends(on_stream(RST_STREAM, b"abc")), 502, True),
    "continuation": (sends(on_stream(CONTINUATION, b"", END_HEADERS)), 502, True),
    "continuation-flood": (sends(head(flags=0), *[on_stream(CONTINUATION)] * 1000), 502, True),
    "head-interrupted": (sends(head(flags=0), data()), 502, True),
    "push": (sends(on_stream(PUSH_PROMISE, number(2) + b"\x88", END_HEADERS), *WHOLE), 502, True),
    "even-stream": (lambda s, n: s.send(s.head(2, ends=True)), 502, True),
    "idle-stream": (lambda s, n: s.send(s.head(n + 2, ends=True)), 502, True),
    "ping-size": (sends(on_connection(PING, b"short")), 502, True),
    "ping-flood": (sends(on_connection(PING, bytes(8), times=3000)), 502, True),
    "settings-flood": (sends(on_connection(SETTINGS, times=300)), 502, True),
    "settings-window": (sends(on_connection(SETTINGS, setting(4, 1 << 31))), 502, True),
    "settings-frame": (sends(on_connection(SETTINGS, setting(5, 1))), 502, True),
    "settings-push": (sends(on_connection(SETTINGS, setting(2, 1))), 502, True),
    "priority-flood": (sends(*[on_stream(PRIORITY, bytes(5))] * 1500), 502, True),
    "unknown-flood": (sends(on_connection(200, b"abc", times=1500)), 502, True),
    "window-zero": (sends(on_connection(WINDOW_UPDATE, number(0))), 502, True),
    "window-over": (sends(on_connection(WINDOW_UPDATE, number((1 << 31) - 1))), 502, True),
    "stream-window-over": (sends(on_stream(WINDOW_UPDATE, number((1 << 31) - 1))), 502, False),
    "goaway-error": (goaway(lambda stream: stream, PROTOCOL_ERROR), 504, True),
    "goaway-none": (goaway(lambda stream: 0, NO_ERROR), 502, True),
    "goaway-grows": (sends(on_connection(GOAWAY, number(0) + number(0)), on_connection(GOAWAY, number(9) + number(0))), 502, True),
    "close": (close, 502, True),
    "not-http2": (lambda s, n: s.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 502, True),
}


def big_head(session, stream, kib, first=OK):
    """In as many frames as that takes."""
    block = session.encoder.encode(first, huffman=False)
    block += b"".join(b"\0\x04x-%02d\x7f\x81\x07" % (i % 100) + b"b" * 1024 for i in range(kib))
    pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
    flags = END_STREAM | (END_HEADERS if len(pieces) == 1 else 0)
    frames = [frame(HEADERS, flags, stream, pieces[0])]
    frames += [frame(CONTINUATION, END_HEADERS if i == len(pieces) - 1 else 0, stream, piece)
               for i, piece in enumerate(pieces) if i]
    if first != OK:
        return b"".join(frames)
    session.send(*frames)
    return b""


def row_of(one):
    return one.targets("web")["hostile"]


def outcome(client, path, method="GET"):
    stream = client.open(path, method)
    try:
        answer = client.answer(stream)
    except TimeoutError:
        return "hung"
    return CUT if answer.is_cut and answer.status in (200, None) else answer.status


def test_rules(net, launch):
    wrong = []
    with Target(net, {f"/{name}": act for name, (act, _, _) in ROWS.items()}) as target:
        one = launch(config(target, timeouts={"response": milliseconds(1000)}))
        for name, (_, expected, ends) in ROWS.items():
            with http2.connect((net.v4, 80), timeout=4) as client:
                first = outcome(client, "/ok")
                before = len(target.sessions)
                got = outcome(client, f"/{name}")
                after = outcome(client, "/ok")
                ended = len(target.sessions) > before
            if (first, got, ended, after) != (200, expected, ends, 200):
                wrong.append((name, first, got, ended, after))
        assert not wrong, "\n".join(map(str, wrong))
        until(lambda: row_of(one)["outstanding"] == 0, "nothing is under way")
        until(lambda: row_of(one)["connections"] == 1, "all but one connection are closed")


def get_all(net, paths, method="GET"):
    """The statuses of requests that are under way at once."""
    with http2.connect((net.v4, 80)) as client:
        streams = [client.open(path, method) for path in paths]
        return [client.answer(stream).status for stream in streams]


def release(client, stream):
    """The client takes what it has held back."""
    held, client.answers[stream].held = client.answers[stream].held, 0
    client.h2.acknowledge_received_data(held, stream)
    client.flush()


def is_at_rest(one):
    row = row_of(one)
    return row["outstanding"] == 0 and row["connections"] <= 1


def test_more_than_its_window(net, launch):
    """The client takes nothing; what the windows of both sides hold is far less."""
    flood = sends(head(), *[data(bytes(16384), ends=False)] * 20)
    with Target(net, {"/flood": flood}) as target:
        one = launch(config(target))
        with http2.connect((net.v4, 80)) as client:
            stream = client.open("/flood")
            while client.answers[stream].length < 65535:
                assert client.more(holds=True)
            until(lambda: target.sessions[0].resets == {1: FLOW_CONTROL_ERROR}, "the target is told")
            release(client, stream)
            assert client.answer(stream).is_cut
        assert get_all(net, ["/ok"]) == [200]
        assert {reason for reason, count in one.drops().items() if count} == {"target_cut_response"}
        assert len(target.sessions) == 1
        until(lambda: is_at_rest(one), "nothing is left")


def test_answers_outlive_their_connection(net, launch):
    """What has come whole is passed on, however slow the client: the target may go meanwhile."""
    def answer_and_go(session, stream):
        session.ok(stream, bytes(16000))
        session.sock.shutdown(2)
        gone.set()
    gone = threading.Event()
    with Target(net, {"/last": answer_and_go}) as target:
        one = launch(config(target, timeouts={"connect": milliseconds(200)}))
        with http2.connect((net.v4, 80), settings={4: 1000}) as client:
            stream = client.open("/last")
            while client.answers[stream].length < 1000:
                assert client.more(holds=True)
            assert gone.wait(5)
            time.sleep(0.8)  # several times the time-out
            release(client, stream)
            answer = client.answer(stream)
        assert (len(answer.body), answer.is_cut) == (16000, False)
        until(lambda: is_at_rest(one), "nothing is left")


class Busy:
    """Answers after a while, and refuses what is more than it has said it takes."""

    def __init__(self, most):
        self.most, self.refused, self.lock = most, 0, threading.Lock()

    def __call__(self, session, stream):
        with self.lock:
            session.open = getattr(session, "open", 0) + 1
            if session.open > self.most:
                self.refused += 1
                session.open -= 1
                session.send(frame(RST_STREAM, 0, stream, number(REFUSED_STREAM)))
                return
        threading.Timer(0.05, self.answer, (session, stream)).start()

    def answer(self, session, stream):
        with self.lock:
            session.open -= 1
            session.ok(stream)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_few_streams_at_once(net, launch, method):
    """What a target takes is known with its settings only, which come behind the first requests."""
    busy = Busy(3)
    with Target(net, {"/busy": busy}) as target:
        target.settings = setting(3, 3)
        one = launch(config(target, limits={}))
        assert get_all(net, ["/busy"] * 40, method) == [200] * 40
        assert get_all(net, ["/busy"] * 40, method) == [200] * 40
        assert busy.refused == 0
        until(lambda: row_of(one)["outstanding"] == 0, "nothing is left")


def test_fewer_streams_than_before(net, launch):
    """One at a time from now on, then none at all."""
    def lower(most):
        def act(session, stream):
            target.settings = setting(3, 1)
            session.send(frame(SETTINGS, 0, 0, setting(3, most)))
            session.ok(stream)
        return act
    busy = Busy(1)
    with Target(net, {"/one": lower(1), "/none": lower(0), "/busy": busy}) as target:
        launch(config(target, limits={}))
        assert get_all(net, ["/one"]) == [200]
        assert get_all(net, ["/busy"] * 5) == [200] * 5
        assert busy.refused == 0
        assert get_all(net, ["/none"] * 2 + ["/ok"]) == [200] * 3


def test_full_session(net, launch):
    """The target that a key names takes one request at a time, on the one connection it may have: another target
    has the second request."""
    acts = {"/hang": lambda session, stream: None}
    with Target(net, acts) as first, Target(net, acts, port=8098) as second:
        first.settings = second.settings = setting(3, 1)
        wanted = config(first, limits={"connections": 1}, algorithm="consistent_hash",
                        hash={"key": "header", "name": "X-Key"})
        wanted["target_groups"][0]["targets"].append({"name": "other", "address": "%s:%d" % second.address})
        launch(wanted)
        with http2.connect((net.v4, 80)) as client:
            for number in range(2):
                client.open("/hang", headers=[("x-key", "1")])
                until(lambda: len(first.asked) + len(second.asked) == number + 1, "it is asked")  # noqa: B023
            assert len(first.asked) == len(second.asked) == 1
            assert client.request("/ok", headers=[("x-key", "1")]).status == 503


def test_silence(net, launch):
    """No answer, and none to a PING: the connection is given up, long before a slow answer would be."""
    with Target(net, {"/hang": lambda session, stream: None}) as target:
        target.is_deaf = True
        one = launch(config(target, timeouts={"connect": milliseconds(200), "response": milliseconds(60000)}))
        assert get_all(net, ["/hang"]) == [504]
        assert get_all(net, ["/ok"]) == [200]
        assert len(target.sessions) == 2
        until(lambda: is_at_rest(one), "nothing is left")


def test_interim_answer_is_a_sign_of_life(net, launch):
    """The time for the answer begins anew, as it does over HTTP/1.1."""
    def late(session, stream):
        for fields in ([(":status", "103")], [(":status", "103")], OK):
            time.sleep(patience(0.7))
            session.send(session.head(stream, fields, ends=fields is OK))

    with Target(net, {"/late": late}) as target:
        one = launch(config(target, timeouts={"response": milliseconds(1000)}))
        assert get_all(net, ["/late"]) == [200]
        with Connection((net.v4, 80)) as client:
            answer = client.request("/late")
        assert (answer.status, [i.status for i in answer.interim]) == (200, [103, 103])
        assert row_of(one)["failures"] == 0


def test_tunnel_that_cannot_be_told(net, launch):
    """The head of the target's answer is too large for a client of HTTP/1.1: it is no tunnel then."""
    def opened(session, stream):
        size = int(session.target.asked[-1].split("/")[-1])
        block = session.encoder.encode(OK, huffman=False)
        block += b"".join(b"\0\x03x-%d" % i + hpack.hpack.encode_integer(size, 7) + b"b" * size for i in range(4))
        pieces = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        session.send(*[frame(CONTINUATION if i else HEADERS, END_HEADERS if i == len(pieces) - 1 else 0, stream, piece)
                       for i, piece in enumerate(pieces)])

    sizes, statuses = [100, *range(16230, 16350, 10)], []
    with Target(net, {f"/{size}": opened for size in sizes}) as target:
        target.settings = setting(8, 1)  # CONNECT of RFC 8441
        one = launch(config(target))
        for size in sizes:
            with Connection((net.v4, 80)) as client:
                client.send(f"GET /{size} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
                statuses.append(client.head().status)
                client.reset()
            until(lambda: row_of(one)["outstanding"] == 0, "it is over")
        assert statuses[0] == 101 and 502 in statuses, statuses
        assert get_all(net, ["/ok"]) == [200]


def test_target_that_reads_nothing(net, launch):
    def stall(session, stream):
        session.send(session.head(stream))
        stalled.wait(10)
        session.sock.close()
    stalled = threading.Event()
    with Target(net, {"/stall": stall}) as target:
        one = launch(config(target, timeouts={"connect": milliseconds(200)}))
        with http2.connect((net.v4, 80)) as client:
            stream = client.open("/stall", "POST", ends=False)
            client.body(stream, bytes(300000))
            assert client.answer(stream).is_cut
        stalled.set()
        assert get_all(net, ["/ok"]) == [200]
        until(lambda: is_at_rest(one), "nothing is left")


@pytest.mark.parametrize("method, statuses", [("GET", {200}), ("POST", {502})])
def test_connection_dies_with_many_requests(net, launch, method, statuses):
    def die(session, stream):
        if session is target.sessions[0] and len(session.streams) == 50:
            session.sock.close()
        elif session is not target.sessions[0]:
            session.ok(stream)
    with Target(net, {"/die": die}) as target:
        one = launch(config(target, limits={}, retries={"budget": "100%"}))
        assert set(get_all(net, ["/die"] * 50, method)) == statuses
        assert get_all(net, ["/ok"]) == [200]
        until(lambda: is_at_rest(one), "nothing is left")


def test_goaway_in_the_middle(net, launch):
    """Of many requests that must not be done twice, those behind the mark are done elsewhere, the others where
    they are."""
    def leave(session, stream):
        if session is not target.sessions[0]:
            session.ok(stream)
        elif len(session.streams) == 20:
            session.send(frame(GOAWAY, 0, 0, number(session.streams[9]) + number(NO_ERROR)))
            for one in session.streams[:10]:
                session.ok(one)
    with Target(net, {"/leave": leave}) as target:
        one = launch(config(target, limits={}, retries={"budget": "0%", "budget_per_second": 0}))
        assert get_all(net, ["/leave"] * 20, "POST") == [200] * 20
        assert [len(session.streams) for session in target.sessions] == [20, 10]
        until(lambda: is_at_rest(one), "nothing is left")


def test_upload_that_is_not_taken(net, launch):
    """Its window is shut: the others on the connection go on."""
    with Target(net, {"/upload": lambda session, stream: None}) as target:
        target.opens_windows = False
        target.settings = setting(4, 1000)
        one = launch(config(target, limits={}))
        with http2.connect((net.v4, 80)) as client:
            stream = client.open("/upload", "POST", ends=False)
            client.h2.send_data(stream, bytes(16000), end_stream=True)
            client.flush()
            until(lambda: target.sessions and sum(target.sessions[0].bodies.values()) == 1000, "the window is used up")
            assert get_all(net, ["/ok"] * 5) == [200] * 5
        until(lambda: target.sessions[0].resets == {1: CANCEL}, "it is given up")
        assert len(target.sessions) == 1
        until(lambda: is_at_rest(one), "nothing is left")


def test_target_that_says_nothing_first(net, launch):
    """Neither what it wants nor anything else: as if the connection had not been made."""
    with Target(net) as target:
        target.settings, target.is_deaf = None, True
        one = launch(config(target, timeouts={"connect": milliseconds(200), "response": milliseconds(60000)}))
        assert get_all(net, ["/ok"]) == [504]
        target.settings = b""
        assert get_all(net, ["/ok"]) == [200]
        until(lambda: is_at_rest(one), "nothing is left")


CHECKS = {
    "status 503": sends(head([(":status", "503")], ends=True)),
    "closed without an answer": close,
    "broke the rules of HTTP/2": sends(on_connection(PING, bytes(8), times=3000)),
    "the target reset the request": sends(on_stream(RST_STREAM, number(INTERNAL_ERROR))),
    "no answer": lambda session, stream: None,
}


def test_health_checks(net, launch):
    """Each ends with a verdict, in its time, and the next one is as good as any."""
    check = {"protocol": "http", "path": "/check", "matcher": "200", "interval": milliseconds(150),
             "timeout": milliseconds(100), "rise": 1, "fall": 1}
    with Target(net) as target:
        one = launch(config(target, check=check))
        for detail, act in CHECKS.items():
            target.acts["/check"] = act
            one.wait_states("web", ["unhealthy"])
            if detail != "no answer":
                until(lambda: row_of(one)["last_check"]["detail"] == detail, detail)  # noqa: B023
            target.acts["/check"] = Session.ok
            one.wait_states("web", ["healthy"])
        assert get_all(net, ["/ok"]) == [200]


def test_early_answer(net, launch):
    """Before the request is here: the client has it whole, the target is told that the rest is not wanted."""
    with Target(net, {"/early": Session.ok}) as target:
        one = launch(config(target))
        with http2.connect((net.v4, 80)) as client:
            stream = client.open("/early", "POST", ends=False)
            answer = client.answer(stream)
            assert (answer.status, answer.body, answer.is_cut) == (200, b"ok", False)
            until(lambda: target.sessions[0].resets == {1: CANCEL}, "the target is told")
            assert outcome(client, "/ok") == 200
        assert len(target.sessions) == 1
        until(lambda: is_at_rest(one), "nothing is left")


def test_what_was_not_sent(net, launch):
    """The target takes one at a time and dies of the first: nobody knows what became of that one, the other one was
    not sent, and is done elsewhere."""
    def die(session, stream):
        if session is target.sessions[0]:
            waits.wait(10)
            session.sock.close()
        else:
            session.ok(stream)
    waits = threading.Event()
    with Target(net, {"/die": die}) as target:
        target.settings = setting(3, 1)
        one = launch(config(target, limits={}))
        with http2.connect((net.v4, 80)) as client:
            streams = [client.open("/die", "POST") for _ in range(2)]
            until(lambda: row_of(one)["requests"] == 2, "both are under way")
            waits.set()
            assert [client.answer(stream).status for stream in streams] == [502, 200]
        until(lambda: is_at_rest(one), "nothing is left")
