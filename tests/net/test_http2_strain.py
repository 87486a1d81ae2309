"""HTTP/2 of clients that send what is cheap for them and not for the daemon, that take nothing of what
they asked for, or take it slowly."""
import struct
import time

import pytest

import http2
import standard as ports
from http2 import END_HEADERS, END_STREAM, frame
from target import pattern_sha256
from test_http import sha256
from wire import SMALL_BUFFER, patience, until

WINDOW = http2.h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
GET = b"\x82\x86\x84\x41\x01a"
POST = b"\x83\x86\x84\x41\x01a"
LARGE_WINDOWS = struct.pack("!HI", 4, 1 << 30)


def head(stream, fields=GET, flags=END_HEADERS | END_STREAM):
    return frame(http2.HEADERS, flags, stream, fields)


def reset(stream, code=http2.CANCEL):
    return frame(http2.RST_STREAM, 0, stream, struct.pack("!I", code))


def update(increment, stream=0):
    return frame(http2.WINDOW_UPDATE, 0, stream, struct.pack("!I", increment))


def path(text, fields=GET):
    """The same of another path than "/"."""
    return fields.replace(b"\x84", b"\x04" + bytes([len(text)]) + text.encode())


# --- floods

PADDED = 8


def over(n, late):
    """Before what is late, many other streams: a server may remember some of those that are over."""
    return head(1 + 2 * n, path("/status/200")) if n < 200 else late


FLOODS = {
    "rapid reset": lambda n: head(1 + 2 * n) + reset(1 + 2 * n),
    "rapid reset of local answers": lambda n: head(1 + 2 * n, b"\x82\x86\x84") + reset(1 + 2 * n),
    "made you reset": lambda n: head(1 + 2 * n, POST + b"\x0f\x0d\x011", END_HEADERS) +
    frame(http2.DATA, END_STREAM, 1 + 2 * n, b"xx"),
    "made you reset by a short body": lambda n: head(1 + 2 * n, POST + b"\x0f\x0d\x019", END_HEADERS) +
    frame(http2.DATA, END_STREAM, 1 + 2 * n, b"xx"),
    "made you reset by a window": lambda n: head(1 + 2 * n) + update(0x7fffffff, 1 + 2 * n),
    "ping": lambda n: frame(http2.PING, 0, 0, b"12345678"),
    "ping paid by single bytes": lambda n: (head(1, path("/echo", POST), END_HEADERS) if n == 0 else
                                            frame(http2.PING, 0, 0, b"12345678") +
                                            frame(http2.DATA, 0, 1, b"x")),
    "settings": lambda n: frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, 65535)),
    "empty settings": lambda n: frame(http2.SETTINGS),
    "priority": lambda n: frame(http2.PRIORITY, 0, 1, struct.pack("!IB", 0, n & 255)),
    "unknown frames": lambda n: frame(0x42, 0, 0, b"x"),
    "window updates of one": lambda n: update(1),
    "windows of one": lambda n: (frame(http2.SETTINGS, 0, 0, struct.pack("!HI", 4, 0)) + head(1, path("/bytes/100000"))
                                 if n == 0 else update(1, 1)),
    "empty data": lambda n: head(1, POST, END_HEADERS) if n == 0 else frame(http2.DATA, 0, 1),
    "data that is padding": lambda n: (head(1, POST, END_HEADERS) if n == 0 else
                                       frame(http2.DATA, PADDED, 1, bytes([n % 3]) + bytes(n % 3))),
    "answers to no ping": lambda n: frame(http2.PING, 1, 0, b"12345678"),
    # One of a stream that stays open, or the first would be the last.
    "goaway": lambda n: (head(1, path("/echo", POST), END_HEADERS) if n == 0 else
                         frame(http2.GOAWAY, 0, 0, bytes(8))),
    "data on a stream that is over": lambda n: over(n, frame(http2.DATA, 0, 1, b"x")),
    "resets of a stream that is over": lambda n: over(n, reset(1)),
    "windows of a stream that is over": lambda n: over(n, update(1, 1)),
    "headers on a stream that is over": lambda n: over(n, head(1)),
    # A large field into the table, then references to it: 4 KB of header for each byte.
    "hpack bomb": lambda n: head(1 + 2 * n, GET + (b"\x40\x01x\x7f\xa1\x1e" + b"a" * 4000 if n == 0 else b"") +
                                 b"\xbe" * 3000),
    "hpack bomb behind a bad field": lambda n: head(
        1 + 2 * n, GET + (b"\x40\x01x\x7f\xa1\x1e" + b"a" * 4000 if n == 0 else b"") + b"\x00\x01X\x01y" +
        b"\xbe" * 3000),
}
# These cannot be answered until they are over.
ENDLESS = {
    "continuation": frame(http2.CONTINUATION, 0, 1, b"\x00\x01a\x01b"),
    "empty continuation": frame(http2.CONTINUATION, 0, 1),
}


