"""TLS connections whose records are the kernel's, in all settings that put them there, and the same with
records of ours ("off"; the only case where the kernel has no TLS): every cipher, bulk, ends of all
kinds, records that no library sends, new keys."""
import hashlib
import json
import os
import random
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

import netns
import records
from connections import name_of, row_of
from counts import count
from ktls import CAN_REKEY, HAS_KTLS, SETTINGS, Ktls, tls_stat
from net import CLIENTS
from records import Alert, RecordConnection
from sluiced import IS_SANITIZED, stopwatch
from standard import NO_CHECK, group, listener
from target import pattern, pattern_sha256
from test_scale import Crowd
from wire import SMALL_BUFFER, TlsConnection, milliseconds, patience, until

WWW = "www.sluice.test"
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CIPHERS = [(V13, name) for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                    "TLS_CHACHA20_POLY1305_SHA256")]
CIPHERS += [(V12, f"ECDHE-{key}-{name}") for key in ("ECDSA", "RSA")
            for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")]
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
BULK = 300_000  # as much as is spliced, and has the kernel take over where the setting is auto


@pytest.fixture(params=SETTINGS, ids=[f"records-{s if HAS_KTLS else 'ours'}" for s in SETTINGS])
def ktls(request, net, ktls_daemon):
    return Ktls(net, ktls_daemon, request.param)


def sent(length):
    return b"".join(pattern(length))


checksum = cache(pattern_sha256)


def upload(connection, length):
    connection.send(b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    for piece in pattern(length):
        connection.send(piece)
    seen = connection.response().json()
    assert (seen["length"], seen["sha256"]) == (length, checksum(length))
    return seen


def take_digest(connection, length, take=lambda: 1 << 18):
    """Reads that many bytes, without keeping them; their checksum."""
    digest, left = hashlib.sha256(), length
    data, connection.held = connection.held, b""
    while True:
        digest.update(data[:left])
        data, left = data[left:], left - min(left, len(data))
        if not left:
            connection.held = data
            return digest.hexdigest()
        data = connection.recv(take())
        assert data, f"{left} of {length} bytes are missing"


def download(connection, length):
    connection.send(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % length)
    assert connection.head().get("content-length") == str(length)
    assert take_digest(connection, length) == checksum(length)


def both_ways(connection, length, word):
    """Through a tunnel, on two threads. `word`: "both", or "echo" for a target that cannot end one
    direction by itself."""
    def sender():
        for piece in pattern(length):
            connection.send(piece)
        if word == "both":
            connection.finish()
    connection.send(f"{word} {length}\n" if word == "both" else f"{word}\n")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(sender)
        assert take_digest(connection, length) == checksum(length)
        future.result()
    if word == "echo":
        connection.finish()
    assert connection.recv() == b""


def open_tunnel(ktls, kind="tls", **options):
    """An echo whose both directions have carried bulk."""
    connection = ktls.dial(kind, **options)
    connection.send(b"echo\n" + sent(BULK))
    assert connection.take(BULK) == sent(BULK)
    return connection


def ping(connection, data=b"still there"):
    connection.send(data)
    assert connection.take(len(data)) == data


# --- every cipher; what is counted and shown


@pytest.mark.parametrize("version,cipher", CIPHERS, ids=[name for _, name in CIPHERS])
def test_cipher(ktls, version, cipher):
    with ktls.dial("https", version=version, cipher=cipher) as connection:
        assert connection.cipher == cipher
        download(connection, BULK)
        upload(connection, BULK)
        download(connection, 10)
        ktls.expect_places(connection)
        ktls.counted(ktls.rx, ktls.tx, ktls.rx, ktls.tx)
    ktls.all_gone()


@pytest.mark.parametrize("kind", ["https-https", "tls-tls"])
def test_to_targets(ktls, kind):
    """Both sides of a re-encrypted connection."""
    if kind == "tls-tls":
        with open_tunnel(ktls, kind) as connection:
            ktls.expect_places(connection, ("tls", "target_tls"))
            ktls.counted(2 * ktls.rx, 2 * ktls.tx, 2 * ktls.rx, 2 * ktls.tx)
    else:
        with ktls.dial(kind) as connection:
            connection.send(b"PUT /sink/0 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (BULK + 1))
            connection.send(sent(BULK))
            # Without a version as long as the handshake with the target is under way.
            version = until(lambda: (row_of(ktls.one, connection)["target_tls"] or {}).get("version"),
                            "it is with the target")
            assert version == "TLSv1.3"
            connection.send(b"1")
            assert connection.response().body == b"%d\n" % (BULK + 1)
            # One connection to the target for each request: one that has sent much, one that received it.
            download(connection, BULK)
            ktls.expect_places(connection)
    # In auto a direction with a request and no body stays with us.
    targets = 2 if kind == "https-https" and ktls.setting in ("require", "tx") else 1
    ktls.all_gone(1 + targets)


def test_shown(ktls):
    with open_tunnel(ktls) as connection:
        name = name_of(connection)
        wide = ktls.one.ctl("-o", "wide", "connections", "--listener", f"{ktls.setting}-tls")[1]
        line = next(line for line in wide.splitlines() if f" {name} " in line)
        assert line.split().count("kernel") == ktls.rx + ktls.tx, line
    row = {1: "kernel", 0: r"(?!kernel)\w+"}
    ktls.said(rf"client {name}: .* rx={row[ktls.rx]} tx={row[ktls.tx]}")
    ktls.all_gone()


def test_little(ktls):
    """What carries little, or much that is copied, is not handed over where it need not be."""
    def places(connection):
        tls = row_of(ktls.one, connection)["tls"]
        return tls["rx"]["place"], tls["tx"]["place"]
    little = {"auto": ("waits", "waits"), "require": ("kernel", "kernel"), "tx": ("off", "kernel"),
              "off": ("off", "off")}[ktls.setting]
    with ktls.dial("https") as connection:
        for _ in range(20):
            download(connection, 10)
        assert places(connection) == little
        connection.send(b"GET /chunked/%d HTTP/1.1\r\nHost: a\r\n\r\n" % BULK)
        assert connection.response().body == sent(BULK)
        assert places(connection) == little
    is_auto = ktls.setting == "auto"
    ktls.counted(0 if is_auto else ktls.rx, 0 if is_auto else ktls.tx, 0, 0)


def test_required(net, launch):
    """`ktls: require`: a client for whom it cannot be is refused, and the reason counted and logged."""
    one = launch({"log": {"level": "debug"}, "certificates": net.certificates("www"),
                  "target_groups": [group("web", "http", net.target_list(8080, 1))],
                  "listeners": [listener("web", "https", 443, "web", certificates=["www"],
                                         tls={"ktls": "require"})]})

    def client(reason, *options):
        done = s_client((net.v4, 443), *options, stdin=b"GET / HTTP/1.0\r\n\r\n")
        if reason:
            until(lambda: re.search(rf"TLS handshake: ktls_required \w\w: {reason}", one.log()), f"the log says {reason}")
        assert (b"hello" in done.stdout) == (not reason)
    client("record_size", "-tls1_2", "-maxfraglen", "1024")
    client(None if HAS_KTLS else "no_kernel_tls")
    client(None if HAS_KTLS else "no_kernel_tls", "-tls1_2")
    rows = one.api("/v1/counters")["counters"]
    assert next(row["count"] for row in rows if row["reason"] == "tls_ktls_required") == (1 if HAS_KTLS else 3)


def test_idle_behind_the_end(net, launch):
    """The target has ended, the client takes nothing: nothing that is asked of the kernel meanwhile
    keeps the connection."""
    one = launch({"log": {"level": "debug"}, "certificates": net.certificates("www"),
                  "target_groups": [group("raw", "tcp", net.target_list(9000, 1))],
                  "listeners": [listener("raw", "tls", 443, "raw", certificates=["www"],
                                         tls={"ktls": "require" if HAS_KTLS else "off"},
                                         timeouts={"idle": milliseconds(300)})]})
    clients = []
    try:
        for length in range(200_000, 4_200_000, 100_000):
            clients.append(RecordConnection((net.v4, 443), receive_buffer=SMALL_BUFFER))
            clients[-1].send(b"give %d\n" % length)
        until(lambda: one.api("/v1/status")["connections_open"] == 0, "no connection is open", 20)
        assert ": idle_timeout " in one.log()
    finally:
        for client in clients:
            client.close()


# --- bulk


@pytest.mark.parametrize("kind", ["https", "https-https", "tls", "tls-tls"])
def test_bulk(ktls, kind):
    """Up and down at the same time, with checksums."""
    length = count("ktls_bytes" if ktls.setting in ("auto", "off") and kind in ("https", "tls") else "big_bytes")
    if kind.startswith("tls"):
        with ktls.dial(kind, timeout=60) as connection:
            both_ways(connection, length, "both" if kind == "tls" else "echo")
        ktls.all_gone(2 if kind == "tls-tls" else 1)
        return

    def work(step):
        with ktls.dial(kind, timeout=60) as connection:
            step(connection, length)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (upload, download)))
    if ktls.setting == "auto":  # what carries little stays with us
        ktls.counted(ktls.rx, ktls.tx, 0, 0)
    else:
        ktls.all_gone(4 if kind == "https-https" else 2)


def test_many_at_once(ktls):
    """Everybody gets his own bytes."""
    def work(seed):
        rng = random.Random(seed)
        version, cipher = rng.choice(CIPHERS)
        with ktls.dial("https-https" if seed % 3 == 0 else "https", version=version, cipher=cipher, timeout=60,
                       piece=rng.choice([1000, 5000, records.PLAIN_MAX]),
                       receive_buffer=rng.choice([None, SMALL_BUFFER, 65536])) as connection:
            for _ in range(4):
                rng.choice((upload, download))(connection, rng.choice([0, 1, 20_000, 70_000, 200_000, 600_000]))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    until(lambda: ktls.now()["TlsCurrTxSw"] + ktls.now()["TlsCurrRxSw"] == 0, "none is left")
    assert ktls.delta()["TlsDecryptError"] == 0


@pytest.mark.parametrize("kind", ["https", "tls"])
def test_slow_reader(ktls, kind):
    """The socket is full again and again; every byte comes, and the connection goes on."""
    length, rng = 1_500_000, random.Random(5)
    with ktls.dial(kind, receive_buffer=SMALL_BUFFER, timeout=60) as connection:
        if kind == "https":
            connection.send(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % length)
            connection.head()
        else:
            connection.send(b"give %d\n" % length)

        def slowly():
            if rng.random() < 0.05:
                time.sleep(0.02)  # not synchronisation: that is the slowness
            return 1
        assert take_digest(connection, length, slowly) == checksum(length)
        if kind == "https":
            download(connection, 100)
        else:
            assert connection.recv() == b""
    assert ktls.delta()["TlsDecryptError"] == 0


# --- nothing is held back


@pytest.mark.parametrize("length", [0, 1_000, 200_000, 2_000_000])
@pytest.mark.parametrize("kind", ["https", "https-https"])
def test_drip_of_a_body(ktls, kind, length):
    """100 bytes behind others, then nothing: the client has them although no end is in sight."""
    with ktls.dial(kind, timeout=5) as connection:
        connection.send(b"GET /drip/%d HTTP/1.1\r\nHost: a\r\n\r\n" % length)
        connection.head()
        assert take_digest(connection, length) == checksum(length)
        assert connection.take(100) == sent(100)


@pytest.mark.parametrize("kind", ["tls", "tls-tls"])
def test_drip_of_a_tunnel(ktls, kind):
    """Few bytes and many, few after many: all at once, none after a pause of the kernel's (which holds
    what is to be continued for 200 ms)."""
    rng, watches = random.Random(3), []
    with ktls.dial(kind, timeout=5) as connection:
        connection.send(b"echo\n")
        for length in [1, 100, 1, 60_000, 1, 400_000, 1, 7, 30_000, 1] * 2:
            data = rng.randbytes(length)
            watch = stopwatch()
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            assert connection.take(length) == data
            if length == 1:
                watches.append(watch())
            sender.join()
    assert sorted(watches)[len(watches) // 2] < 0.15, watches


# --- ends


@pytest.mark.parametrize("has_fin", [False, True], ids=["notify", "notify-fin"])
@VERSIONS
def test_client_ends_first(ktls, version, has_fin):
    """Its end is the target's, and the answer comes all the same, with an end of its own."""
    with ktls.dial("tls", version=version) as connection:
        connection.send(b"sink\n" + sent(BULK))
        connection.finish()
        if has_fin:
            connection.sock.shutdown(socket.SHUT_WR)
        report = json.loads(connection.rest())
        assert report == {"length": BULK, "sha256": checksum(BULK), "end": "eof"}
        assert connection.alerts == [(records.WARNING, records.CLOSE_NOTIFY)]
        assert connection.end_of_tcp()
    until(lambda: ktls.now()["TlsCurrRxSw"] == 0, "none is left")


@VERSIONS
def test_target_ends_first(ktls, targets, version):
    with ktls.dial("tls", version=version) as connection:
        connection.send(b"give %d\n" % BULK)
        assert connection.rest() == sent(BULK)
        assert connection.alerts == [(records.WARNING, records.CLOSE_NOTIFY)]
        connection.send(sent(BULK))
        connection.finish()
        until(lambda: targets[0].stats()["raw"], "the target has everything")
    assert targets[0].stats()["raw"] == [{"length": BULK, "sha256": checksum(BULK), "end": "eof"}]
    ktls.all_gone()


@VERSIONS
def test_notify_of_an_idle_client(ktls, version):
    """The daemon answers a close_notify, and says its own before it closes by itself."""
    with ktls.dial("https", version=version) as connection:
        download(connection, BULK)
        connection.finish()
        assert connection.recv() == b"" and connection.end_of_tcp()
    with ktls.dial("https", version=version) as connection:
        connection.send(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % BULK)
        connection.head()
        assert take_digest(connection, BULK) == checksum(BULK)
        assert connection.recv() == b"" and connection.end_of_tcp()
        assert connection.alerts == [(records.WARNING, records.CLOSE_NOTIFY)]


def test_until_close(ktls):
    with ktls.dial("https") as connection:
        connection.send(b"GET /close/%d HTTP/1.0\r\nHost: a\r\n\r\n" % (2 * BULK))
        connection.head()
        assert connection.rest() == sent(2 * BULK)  # ends by close_notify, else EOFError


@pytest.mark.parametrize("what", ["download", "upload", "tunnel"])
def test_client_resets(ktls, targets, what):
    """In the middle of bulk: the target hears of it, and nothing stays behind."""
    connection = ktls.dial("tls" if what == "tunnel" else "https", receive_buffer=65536)
    connection.send({"download": b"GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n", "tunnel": b"both 50000000\n",
                     "upload": b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n"}[what])
    if what != "download":
        connection.send(sent(BULK))
    if what != "upload":
        connection.take(BULK)
    else:
        until(lambda: targets[0].stats()["body_bytes"] >= BULK // 2, "the target has some of it")
    row_of(ktls.one, connection)
    connection.reset()
    if what == "tunnel":
        until(lambda: targets[0].stats()["raw"] or targets[0].stats()["aborted"], "the target has heard of it")
    else:
        until(lambda: targets[0].stats()["aborted"] == 1, "the target has heard of it")
    until(lambda: ktls.one.api("/v1/status")["connections_open"] == 0, "it is gone")
    now = ktls.delta()
    assert now["TlsCurrTxSw"] == now["TlsCurrRxSw"] == now["TlsDecryptError"] == 0


@VERSIONS
def test_alert(ktls, targets, version):
    """A fatal alert ends both sides at once; the log has its name."""
    before = ktls.failures("peer_alert")
    with open_tunnel(ktls, version=version) as connection:
        connection.send_alert(records.FATAL, 49)
        with pytest.raises((EOFError, ConnectionResetError)):
            connection.recv()
    ktls.said(r"failure=peer_alert access denied")
    until(lambda: ktls.failures("peer_alert") == before + 1, "it is counted")
    until(lambda: targets[0].stats()["raw_open"] == 0, "the target's side is closed too")
    ktls.all_gone()


@VERSIONS
def test_warning_is_no_end(ktls, version):
    with open_tunnel(ktls, version=version) as connection:
        connection.send_alert(records.WARNING, 90)  # user_canceled
        ping(connection)


# --- records


@VERSIONS
def test_sizes_of_records(ktls, version):
    """A byte each, as many as fit, and empty ones in between."""
    with open_tunnel(ktls, version=version) as connection:
        for piece, length in ((1, 300), (records.PLAIN_MAX, 4 * records.PLAIN_MAX), (1, 10), (16_000, 100_000)):
            connection.piece = piece
            data = random.Random(piece).randbytes(length)
            sender = threading.Thread(target=connection.send, args=(data,))
            sender.start()
            assert connection.take(length) == data
            sender.join()
        for _ in range(20):
            connection.send_record(records.DATA, b"")
        ping(connection)
    assert max(connection.sizes) == records.PLAIN_MAX
    ktls.all_gone()


def test_request_of_bytes(ktls):
    with ktls.dial("https", piece=1) as connection:
        for length in (10, BULK):
            download(connection, length)


@pytest.mark.parametrize("padding", [1, 255, 4096, "all"])
def test_padding(ktls, padding):
    piece = 1000
    with open_tunnel(ktls, piece=piece,
                     padding=records.PLAIN_MAX - piece if padding == "all" else padding) as connection:
        ping(connection)
    with ktls.dial("https", piece=piece, padding=100) as connection:
        upload(connection, BULK)


@VERSIONS
def test_damaged_record(ktls, version):
    with open_tunnel(ktls, version=version) as connection:
        record = bytearray(connection.tx.seal(records.DATA, b"hello"))
        record[-1] ^= 1
        connection.sock.sendall(record)
        with pytest.raises(Alert) as raised:
            connection.recv()
        assert raised.value.args == (records.BAD_RECORD_MAC,)
    ktls.said(r"failure=bad_record")
    ktls.all_gone(errors=ktls.rx)


@VERSIONS
def test_record_too_long(ktls, version):
    with open_tunnel(ktls, version=version) as connection:
        connection.send_record(records.DATA, bytes(records.PLAIN_MAX + 1 + (1 << 8)))
        with pytest.raises(Alert) as raised:
            connection.recv()
        assert raised.value.args == (records.RECORD_OVERFLOW,)


def test_flood_of_empty_records(ktls):
    """Ended by us; the recv() of a kernel skips them without a word, and then bytes flow as before."""
    with open_tunnel(ktls) as connection:
        try:
            for _ in range(1000):
                connection.send_record(records.DATA, b"")
            ping(connection)
            assert ktls.rx
        except Alert as error:
            assert error.args == (records.UNEXPECTED_MESSAGE,)
        except ConnectionError:
            pass  # by the alert's RST, while more of them were on their way


@pytest.mark.parametrize("empty", [1, 2])
@VERSIONS
def test_empty_records_in_front_of_the_end(ktls, version, empty):
    """In one segment: the kernel says "nothing" of them, as it does at the end of TCP."""
    with open_tunnel(ktls, version=version) as connection:
        ends = [(records.DATA, b"")] * empty + [(records.ALERT, bytes([records.WARNING, records.CLOSE_NOTIFY]))]
        connection.sock.sendall(b"".join(connection.tx.seal(kind, data) for kind, data in ends))
        assert connection.recv() == b"" and connection.end_of_tcp()
    ktls.said("done.* tls=")
    ktls.all_gone()


# --- new keys


@pytest.mark.parametrize("request_answer", [0, 1], ids=["update_not_requested", "update_requested"])
@pytest.mark.parametrize("kind", ["tls", "tls-tls"])
def test_key_update(ktls, kind, request_answer):
    """The client changes its key, and asks for ours to be changed, or not. A kernel before 6.14 cannot:
    then the end is no truncation but an alert, and counted."""
    before = ktls.failures("ktls_no_rekey")
    with open_tunnel(ktls, kind) as connection:
        needs_rekey = ktls.rx or (ktls.tx and request_answer)
        connection.update_key(request_answer)
        if needs_rekey and not CAN_REKEY:
            with pytest.raises(Alert) as raised:
                ping(connection)
            assert raised.value.args == (records.INTERNAL_ERROR,)
            until(lambda: ktls.failures("ktls_no_rekey") == before + 1, "it is counted")
            return
        for turn in range(1, 4):
            ping(connection, sent(BULK // 2))
            assert connection.rx.updates == (turn if request_answer else 0)
            assert not connection.update_asked
            connection.update_key(request_answer)
        ping(connection)
        assert row_of(ktls.one, connection)["tls"]["key_updates"] == 4 * (1 + request_answer)
    ktls.all_gone(2 if kind == "tls-tls" else 1)


def test_key_updates_behind_each_other(ktls):
    """Many are answered by one, and they may come in one segment with data."""
    if HAS_KTLS and ktls.rx and not CAN_REKEY:
        return
    with open_tunnel(ktls) as connection:
        out = b""
        for number in range(10):
            out += connection.tx.seal(records.HANDSHAKE, bytes([records.KEY_UPDATE, 0, 0, 1, number % 2]))
            connection.tx.update()
            out += connection.tx.seal(records.DATA, b"%d" % number)
        connection.sock.sendall(out)
        if ktls.tx and not CAN_REKEY:
            with pytest.raises(Alert):
                connection.take(10)
            return
        assert connection.take(10) == b"0123456789"
        assert 1 <= connection.rx.updates <= 5
        ping(connection)


def test_renegotiation_is_refused(ktls):
    """RFC 5246 lets a client ask at any time; nobody needs it."""
    with open_tunnel(ktls, version=V12) as connection:
        connection.send_record(records.HANDSHAKE, bytes([1, 0, 0, 4]) + b"\3\3\0\0")
        with pytest.raises(Alert) as raised:
            connection.recv()
        assert raised.value.args == (records.UNEXPECTED_MESSAGE,)


# --- OpenSSL as the client


def s_client(address, *options, stdin=b""):
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address, "-servername", WWW, "-quiet",
                           *options], input=stdin, capture_output=True, timeout=patience(20))


class OpenSsl:
    """s_client whose lines k and K change keys: its own; its own and ours."""

    def __init__(self, address, *options):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect", "%s:%d" % address, "-servername", WWW, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
            preexec_fn=netns.die_with_parent)
        self.out = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def say(self, line):
        self.process.stdin.write(line + b"\n")

    def hear(self, wanted):
        end = time.monotonic() + patience(10)
        while wanted not in self.out:
            assert select.select([self.process.stdout], [], [], end - time.monotonic())[0], self.out[-2000:]
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            assert data, self.out[-2000:]
            self.out += data
        self.out = self.out[self.out.index(wanted) + len(wanted):]


@pytest.mark.parametrize("kind", ["tls", "tls-tls"])
def test_key_update_of_openssl(ktls, kind):
    if HAS_KTLS and ktls.setting != "off" and not CAN_REKEY:
        return  # how it ends there: test_key_update
    with OpenSsl(ktls.address(kind)) as client:
        client.hear(b"Verify return code")
        client.say(b"echo")
        for word in (b"k", b"K", b"k", b"K"):
            client.say(b"data before " + word)
            client.hear(b"data before " + word)
            client.say(word)
            client.hear(b"KEYUPDATE")
            client.say(b"data behind " + word)
            client.hear(b"data behind " + word)


@pytest.mark.parametrize("options", [["-record_padding", "4096"], ["-record_padding", "16384"],
                                     ["-max_send_frag", "512"], ["-split_send_frag", "600"], ["-tls1_2"],
                                     ["-tls1_2", "-maxfraglen", "512"]], ids=" ".join)
def test_openssl(ktls, options, tmp_path):
    if ktls.setting == "require" and "-maxfraglen" in options:
        return  # test_required
    done = s_client(ktls.address("https"), *options, stdin=(
        b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % BULK + sent(BULK)
        + b"GET /bytes/100000 HTTP/1.0\r\nHost: a\r\n\r\n"))
    assert checksum(BULK).encode() in done.stdout
    assert done.stdout.endswith(sent(100_000)), done.stderr


# --- crowds

KIB_PER_CONNECTION_MAX = 1 if HAS_KTLS else 2
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture
def small_pages():
    """In a virtual machine: where the kernel gives every heap huge pages, a heap grows by 2 MiB at a
    time, and what one connection takes cannot be seen."""
    if "SLUICE_VM" not in os.environ:
        yield
        return
    before = re.search(r"\[(\w+)\]", HUGE_PAGES.read_text())[1]
    HUGE_PAGES.write_text("madvise")
    yield
    HUGE_PAGES.write_text(before)


def test_idle_connections(net, small_pages, launch):
    """What each costs the daemon once its records are the kernel's: next to nothing. Then bytes flow."""
    number = count("ktls_idle_connections") // (5 if IS_SANITIZED else 1)
    setting = "require" if HAS_KTLS else "off"
    one = launch({"certificates": net.certificates("www"), "limits": {"connections": 2 * number},
                  "target_groups": [group("web", "http", net.target_list(8080, 1), NO_CHECK)],
                  "listeners": [listener("web", "https", 443, "web", certificates=["www"], tls={"ktls": setting},
                                         timeouts={"keep_alive": "30m", "header": "30m"})]})
    with Crowd((net.v4, 443), 64), TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
    until(lambda: one.api("/v1/status")["connections_open"] == 0, "the first have gone")
    one.rested_rss_bytes()
    before = one.status_kib("RssAnon")
    some = [RecordConnection((net.v4, 443), source=CLIENTS[i % len(CLIENTS)]) for i in range(10)]
    try:
        with Crowd((net.v4, 443), number - len(some)):
            until(lambda: one.api("/v1/status")["connections_open"] >= number, "all are open", 20)
            one.rested_rss_bytes()
            kib = (one.status_kib("RssAnon") - before) / number
            stat = tls_stat(net)
            print(f"{number} idle TLS connections, records {setting}: {kib:.2f} KiB of memory each; {stat}")
            if HAS_KTLS:
                # The crowd's first sends a request, maybe along with its Finished: with its next bytes.
                assert stat["TlsCurrTxSw"] == number and number - 1 <= stat["TlsCurrRxSw"] <= number
            assert kib <= KIB_PER_CONNECTION_MAX or IS_SANITIZED
            for connection in some:
                download(connection, BULK)
                upload(connection, BULK)
            assert one.api("/v1/status")["connections_open"] >= number
    finally:
        for connection in some:
            connection.close()
    until(lambda: one.api("/v1/status")["connections_open"] == 0, "all are closed", 30)
    until(lambda: tls_stat(net)["TlsCurrRxSw"] == 0, "the kernel has none")
