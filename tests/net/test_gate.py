"""The gate: real clients and clients made by hand, first flights in every shape, what is refused
before a socket exists, and that nothing comes around it."""
import socket
import ssl
import subprocess

import pytest

import gated
import netns
from counts import count
from gated import GATED, QUIET, SHAPES, STRICT, UNKNOWN, WWW, flood
from rawtcp import F, SYN_ACK, Hello, alert, hello_context
from sluiced import stopwatch
from standard import listener
from wire import SLOW, Connection, TlsConnection, client_context, patience, until

UNRECOGNIZED_NAME, PROTOCOL_VERSION, NO_APPLICATION_PROTOCOL, DECODE_ERROR = 112, 70, 120, 50


@pytest.fixture
def grown(gate):
    """grown(name): by how much a counter has grown since the test began."""
    def counters():
        xdp = gate.dump_json("counters")[0]["formatted"]["values"]
        return {n: sum(row["value"][n] for row in xdp) for n in xdp[0]["value"]} | gate.drops()
    before = counters()
    return lambda name: counters().get(name, 0) - before.get(name, 0)


def served(raw, hello, data=None, shape=gated.whole):
    """Does the connection serve a request, once the flight has been sent in that shape?"""
    shape(raw, data or hello.bytes)
    assert hello.finish(raw).get(raw) == 200
    raw.abort()


# --- real clients

def host(address):
    return f"[{address}]" if ":" in address else address