def ended_as_flood(std, client, floods):
    assert client.goaway and client.goaway[1] == http2.ENHANCE_YOUR_CALM
    client.wire.close()
    until(lambda: std.drops().get("http2_flood", 0) == floods + 1, "it is counted")


@pytest.mark.parametrize("name", FLOODS)
def test_floods(std, net, name):
    """Few at a time, so that no limit of how many there may be at once is what ends it."""
    floods = std.drops().get("http2_flood", 0)
    with http2.frames((net.v4, ports.HTTP)) as client:
        assert client.ping()
        for start in range(0, 20000, 25):
            while start == 200 and name.endswith("that is over") and 1 not in client.ended:
                assert client.next()
            try:
                client.wire.send(b"".join(FLOODS[name](n) for n in range(start, start + 25)))
            except ConnectionError:
                client.read_on()
                break
            if not client.ping():
                break
        ended_as_flood(std, client, floods)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_heads(std, net, name):
    floods = std.drops().get("http2_flood", 0)
    with http2.frames((net.v4, ports.HTTP)) as client:
        client.wire.send(head(1, flags=END_STREAM))
        try:
            for _ in range(400):
                client.wire.send(ENDLESS[name] * 50)
        except ConnectionError:
            pass
        client.read_on()
        ended_as_flood(std, client, floods)


def test_a_lively_connection_is_no_flood(std, net):
    """Thousands of requests, one in twenty of them given up, with pings and updates among them."""
    with http2.connect((net.v4, ports.HTTP)) as plain:
        for _ in range(30):
            streams = [plain.open("/bytes/2000") for _ in range(60)]
            given_up = streams[7::20]
            for stream in given_up:
                plain.h2.reset_stream(stream, http2.CANCEL)
            plain.ping()
            for stream in streams:
                if stream not in given_up:
                    assert plain.answer(stream).length == 2000


def test_many_given_up(std, net):
    """Of each 50 requests 10, sixteen hundred in all, as fast as they are answered: still no flood."""
    with http2.frames((net.v4, ports.HTTP), LARGE_WINDOWS) as client:
        client.wire.send(update(1 << 30))
        for start in range(1, 2 * 50 * 160, 2 * 50):
            streams = range(start, start + 2 * 50, 2)
            given_up = set(streams[::5])
            client.wire.send(b"".join(head(s) + (reset(s) if s in given_up else b"") for s in streams))
            while not client.ended >= set(streams) - given_up:
                assert client.next() and not client.goaway
        assert client.ping()


# --- clients that do not read

def is_gone(std):
    return " http2 " not in std.ctl("connections", "--state", "http2", "-o", "wide")[1]


def stuff(client, length=50000000):
    """Asks for more than fits on the way, and takes nothing."""
    client.wire.send(update(1 << 30) + head(1, path(f"/bytes/{length}")))


def test_reads_nothing(std, net):
    """As in HTTP/1, the time-out ends it."""
    with http2.frames((net.v4, ports.STRICT), LARGE_WINDOWS, receive_buffer=SMALL_BUFFER) as client:
        stuff(client)
        until(lambda: not is_gone(std), "it is there")
        until(lambda: is_gone(std), "it is gone")


def test_end_without_a_window(std, net):
    """The body uses the window up; what says that it has ended waits for more of it."""
    with http2.connect((net.v4, ports.STRICT), settings={WINDOW: 20000}) as client:
        stream = client.open("/close/20000")
        assert client.answer(stream, holds=True).length == 20000
        assert not client.answers[stream].is_whole
    until(lambda: is_gone(std), "it is gone")


def test_flood_that_reads_nothing(std, net):
    """It is not told, but it ends, and is counted for what it was."""
    floods = std.drops().get("http2_flood", 0)
    with http2.frames((net.v4, ports.STRICT), LARGE_WINDOWS, receive_buffer=SMALL_BUFFER) as client:
        stuff(client)
        try:
            for _ in range(100):
                client.wire.send(frame(http2.SETTINGS) * 20)
        except ConnectionError:
            pass
        until(lambda: std.drops().get("http2_flood", 0) == floods + 1, "it is counted")
        assert is_gone(std)


