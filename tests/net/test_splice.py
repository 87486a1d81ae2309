"""Bodies and tunnels between plain sockets, where the bytes go through pipes in the kernel: all of
them arrive, none of a neighbour's, none late, and nothing stays behind."""
import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import standard as ports
from target import pattern, pattern_sha256
from wire import SMALL_BUFFER, Connection, until

HOST = b"Host: www.sluice.test\r\n"
KIB = 1024
# Around what decides: buffers of 16, 64 and 512 KiB, pipes of 512 KiB, a body's last 64 KiB.
SIZES = [0, 1, 16 * KIB - 100, 16 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 80 * KIB, 80 * KIB + 1,
         128 * KIB, 200_000, 512 * KIB - 1, 512 * KIB, 512 * KIB + 1, 576 * KIB, 1_000_000, 4 << 20]


def sent(length):
    return b"".join(pattern(length))


@pytest.fixture
def client(std, net):
    """A connection to the http listener whose group has one target only."""
    with Connection((net.v4, ports.ONE)) as connection:
        yield connection


def counters(std, name):
    return next(row for row in std.api("/v1/listeners")["listeners"] if row["name"] == name)


def test_answers_of_all_sizes(client):
    """One after another over the same two connections."""
    served = client.request("/echo").json()["served"]
    for length in random.Random(1).sample(SIZES * 2, len(SIZES) * 2):
        answer = client.request(f"/bytes/{length}")
        assert (answer.status, len(answer.body)) == (200, length)
        assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(length), length
    assert client.request("/echo").json()["served"] == served + len(SIZES) * 2 + 1


def test_requests_of_all_sizes(client):
    """Each with another request right behind its body."""
    served = client.request("/echo").json()["served"]
    for length in random.Random(2).sample(SIZES, len(SIZES)):
        client.send(b"PUT /echo HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%bGET /bytes/7 HTTP/1.1\r\n%b\r\n"
                    % (HOST, length, sent(length), HOST))
        seen = client.response().json()
        assert (seen["length"], seen["sha256"]) == (length, pattern_sha256(length))
        assert client.response().body == sent(7)
    assert client.request("/echo").json()["served"] == served + len(SIZES) * 2 + 1


def test_pipelined_answers(client):
    client.send(b"".join(b"GET /bytes/%d HTTP/1.1\r\n%b\r\n" % (length, HOST) for length in SIZES))
    for length in SIZES:
        assert client.response().body == sent(length), length


@pytest.mark.parametrize("length", [300_000, 5_000_000])
def test_until_close(std, net, length):
    """To an HTTP/1.0 client the end of the connection is the end of the body."""
    with Connection((net.v4, ports.ONE)) as client:
        client.send(b"GET /close/%d HTTP/1.0\r\n%b\r\n" % (length, HOST))
        assert client.response().body == sent(length)


def test_no_body_whatever_the_length(client):
    """HEAD has the length of a GET; what follows is the next answer."""
    client.send(b"HEAD /bytes/1000000 HTTP/1.1\r\n%b\r\nGET /status/204 HTTP/1.1\r\n%b\r\n"
                b"GET /status/304 HTTP/1.1\r\n%b\r\nGET /bytes/300000 HTTP/1.1\r\n%b\r\n" % ((HOST,) * 4))
    assert client.response("HEAD").get("content-length") == "1000000"
    assert [client.response().status for _ in range(2)] == [204, 304]
    assert client.response().body == sent(300_000)