def command(*words, text=""):
    done = subprocess.run([str(word) for word in words], input=text, capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 0, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.parametrize("client", ["curl", "x25519", "mlkem", "gnutls", "python"])
def test_real_clients(gate, net, address, grown, client):
    """Each gets in through the gate: SYN answered in XDP, its ClientHello judged before there was a
    socket."""
    if client == "curl":
        out = command("curl", "-sS", "--cacert", net.ca.pem, "--resolve", f"{WWW}:443:{host(address)}",
                      "-w", "%{http_code}", "--max-time", "10", f"https://{WWW}/")
        assert out.endswith("200")
    elif client in ("x25519", "mlkem"):
        group = {"x25519": "X25519", "mlkem": "X25519MLKEM768"}[client]
        out = command("openssl", "s_client", "-connect", f"{host(address)}:{GATED}", "-CAfile", net.ca.pem,
                      "-servername", WWW, "-verify_hostname", WWW, "-verify_return_error", "-groups", group)
        assert f"Negotiated TLS1.3 group: {group}" in out or f"Peer Temp Key: {group}" in out
    elif client == "gnutls":
        out = command("gnutls-cli", "--x509cafile", net.ca.pem, "--sni-hostname", WWW,
                      "--verify-hostname", WWW, "-p", GATED, address)
        assert "Handshake was completed" in out
    else:
        with TlsConnection((address, GATED), WWW) as connection:
            assert connection.request().status == 200
    assert grown("syn_cookie") >= 1 and grown("gate_frames") >= 1 and grown("released") >= 1
    assert grown("gate_bypassed") == 0 and grown("gate_too_long") == 0


def test_options_survive_the_cookie(gate, net, address):
    """What the client offered in its SYN holds for the connection, though nobody remembered it."""
    with TlsConnection((address, GATED), WWW) as client:
        assert client.request().status == 200
        words = gated.details(net, GATED, client.sock.getsockname())
        info = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    assert "ts" in words and "sack" in words, words
    assert info[5] & 7 == 7, "the client believes in timestamps, SACK and window scale"
    assert f"wscale:{info[6] >> 4},{info[6] & 15}" in words, words


@pytest.mark.parametrize("options,has,lacks", [
    ({"timestamps": False}, ["sack", "wscale:7,"], ["ts"]),
    ({"sack": False}, ["ts", "wscale:7,"], ["sack"]),
    ({"wscale": None}, ["ts", "sack"], ["wscale"]),
    ({"wscale": 0}, ["ts", "sack", "wscale:0,"], []),
    ({"wscale": 14}, ["wscale:14,"], []),
    ({"timestamps": False, "sack": False, "wscale": None}, [], ["ts", "sack", "wscale"]),
])
def test_options_of_odd_clients(gate, net, link, address, options, has, lacks):
    raw = link.client(address, GATED, **options)
    raw.connect()
    hello = Hello()
    gated.whole(raw, hello.bytes)
    hello.finish(raw)
    words = gated.details(net, GATED, (raw.source_text, raw.sport))
    for word in has:
        assert any(w == word or ("," in word and w.startswith(word)) for w in words), (word, words)
    for word in lacks:
        assert not any(w == word or w.startswith(word + ":") for w in words), (word, words)
    assert hello.get(raw) == 200
    raw.abort()


@pytest.mark.parametrize("mss", [536, 700, 1200, 1460])
def test_segment_size_survives_the_cookie(gate, link, address, mss):
    """No segment from us is longer than the client said; the cookie keeps its class."""
    raw = link.client(address, GATED, mss=max(mss, 1220 if ":" in address else 0))
    raw.connect()
    served(raw, Hello())
    assert max(len(s.data) + sum(2 + len(v) for v in s.options.values()) for s in raw.seen) <= raw.mss


# --- first flights in every shape

@pytest.mark.parametrize("group", ["X25519", None], ids=["one_segment", "two_segments"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_flight_shapes(gate, link, address, shape, group):
    raw = link.client(address, GATED)
    raw.connect()
    served(raw, Hello(context=hello_context(group)), shape=shape)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_flight_shapes_without_timestamps(gate, link, address, shape):
    raw = link.client(address, GATED, timestamps=False)
    raw.connect()
    served(raw, Hello(context=hello_context(None)), shape=shape)


@pytest.mark.parametrize("shape", [gated.whole, gated.twice, gated.losing(1)], ids=lambda s: s.__name__)
def test_kernel_answers_the_syn(gate, link, address, grown, shape):
    """syn_cookies: off, and the flight is judged all the same: the kernel's half-open connection
    stays one until the gate lets the ClientHello through."""
    raw = link.client(address, gated.KERNEL_SYN)
    raw.connect(is_acked=True)
    served(raw, Hello(context=hello_context(None)), shape=shape)
    assert grown("syn_cookie") == 0 and grown("gate_frames") >= 1


def test_third_segment_first(gate, net, link, address):
    """A bare ACK makes no socket; the flight after it does."""
    raw = link.client(address, GATED)
    raw.connect(is_acked=True)
    raw.expect_silence(0.2)
    assert gated.hand_made(net, GATED, raw) == []
    served(raw, Hello())


def test_many_records(gate, link, address):
    """A ClientHello split into records of a few bytes is put together (RFC 8446 section 5.1)."""
    hello = Hello()
    body = hello.bytes[5:]
    cut = b"".join(b"\x16\x03\x01" + len(body[at:at + 7]).to_bytes(2) + body[at:at + 7]
                   for at in range(0, len(body), 7))
    raw = link.client(address, GATED)
    raw.connect()
    # Split records are no part of what the client hashes: the handshake itself goes on.
    served(raw, hello, cut)


# --- refused before there is a socket

@pytest.fixture
def no_socket(net):
    """Fails when the kernel made a socket for a connection."""
    before = gated.passive_opens(net)
    yield
    assert gated.passive_opens(net) == before


def v12():
    return hello_context(version=ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize("port,name,context,code,reason", [
    (STRICT, UNKNOWN, hello_context, UNRECOGNIZED_NAME, "name_unknown"),
    (STRICT, None, hello_context, UNRECOGNIZED_NAME, "name_missing"),
    (QUIET, UNKNOWN, hello_context, None, "name_unknown"),
    (QUIET, None, hello_context, None, "name_missing"),
    (gated.V13, WWW, v12, PROTOCOL_VERSION, "version_refused"),
    (gated.ALPN, WWW, lambda: hello_context(alpn=["other/9"]), NO_APPLICATION_PROTOCOL, "alpn_refused"),
])
def test_refused_hello(gate, link, address, no_socket, grown, port, name, context, code, reason):
    """The client is told by an alert or a reset, it is counted, and no socket was made."""
    raw = link.client(address, port)
    raw.connect()
    gated.whole(raw, Hello(name, context()).bytes)
    if code is None:
        raw.expect_reset()
    else:
        assert alert(raw.read()) == (2, code)
        assert raw.is_ended or raw.read() == b""
    until(lambda: grown(reason) == 1, f"{reason} is counted")


def test_refused_name_as_a_client_sees_it(gate, net, address):
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        TlsConnection((address, STRICT), UNKNOWN)
    with pytest.raises(ConnectionResetError):
        TlsConnection((address, QUIET), UNKNOWN)
    for port in (STRICT, QUIET):
        with TlsConnection((address, port), WWW) as client:
            assert client.request().status == 200


def test_served_unknown_name(gate, net, address):
    """The listener that serves unknown names does so with its default certificate."""
    with TlsConnection((address, GATED), UNKNOWN) as client:
        assert client.names()[0] == [WWW]


@pytest.mark.parametrize("data,reason", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "not_tls"),
    (b"\x80\x2e\x01\x03\x01\x00\x15" + bytes(32), "not_tls"),
    (b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03" + bytes(10), "hello_malformed"),
    (b"\x16\x03\x01\x00\x06\x02\x00\x00\x02\x00\x00", "hello_malformed"),
], ids=["http", "sslv2", "cut_hello", "no_hello"])
def test_refused_bytes(gate, link, address, no_socket, grown, data, reason):
    raw = link.client(address, GATED)
    raw.connect()
    raw.send(0, data)
    segment = raw.expect("RST or alert", lambda s: s.flags & F.RST or s.data)
    assert segment.flags & F.RST or alert(bytes(raw.held)) == (2, DECODE_ERROR)
    until(lambda: grown(reason) == 1, f"{reason} is counted")


def test_other_bytes_the_second_time(gate, link, address, no_socket, grown):
    """A repeated segment with other bytes is what an evasion looks like: refused, counted."""
    raw = link.client(address, GATED)
    raw.connect()
    data = Hello().bytes
    raw.send(0, data[:200])
    raw.send(100, bytes(100) + data[200:300])
    raw.expect_reset()
    until(lambda: grown("overlap_mismatch") == 1, "it is counted")


def test_incomplete_flight_is_forgotten(net, launch, link, address):
    """After timeouts.handshake nothing is left of it; the client is told by a reset or when it comes
    again."""
    one = launch(gated.config(net, [listener("impatient", "https", 4500, "web", certificates=["www"],
                                             gate={"mode": "on"}, timeouts={"handshake": "500ms"})]))
    before = gated.passive_opens(net)
    raw = link.client(address, 4500)
    raw.connect()
    raw.send(0, Hello().bytes[:100])
    raw.expect_ack(100)
    until(lambda: one.drops().get("flight_timeout"), "the time-out is counted", 5)
    assert gated.passive_opens(net) == before


@pytest.mark.parametrize("share", [32, 0])
def test_one_prefix_fills_no_table(net, launch, link, address, share):
    """Thousands of ClientHellos that never become whole, from one prefix: it has its share and no
    more (or what others leave), and who comes from elsewhere, before or after, is served at once."""
    one = launch(gated.config(net, limits={"flights_per_prefix": share}))
    number = min(count("unknown_names"), 6000)  # there is room for 4096
    part = net.folder / "hello-part"
    hellos = [Hello(context=hello_context(None)) for _ in range(2)]
    part.write_bytes(hellos[0].bytes[:1000])
    early, late = [link.client(address, GATED, source=source) for source in
                   (("198.19.250.1", "198.19.251.1") if address == net.v4 else
                    ("fd51:9:0:fa00::1", "fd51:9:0:fb00::1"))]
    early.connect()
    early.send(0, hellos[0].bytes[:1000])
    early.expect_ack(1000)
    result = flood(net, "hello", address, GATED, 60, count=number, pps=5000, payload=part,
                   source="198.19.40.0/24" if address == net.v4 else "fd51:9::/64")
    assert result["syn_acks"] >= 0.99 * number, result
    kept = share or 4096
    until(lambda: one.drops().get("prefix_flights" if share else "flights_full", 0) >=
          0.9 * (number - kept), "those over the share are counted")
    assert one.api("/v1/status")["gate"]["flights_open"] <= kept + 1
    link.sock.settimeout(0.1)
    with pytest.raises(TimeoutError):  # the answers to all the others fill the packet socket
        while link.sock.recv(1 << 17):
            pass
    passed = stopwatch()
    late.connect()
    served(late, hellos[1])
    early.send(1000, hellos[0].bytes[1000:])
    assert hellos[0].finish(early).get(early) == 200
    early.abort()
    assert passed() < patience(2)
    drops = one.drops()
    assert drops.get("flights_full" if share else "prefix_flights", 0) == 0


def test_data_less_connections(gate, net, address, grown):
    """Established for the client, and nothing at all here."""
    number = count("data_less_connections")
    before = gated.passive_opens(net)
    result = flood(net, "connect", address, GATED, 60, count=number, pps=20000)
    assert result["syn_acks"] >= 0.99 * number, result
    until(lambda: grown("cookie_ack") >= 0.99 * number, "the ACKs are dropped")
    assert gated.hand_made(net, GATED) == [] and gated.passive_opens(net) == before


def hello_file(net, name, group="X25519"):
    path = net.folder / f"hello-{name}"
    path.write_bytes(Hello(name, hello_context(group)).bytes)
    return path


def test_unknown_names(gate, net, address, grown):
    """Thousands of whole ClientHellos of unknown names: each refused by a reset, no socket."""
    number = count("unknown_names")
    before = gated.passive_opens(net)
    result = flood(net, "hello", address, QUIET, 60, count=number, pps=5000,
                   payload=hello_file(net, UNKNOWN))
    assert result["syn_acks"] >= 0.99 * number and result["resets"] >= 0.98 * number, result
    until(lambda: grown("name_unknown") >= 0.98 * number, "they are counted")
    assert gated.hand_made(net, QUIET) == [] and gated.passive_opens(net) == before


# --- nothing comes around the gate

@pytest.fixture
def raw(gate, link, address):
    """A client of the gated listener whose SYN has been answered; its flight is served after all
    that the test has tried: nothing of it has spoilt the connection or come around the gate."""
    client = link.client(address, GATED)
    client.connect()
    client.hello = Hello()
    yield client
    served(client, client.hello)


def test_fragments(raw, net, no_socket, grown):
    tcp = raw.segment(0, raw.hello.bytes)
    raw.send_fragments(tcp, 64)
    raw.expect_silence()
    assert grown("gated_fragment") == -(-len(tcp) // 64)


@pytest.mark.parametrize("size", [24, 48], ids=["cut_header", "whole_header"])
def test_fragmented_syn(gate, link, address, no_socket, grown, size):
    """The header in one fragment, and cut in two."""
    client = link.client(address, GATED)
    tcp = client.tcp(F.SYN, client.isn, 0, bytes(60), client.syn_options())
    client.send_fragments(tcp, size)
    client.expect_silence()
    assert grown("gated_fragment") + grown("tcp_header_length") == -(-len(tcp) // size)


V4_OPTIONS = {"router_alert": b"\x94\4\0\0", "record_route": b"\7\7\4\0\0\0\0\1",
              "loose_route": b"\x83\7\4\xc6\x12\1\1\1"}
V6_HEADERS = {"hop_by_hop": [0], "destination": [60], "atomic_fragment": [44], "both": [0, 60]}


@pytest.mark.parametrize("what", [*V4_OPTIONS, *V6_HEADERS])
def test_ip_options(gate, net, link, grown, what):
    """A SYN and a flight with IP options or extension headers: dropped and counted."""
    extra = {"ip_options": V4_OPTIONS[what]} if what in V4_OPTIONS else {"extensions": V6_HEADERS[what]}
    address = net.v4 if what in V4_OPTIONS else net.v6
    before = gated.passive_opens(net)
    client = link.client(address, GATED)
    client.send_syn(**extra)
    client.expect_silence()
    client.connect()
    hello = Hello()
    client.probe(0, hello.bytes, **extra)
    client.expect_silence()
    assert gated.passive_opens(net) == before
    assert grown("gated_options") + grown("gated_fragment") == 2
    served(client, hello)


def test_data_on_syn(gate, net, link, address, grown):
    """TCP Fast Open: the SYN is answered, its data is not taken."""
    client = link.client(address, GATED)
    hello = Hello()
    client.connect(data=hello.bytes, options=client.syn_options() + b"\1\1\x22\2")
    client.expect_silence()
    assert grown("syn_data") == 1 and gated.hand_made(net, GATED, client) == []
    served(client, hello)


def test_simultaneous_open(raw, net, no_socket, grown):
    """A SYN-ACK towards a listener belongs to no connection."""
    raw.transmit(raw.tcp(SYN_ACK, raw.isn, raw.next, options=raw.syn_options()))
    raw.transmit(raw.tcp(SYN_ACK, raw.isn, raw.next, raw.hello.bytes, raw.syn_options()))
    raw.expect_silence()
    assert grown("syn_ack_unknown") == 2


def test_bad_checksum(raw, no_socket, grown):
    """A damaged segment is not judged; sent again in order, it is served."""
    raw.probe(0, raw.hello.bytes, is_bad=True)
    raw.expect_silence()
    assert grown("bad_checksum") == 1


def test_bad_checksum_of_syn(gate, link, address, grown):
    client = link.client(address, GATED)
    client.send_syn(is_bad=True)
    client.expect_silence()
    assert grown("syn_checksum") == 1


@pytest.mark.parametrize("flags,reason", [
    (F(0), "tcp_no_flags"), (F.PSH | F.URG, "tcp_no_flags"), (F.FIN | F.PSH | F.URG, "tcp_fin_without_ack"),
    (F.SYN | F.FIN | F.ACK, "tcp_syn_fin"), (F.SYN | F.RST | F.ACK, "tcp_syn_rst"), (F.RST, "reset_unknown"),
])
def test_odd_flags(raw, no_socket, grown, flags, reason):
    raw.probe(0, raw.hello.bytes, flags)
    raw.expect_silence()
    assert grown(reason) == 1


def test_flight_of_nobody(gate, link, address, no_socket, grown):
    """A ClientHello without a handshake before it, and one for another cookie."""
    client = link.client(address, GATED)
    client.probe(0, Hello().bytes)
    assert not [s for s in [client.receive(0.3)] if s and not s.flags & F.RST]
    client.connect()
    client.transmit(client.tcp(F.ACK | F.PSH, client.isn + 1, client.next ^ 0x40000000, Hello().bytes,
                               client.ack_options()))
    assert not [s for s in [client.receive(0.3)] if s and not s.flags & F.RST]
    assert grown("cookie_bad") + grown("cookie_bad_rst") == 2


def test_fin_instead_of_a_flight(raw, net, grown):
    """A client that leaves without a word is told that there never was a connection."""
    other = raw.link.client(raw.target_text, GATED)
    other.connect(is_acked=True)
    other.send(0, b"", F.FIN | F.ACK)
    other.expect_reset()
    assert grown("cookie_fin_rst") == 1 and gated.hand_made(net, GATED, other) == []


# --- connections that do not cross the XDP program

@pytest.mark.parametrize("where", ["loopback", "other_interface"])
def test_ungated_connections_are_judged(gate, net, grown, where):
    """The same verdicts after accept, counted as ungated."""
    inside, address = ((net.lb, "127.0.0.1") if where == "loopback" else (net.targets_ns, "198.18.2.1"))
    with netns.entered(inside):
        with TlsConnection((address, STRICT), WWW) as client:
            assert client.request().status == 200
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            TlsConnection((address, STRICT), UNKNOWN)
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            TlsConnection((address, QUIET), UNKNOWN)
        with Connection((address, GATED)) as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert client.is_ended()
    assert grown("name_unknown") == 2 and grown("not_tls") == 1 and grown("gate_frames") == 0


def test_gate_off(gate, link, address, grown):
    raw = link.client(address, gated.OFF)
    raw.connect(is_acked=True)
    served(raw, Hello())
    assert grown("gate_frames") == 0


# --- policies

def test_proxy_header_before_the_hello(gate, link, address, grown):
    for header in (b"PROXY TCP4 203.0.113.9 198.18.1.2 1111 443\r\n",
                   b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xc6\x12\1\2\4\x57\1\xbb"):
        for shape in (gated.whole, gated.single_bytes, gated.backwards):
            raw = link.client(address, gated.PROXY)
            raw.connect()
            hello = Hello()
            served(raw, hello, header + hello.bytes, shape)
    raw = link.client(address, gated.PROXY)
    raw.connect()
    raw.send(0, Hello().bytes)
    raw.expect_reset()
    until(lambda: grown("proxy_header_missing") == 1, "it is counted")


def test_ja4_lists(net, launch):
    """JA4 begins with t13d for TLS 1.3 with a name, t13i without."""
    def secure(name, port, **settings):
        return listener(name, "https", port, "web", certificates=["www"], gate={"mode": "on"} | settings)
    one = launch(gated.config(net, [secure("deny", 4501, ja4_deny=["t13d*"]),
                                    secure("allow", 4502, ja4_allow=["t13d*"])]))
    refused = (ConnectionResetError, ssl.SSLError)
    for port, good, bad, reason in ((4501, None, WWW, "ja4_denied"), (4502, WWW, None, "ja4_not_allowed")):
        with TlsConnection((net.v4, port), good) as client:
            assert client.request().status == 200
        with pytest.raises(refused):
            TlsConnection((net.v4, port), bad)
        assert one.drops()[reason] == 1


@pytest.mark.parametrize("kind,reason", [("name", "name_handshake_limit"), ("ja4", "ja4_handshake_limit"),
                                         ("source", "source_handshake_limit"),
                                         ("prefix", "prefix_handshake_limit")])
def test_handshake_limits(net, launch, kind, reason):
    """Of many handshakes with one name (JA4, source, prefix) at once the burst is served, the rest
    refused and counted; what is different goes on."""
    one = launch(gated.config(net, limits={kind: {"handshakes_per_second": 1, "handshakes_burst": 5}}))
    outcomes = [attempt(net, WWW) for _ in range(20)]
    assert 5 <= outcomes.count(True) <= 7, outcomes
    assert one.drops()[reason] == outcomes.count(False)
    other = {"name": {"name": "a.wild.sluice.test"}, "ja4": {"name": None},
             "source": {"source": "198.18.1.21"}, "prefix": {"address": net.v6}}[kind]
    assert attempt(net, **{"name": WWW} | other)


def attempt(net, name, address=None, source=None):
    try:
        with TlsConnection((address or net.v4, GATED), name, source=source) as client:
            return client.request().status == 200
    except (ConnectionResetError, ssl.SSLError):
        return False


def test_limit_in_dry_run_only_counts(net, launch):
    one = launch(gated.config(net, limits={"dry_run": True,
                                           "name": {"handshakes_per_second": 1, "handshakes_burst": 5}}))
    assert all(attempt(net, WWW) for _ in range(12))
    assert one.drops().get("name_handshake_limit", 0) == 0


def test_routes_by_name(net, launch, address):
    """A tcp listener with routes: TLS goes on to the group its name belongs to, undecrypted."""
    route = {"server_names": ["target.sluice.test"], "target_group": "raw-tls"}
    launch(gated.config(net, [listener("routes", "tcp", gated.ROUTES, "raw", routes=[route],
                                       gate={"mode": "on", "unknown_name": "refuse"})]))
    with TlsConnection((address, gated.ROUTES), "target.sluice.test") as client:
        assert "target.sluice.test" in client.names()[0]
        assert client.request(host="target.sluice.test").status == 200
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        TlsConnection((address, gated.ROUTES), UNKNOWN)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers(net, launch, link, workers):
    """One queue and two workers, and one worker: every flight is served, none comes around."""
    one = launch(gated.config(net, workers=workers))
    for _ in range(40):
        raw = link.client(net.v4, GATED)
        raw.connect()
        served(raw, Hello(context=hello_context(None)))
    assert one.counter("gate_bypassed") == 0 and one.counter("gate_frames") >= 40


def test_reload_while_a_flight_is_under_way(net, launch, link):
    one = launch(gated.config(net))
    raw = link.client(net.v4, GATED)
    raw.connect()
    hello = Hello()
    raw.send(0, hello.bytes[:100])
    raw.expect_ack(100)
    one.reload(gated.config(net, [listener("more", "http", 4503, "web")]))
    raw.send(100, hello.bytes[100:])
    assert hello.finish(raw).get(raw) == 200
    raw.abort()


def test_many_clients_at_once(gate, net):
    """Connections in parallel through the gate, none lost."""
    context = client_context()
    number = 200 if SLOW < 10 else 50  # the first one has to wait for the last one's handshake
    opened = [TlsConnection((net.v4, GATED), WWW, context) for _ in range(number)]
    try:
        assert [client.request().status for client in opened] == [200] * len(opened)
    finally:
        for client in opened:
            client.close()


@pytest.fixture
def wide(net):
    """A second pair of devices, with two queues."""
    queues = "numrxqueues 2 numtxqueues 2"
    netns.ip(net.lb, f"link add wide0 {queues} type veth peer name wide1 netns {net.client} {queues}",
             "addr add 198.18.3.2/24 dev wide0", "link set wide0 up")
    netns.ip(net.client, "addr add 198.18.3.1/24 dev wide1", "link set wide1 up")
    netns.xdp_pass(net.client, "wide1")
    yield "wide0"
    net.halt()
    netns.ip(net.lb, "link del wide0")


@pytest.mark.parametrize("workers", [1, 2])
def test_two_queues(net, wide, launch, workers):
    """Flights of every queue reach a worker, however many of those there are."""
    one = launch(gated.config(net, workers=workers, xdp={
        "mode": "native", "interfaces": [net.device, wide], "pin_dir": str(net.pins)}))
    for _ in range(60):
        with TlsConnection(("198.18.3.2", GATED), WWW) as client:
            assert client.request().status == 200
    assert one.counter("gate_frames") >= 60 and one.counter("gate_bypassed") == 0
    figures = netns.run(netns.inside(net.lb, "ethtool", "-S", wide))
    used = [line for line in figures.splitlines() if "xdp_packets" in line and "rx_queue" in line
            and not line.endswith(" 0")]
    assert len(used) == 2, figures


def test_listener_on_loopback_comes_first(net, launch):
    """What the gate releases cannot reach it: it is no reason to do without the gate, which is for the others."""
    settings = gated.config(net)
    local = listener("local", "https", 6443, "web", certificates=["www"])
    settings["listeners"].insert(0, local | {"address": ["127.0.0.1:6443", "[::1]:6443"]})
    one = launch(settings)
    assert one.api("/v1/status")["gate"]["active"], one.log()
    with TlsConnection((net.v4, GATED), WWW) as client:
        assert client.request().status == 200
    assert one.counter("gate_frames") > 0


FIREWALLS = {
    "only_the_interface": ["ct state established accept", "iifname {device} accept",
                           "iifname {{ targets0, lo }} accept", "drop"],
    "new_without_syn": ["ct state new tcp flags & (fin|syn|rst|ack) != syn drop", "accept"],
}


@pytest.fixture
def firewall(net, request):
    """Rules of the host that know nothing of the gate's TUN device."""
    rules = "; ".join(FIREWALLS[request.param]).format(device=net.device)
    done = subprocess.run(netns.inside(net.lb, "nft", "-f", "-"), text=True, capture_output=True,
                          input=f"table inet host {{ chain input {{ type filter hook input priority 0; "
                                f"{rules}; }}; }}")
    if done.returncode:
        pytest.skip(f"nftables with connection tracking: {done.stderr.splitlines()[0]}")
    yield request.param
    netns.run(netns.inside(net.lb, "nft", "delete", "table", "inet", "host"))


@pytest.mark.parametrize("firewall", FIREWALLS, indirect=True)
def test_host_firewalls(net, firewall, launch):
    """Where the host's rules would drop what the gate lets in, the gate steps back, visibly, and
    clients are served; --check-host names the rule that is needed. Cookies of our own step back only
    where the rules would drop what XDP lets in directly, too."""
    one = launch(gated.config(net))
    has_cookies = firewall == "only_the_interface"
    status = one.api("/v1/status")
    assert status["handover"]["mode"] == ("own_cookies" if has_cookies else "kernel_cookies")
    assert not status["gate"]["active"] and "nft insert rule" in status["gate"]["reason"]
    assert ("no gate and no SYN cookies in XDP" in one.log()) == (not has_cookies)
    for _ in range(3):
        with TlsConnection((net.v4, GATED), WWW) as client:
            assert client.request().status == 200
        with Connection((net.v4, gated.HTTP)) as client:
            assert client.request().status == 200
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        TlsConnection((net.v4, STRICT), UNKNOWN)
    assert one.counter("gate_frames") == 0 and one.drops()["name_unknown"] == 1
    assert (one.counter("syn_cookie") >= 7) == has_cookies
    done = subprocess.run(netns.inside(net.lb, gated.BUILD / "sluiced", "--check-host", one.file),
                          capture_output=True, text=True, timeout=20)
    said = done.stdout + done.stderr
    assert "tun" in said.lower() and ("nft" in said.lower() or "rule" in said.lower()), said


@pytest.mark.parametrize("firewall", ["new_without_syn"], indirect=True)
def test_firewall_against_plain_listeners(net, firewall, launch):
    """What such rules drop is let in without a gate just the same: they must not be cut off."""
    settings = gated.config(net)
    one = launch(settings | {"listeners": [one for one in settings["listeners"] if one["name"] == "http"]})
    assert one.api("/v1/status")["handover"]["mode"] == "kernel_cookies"
    with Connection((net.v4, gated.HTTP)) as client:
        assert client.request().status == 200


def gate_row(one):
    return one.api("/v1/status")["gate"]


@pytest.fixture
def no_syncookies(net):
    netns.sysctl(net.lb, ipv4__tcp_syncookies=0)
    yield
    netns.sysctl(net.lb, ipv4__tcp_syncookies=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_gate_follows_the_handover(net, no_syncookies, launch, link, workers):
    """A sysctl without which there can be no gate: repaired and broken again while sluiced runs. The
    gate comes and goes with it, visibly, and everybody is served all the time."""
    one = launch(gated.config(net, workers=workers))

    def serves():
        for port in (GATED, STRICT):
            with TlsConnection((net.v4, port), WWW) as client:
                assert client.request().status == 200
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            TlsConnection((net.v4, STRICT), UNKNOWN)
    assert not gate_row(one)["active"] and "tcp_syncookies" in gate_row(one)["reason"]
    serves()
    assert one.counter("gate_frames") == 0
    for _ in range(2):
        netns.sysctl(net.lb, ipv4__tcp_syncookies=1)
        until(lambda: gate_row(one)["active"], "the gate is there")
        row = gate_row(one)
        assert row["reason"] is None and row["device"] and row["sockets"] >= 1
        until(lambda: f"released into {row['device']}" in one.log(), "the log says so")
        frames, device = one.counter("gate_frames"), row["device"]
        serves()
        assert one.counter("gate_frames") >= frames + 3
        waiting = link.client(net.v4, GATED)
        waiting.connect()
        waiting.send(0, Hello().bytes[:100])
        waiting.expect_ack(100)
        netns.sysctl(net.lb, ipv4__tcp_syncookies=0)
        until(lambda: not gate_row(one)["active"], "the gate is gone")
        assert "tcp_syncookies" in gate_row(one)["reason"]
        until(lambda: device not in {link["ifname"] for link in netns.ip_json("link", namespace=net.lb)},
              "its device is gone")
        assert gate_row(one)["flights_open"] == 0 and gate_row(one)["sockets"] == 0
        frames = one.counter("gate_frames")
        serves()
        assert one.counter("gate_frames") == frames
    assert one.log().count("incomplete first flights are forgotten") == 2


@pytest.mark.parametrize("firewall", FIREWALLS, indirect=True)
def test_gate_comes_up_behind_a_firewall(net, no_syncookies, firewall, launch):
    """The same care later as at the start."""
    one = launch(gated.config(net))
    netns.sysctl(net.lb, ipv4__tcp_syncookies=1)
    until(lambda: "nft insert rule" in (gate_row(one)["reason"] or ""), "the gate steps back")
    mode = one.api("/v1/status")["handover"]["mode"]
    assert mode == ("own_cookies" if firewall == "only_the_interface" else "kernel_cookies")
    for port in (GATED, STRICT):
        with TlsConnection((net.v4, port), WWW) as client:
            assert client.request().status == 200
    with Connection((net.v4, gated.HTTP)) as client:
        assert client.request().status == 200