def test_is_listened_to_again(std, net):
    """More waits for it than it may have: nothing is read until it takes that; then everything is answered."""
    with http2.frames((net.v4, ports.HTTP), LARGE_WINDOWS, receive_buffer=SMALL_BUFFER) as client:
        stuff(client, 5000000)
        client.wire.send(frame(http2.PING, 0, 0, b"12345678") * 600 + head(3, path("/bytes/100")))
        pongs = 0
        while pongs < 600 or not client.ended >= {1, 3}:
            came = client.next()
            assert came and not client.goaway
            pongs += came[0] == http2.PING


def test_interim_answers_without_end(std, net):
    """They are kept for a client that does not read, up to a limit."""
    with http2.connect((net.v4, ports.HTTP), settings={WINDOW: 1 << 30}, receive_buffer=SMALL_BUFFER) as client:
        client.h2.increment_flow_control_window(1 << 30)
        large = client.open("/bytes/50000000")
        bad = std.drops().get("target_bad_response", 0)
        hints = client.open("/hints/20000")
        until(lambda: std.drops().get("target_bad_response", 0) == bad + 1, "it is refused")
        client.h2.reset_stream(large)
        client.flush()
        assert client.answer(hints).status == 502


def test_interim_answers_that_are_read(std, net):
    """Many in one piece: all of them arrive."""
    with http2.connect((net.v4, ports.HTTP)) as client:
        answer = client.request("/hints/1000")
        assert (answer.status, len(answer.interim)) == (200, 1000)


def test_slow_readers_cost_little(std, net):
    """64 streams of a large body each, of a client that reads nothing."""
    before = std.rested_rss_bytes()
    with http2.connect((net.v4, ports.HTTP), settings={WINDOW: 1 << 30}, receive_buffer=SMALL_BUFFER) as connection:
        connection.h2.increment_flow_control_window((1 << 30))
        for _ in range(64):
            connection.open("/bytes/100000000")
        connection.wire.take(100000)
        grown = std.rested_rss_bytes() - before
        assert grown < 24 << 20, f"{grown >> 20} MiB"


def test_a_fast_answer_holds_up_no_other(std, net):
    """Its target is faster than the client, and so is always ready to send."""
    with http2.connect((net.v4, ports.HTTP), settings={WINDOW: 1 << 30}, receive_buffer=SMALL_BUFFER) as client:
        client.h2.increment_flow_control_window(1 << 30)
        large = client.open("/bytes/40000000")
        while client.answers[large].length < 500000:
            assert client.more(holds=True)
        small = [client.open("/bytes/20000") for _ in range(5)]
        start = client.answers[large].length
        for stream in small:
            assert sha256(client.answer(stream, holds=True).body) == pattern_sha256(20000)
        assert client.answers[large].length - start < 4000000


def test_many_answers_to_a_slow_client(std, net):
    """The turn of each comes more seldom than its time-out: none is cut while the client takes the others."""
    with http2.frames((net.v4, ports.STRICT), LARGE_WINDOWS, receive_buffer=SMALL_BUFFER) as client:
        client.wire.send(update(1 << 30))
        streams = range(1, 81, 2)
        client.wire.send(b"".join(head(stream, path("/bytes/50000")) for stream in streams))
        while not client.ended >= set(streams):
            assert client.next() and not client.resets and not client.goaway
            time.sleep(patience(0.012))


def test_the_last_goaway_waits(std, net, targets):
    """What comes behind it, but before it is sent, is refused, and no target has seen it: the client may
    repeat it elsewhere."""
    seen = sum(target.stats()["paths"].get("echo", 0) for target in targets)
    with http2.frames((net.v4, ports.REQUESTS_3), LARGE_WINDOWS, receive_buffer=SMALL_BUFFER) as client:
        stuff(client, 8000000)
        client.wire.send(b"".join(head(stream, path("/echo", POST)) for stream in (3, 5, 7)))
        time.sleep(patience(1.5))  # no longer does the daemon wait for the client to see the first GOAWAY
        client.wire.send(b"".join(head(stream, path("/echo", POST)) for stream in (9, 11, 13)))
        client.read_on()
    assert client.goaway == (7, http2.NO_ERROR)
    assert client.ended == {1, 3, 5, 7}
    assert sum(target.stats()["paths"].get("echo", 0) for target in targets) - seen == 3