def test_100_continue(client):
    length = 2_000_000
    client.send(b"POST /100 HTTP/1.1\r\n%bContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (HOST, length))
    assert client.head().status == 100
    client.send(sent(length))
    assert client.response().json()["sha256"] == pattern_sha256(length)


def test_byte_counters(std, net):
    """What a listener counts is what went over its connections, to the byte."""
    with Connection((net.v4, ports.ONE)) as client:
        client.request("/bytes/1")  # the listener's other clients have gone
        until(lambda: counters(std, "one")["open"] == 1, "the others have gone")
        before = counters(std, "one")
        request = b"PUT /echo HTTP/1.1\r\n%bContent-Length: 1000000\r\n\r\n" % HOST
        client.send(request + sent(1_000_000))
        head = client.take_until(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        client.take(length)
        out = len(head) + length
        second = b"GET /bytes/1000001 HTTP/1.1\r\n%b\r\n" % HOST
        client.send(second)
        head = client.take_until(b"\r\n\r\n")
        client.take(1_000_001)
        out += len(head) + 1_000_001
        until(lambda: counters(std, "one")["bytes_out"] - before["bytes_out"] >= out, "it is counted")
    after = counters(std, "one")
    assert after["bytes_out"] - before["bytes_out"] == out
    assert after["bytes_in"] - before["bytes_in"] == len(request) + 1_000_000 + len(second)


def test_many_at_once(std, net):
    """Connections of all kinds at the same time, readers of all speeds: nobody gets another's bytes."""
    def work(seed):
        rng = random.Random(seed)
        with Connection((net.v4, ports.HTTP), timeout=60,
                        receive_buffer=rng.choice([None, SMALL_BUFFER, 65536])) as client:
            for _ in range(6):
                length = rng.choice(SIZES) + rng.randrange(3)
                if rng.random() < 0.5:
                    client.send(b"PUT /echo HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, length))
                    data = sent(length)
                    while data:
                        piece = rng.randrange(1, 200_000)
                        client.send(data[:piece])
                        data = data[piece:]
                    assert client.response().json()["sha256"] == pattern_sha256(length)
                else:
                    answer = client.request(f"/bytes/{length}")
                    assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(length)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))


def take_slowly(connection, length, rng):
    """Reads in pieces of random sizes from small buffers."""
    digest, left = hashlib.sha256(), length
    if connection.held:
        digest.update(connection.held)
        left -= len(connection.held)
        connection.held = b""
    while left:
        data = connection.recv(min(left, rng.choice([1, 100, 5000, 70000])))
        assert data, f"{left} bytes are missing"
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()


@pytest.mark.parametrize("seed", range(3))
def test_slow_reader(std, net, seed):
    """The pipe is full again and again; every byte comes, and the connection goes on."""
    length = 2_500_000 + seed
    with Connection((net.v4, ports.ONE), receive_buffer=SMALL_BUFFER) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\n%b\r\n" % (length, HOST))
        assert client.head().status == 200
        assert take_slowly(client, length, random.Random(seed)) == pattern_sha256(length)
        assert client.request("/bytes/5").body == sent(5)


def test_slow_reader_of_a_tunnel(std, net):
    length = 2_500_000
    with Connection((net.v4, ports.TCP), receive_buffer=SMALL_BUFFER) as connection:
        connection.send(b"give %d\n" % length)
        assert take_slowly(connection, length, random.Random(1)) == pattern_sha256(length)


def test_nothing_is_held_back(std, net):
    """A tunnel passes on what there is at once, few bytes and many, also few after many."""
    rng = random.Random(3)
    with Connection((net.v4, ports.TCP), timeout=5) as connection:
        connection.send(b"echo\n")
        for length in [1, 100, 1, 60_000, 1, 400_000, 1, 7, 30_000, 1] * 3:
            data = rng.randbytes(length)
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            assert connection.take(length) == data
            sender.join()


def test_urgent_byte(std, net):
    """Urgent data is not passed on, and neither stops a tunnel nor ends it."""
    with Connection((net.v4, ports.TCP)) as connection:
        connection.send(b"echo\n" + sent(500_000))
        connection.take(500_000)
        connection.sock.send(b"!", socket.MSG_OOB)
        connection.send(b"behind it")
        connection.finish()
        assert connection.rest() == b"behind it"


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("length", [100_000, 3_000_000])
def test_target_cuts_the_answer(std, net, length, how):
    """The client must learn that this was not all: by a RST."""
    before = std.drops()["target_cut_response"]
    with Connection((net.v4, ports.ONE)) as client:
        client.send(b"GET /cut/%d/%b HTTP/1.1\r\n%b\r\n" % (length, how.encode(), HOST))
        assert client.head().status == 200
        with pytest.raises(ConnectionResetError):
            client.rest()
    until(lambda: std.drops()["target_cut_response"] == before + 1, "it is counted")


def at_rest(std):
    until(lambda: std.api("/v1/status")["connections_open"] == 0, "no connection is open")


@pytest.mark.parametrize("kind", ["answer", "request", "tunnel"])
def test_clients_that_go_leave_nothing(std, net, kind):
    """Bytes are in pipes when the clients reset; then there are as few descriptors as before."""
    begin = {"answer": (ports.ONE, b"GET /bytes/100000000 HTTP/1.1\r\n%b\r\n" % HOST),
             "request": (ports.ONE, b"PUT /sink/5000 HTTP/1.1\r\n%bContent-Length: 100000000\r\n\r\n" % HOST),
             "tunnel": (ports.TCP, b"give 100000000\n")}
    port, first = begin[kind]

    def crowd(number):
        clients = [Connection((net.v4, port), receive_buffer=SMALL_BUFFER) for _ in range(number)]
        try:
            for client in clients:
                client.send(first)
            if kind == "request":
                until(lambda: not any([client.push() for client in clients]), "nothing more is taken",
                      pause=0.3)
            else:
                for client in clients:
                    client.take(1000)
            until(lambda: std.open_files("pipe:") >= number, "pipes hold bytes for most of them")
        finally:
            for client in clients:
                client.reset()
        at_rest(std)

    at_rest(std)
    number = 8
    before, stock = std.open_files("socket:"), max(std.open_files("pipe:"), 2 * number)
    for _ in range(3):
        crowd(number)
    until(lambda: std.open_files("socket:") <= before, "no socket is left")
    assert std.open_files("pipe:") <= stock  # empty ones wait for their next use
