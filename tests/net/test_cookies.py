"""SYN cookies answered in XDP: what the SYN-ACK says, listeners of every protocol, secrets that nodes
share, the modes of a listener, and the fallbacks of the host."""
import time

import pytest

import gated
import netns
from counts import count
from gated import ATTACKED, GATED, GREET, HTTP, TCP, WWW, Flood, flood
from rawtcp import SOURCES_V4, F, Hello
from sluiced import BUILD
from standard import listener
from wire import Connection, TlsConnection, until

SECRETS = ["000102030405060708090a0b0c0d0e0f", "f0e0d0c0b0a090807060504030201000"]
EPOCH_S = 64


def serve(raw, port=GATED):
    """The rest of a connection whose SYN has been answered."""
    hello = Hello()
    gated.whole(raw, hello.bytes)
    assert hello.finish(raw).get(raw) == 200
    raw.abort()


# --- the SYN-ACK

@pytest.mark.parametrize("port", [GATED, HTTP, TCP])
def test_syn_ack(gate, link, address, port):
    raw = link.client(address, port, ecn=True)
    before = raw.tsval()
    answer = raw.connect()
    assert answer.is_summed and answer.window >= 1460
    assert answer.mss == (1440 if raw.family == 6 else 1460)
    assert answer.wscale == 8 and 4 in answer.options
    assert answer.timestamps and 0 <= answer.timestamps[1] - before < 1000
    assert answer.flags & F.ECE and not answer.flags & F.CWR


def test_syn_ack_offers_no_more_than_the_client(gate, link, address):
    raw = link.client(address, HTTP, timestamps=False, sack=False, wscale=None, mss=None)
    answer = raw.connect()
    assert set(answer.options) == {2} and not answer.flags & F.ECE


def test_syn_options_malformed(gate, link, address):
    before = gate.counter("syn_options")
    for options in (b"\2\1\0\0", b"\2\x28\5\xb4", b"\x08\x0a\0\0", b"\1\1\1\3"):
        raw = link.client(address, HTTP)
        raw.send_syn(options=options)
        raw.expect_silence(0.1)
    assert gate.counter("syn_options") == before + 4


# --- listeners without a gate: any valid ACK makes the socket

def test_http(gate, address):
    before = {name: gate.counter(name) for name in ("syn_cookie", "released", "gate_frames")}
    with Connection((address, HTTP)) as client:
        assert client.request().status == 200
    assert gate.counter("syn_cookie") > before["syn_cookie"]
    assert gate.counter("released") > before["released"]
    assert gate.counter("gate_frames") == before["gate_frames"]


def test_server_speaks_first(gate, address):
    with Connection((address, GREET)) as client:
        assert client.recv()


def test_bare_ack_makes_a_socket(gate, net, link, address):
    raw = link.client(address, GREET)
    raw.connect(is_acked=True)
    assert raw.read()
    assert len(gated.hand_made(net, GREET, raw)) == 1
    raw.abort()
    until(lambda: gated.hand_made(net, GREET, raw) == [], "the connection is gone")


@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "no_timestamps"])
def test_data_without_bare_ack(gate, link, address, timestamps):
    raw = link.client(address, TCP, timestamps=timestamps)
    raw.connect()
    raw.send(0, b"echo\nabc")
    assert raw.read() == b"abc"
    raw.abort()


def test_damaged_ack_makes_no_socket(gate, net, link, address):
    raw = link.client(address, TCP)
    raw.connect()
    raw.probe(0, b"echo\nabc", is_bad=True)
    raw.expect_silence(0.2)
    raw.send(0, b"echo\nabc")
    assert raw.read() == b"abc"
    raw.abort()


def test_wrong_cookie_is_refused(gate, net, link, address):
    """One bit off: no socket; the client is told, or nothing is said."""
    before = gate.counter("cookie_bad") + gate.counter("cookie_bad_rst")
    for bit in (0, 9, 10, 20, 31):
        raw = link.client(address, TCP)
        raw.connect()
        raw.next ^= 1 << bit
        raw.send(0, b"echo\nabc")
        answer = raw.receive(0.2)
        assert answer is None or answer.flags & F.RST, answer
        assert gated.hand_made(net, TCP, raw) == []
    assert gate.counter("cookie_bad") + gate.counter("cookie_bad_rst") == before + 5


def test_cookie_of_another_client(gate, net, link, address):
    """A cookie is good for its addresses and ports only."""
    one, other = link.client(address, TCP), link.client(address, TCP)
    one.connect()
    other.connect()
    other.next, other.isn = one.next, one.isn
    other.send(0, b"echo\nabc")
    answer = other.receive(0.2)
    assert answer is None or answer.flags & F.RST, answer
    assert gated.hand_made(net, TCP, other) == []


# --- whom a frame is for

OTHERS = {"unicast": "02:00:5e:10:00:09", "broadcast": "ff:ff:ff:ff:ff:ff", "multicast": "01:00:5e:00:00:09"}


@pytest.mark.parametrize("mac", OTHERS.values(), ids=OTHERS)
def test_frames_of_another_node(gate, net, link, address, mac):
    """What a switch floods or mirrors: another node answers it. Here it is silence, and no socket, be it
    a SYN, data of a connection of that node's, or even an answer to a cookie."""
    known = link.client(address, TCP)
    known.connect()
    link.address_to(mac)
    before, rsts = gate.counter("other_host"), gate.counter("cookie_bad_rst")
    known.send(0, b"echo\nabc")
    for port in (TCP, GATED):
        raw = link.client(address, port)
        raw.send_syn()
        raw.transmit(raw.segment(0, b"of another node", ack=1))
        raw.expect_silence(0.2)
    known.expect_silence(0.1)
    assert gate.counter("other_host") == before + 5
    assert gate.counter("cookie_bad_rst") == rsts
    assert gated.hand_made(net, TCP, known) == []
    link.address_to(None)
    known.send(0, b"echo\nabc")
    assert known.read() == b"abc"
    known.abort()


def test_address_of_the_interface_changes(net, launch, link, address):
    one = launch(gated.config(net))
    own, other = ":".join(f"{byte:02x}" for byte in link.own), "02:00:5e:10:00:0a"

    def is_answered(mac):
        link.address_to(mac)
        before = one.counter("syn_cookie")
        link.client(address, HTTP).send_syn()
        return one.counter("syn_cookie") > before
    assert is_answered(own) and not is_answered(other)
    try:
        netns.ip(net.lb, f"link set {net.device} address {other}")
        until(lambda: is_answered(other) and not is_answered(own), "the new address is known")
    finally:
        netns.ip(net.lb, f"link set {net.device} address {own}")
    until(lambda: is_answered(own), "the old one is back")


# --- tuples the kernel knows

def test_syn_of_a_closed_connection(gate, link, address):
    """Our side closed first and waits (TIME_WAIT): the next connection from the same port is the
    kernel's business, and is served."""
    raw = link.client(address, HTTP)
    raw.connect()
    raw.send(0, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    while raw.read():
        pass
    raw.send(flags=F.FIN | F.ACK)
    raw.expect("ACK of the FIN", lambda s: s.ack == raw.isn + 2 + raw.sent & 0xffffffff)
    again = link.client(address, HTTP, source=raw.source_text, sport=raw.sport,
                        isn=raw.isn + (1 << 20) & 0xffffffff)
    again.connect()
    again.send(0, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert again.read().startswith(b"HTTP/1.1 200")
    again.abort()


def test_syn_in_an_open_connection(gate, link, address):
    """Answered by the kernel (a challenge ACK, RFC 5961), and the connection goes on."""
    raw = link.client(address, TCP)
    raw.connect()
    raw.send(0, b"echo\nabc")
    assert raw.read() == b"abc"
    raw.transmit(raw.tcp(F.SYN, raw.isn + 99, options=raw.syn_options()))
    raw.expect("challenge ACK", lambda s: s.flags == F.ACK)
    raw.send(None, b"def")
    assert raw.read() == b"def"
    raw.abort()


# --- secrets

def with_secret(net, *secrets):
    path = net.folder / "cookies"
    path.write_text("\n".join(secrets) + "\n")
    path.chmod(0o600)
    return gated.config(net, xdp={"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins),
                                  "cookie_secret_file": str(path)})


def test_another_node_takes_the_cookie(net, launch, link, address):
    """SYN through one instance, ACK and ClientHello through another with the same secret."""
    launch(with_secret(net, SECRETS[0]))
    raw, ungated = link.client(address, GATED), link.client(address, TCP)
    raw.connect()
    ungated.connect()
    launch(with_secret(net, SECRETS[0]))
    serve(raw)
    ungated.send(0, b"echo\nabc")
    assert ungated.read() == b"abc"
    ungated.abort()


def test_a_node_with_another_secret_does_not(net, launch, link, address):
    launch(with_secret(net, SECRETS[0]))
    raw = link.client(address, TCP)
    raw.connect()
    launch(with_secret(net, SECRETS[1]))
    raw.send(0, b"echo\nabc")
    answer = raw.receive(0.3)
    assert answer is None or answer.flags & F.RST, answer
    assert gated.hand_made(net, TCP, raw) == []


def test_secrets_are_rotated(net, launch, link, address):
    """The old one is believed as long as it stands in the second line."""
    one = launch(with_secret(net, SECRETS[0]))
    early, late = link.client(address, GATED), link.client(address, TCP)
    early.connect()
    late.connect()
    one.reload(with_secret(net, SECRETS[1], SECRETS[0]))
    serve(early)
    fresh = link.client(address, GATED)
    fresh.connect()
    one.reload(with_secret(net, SECRETS[1]))
    serve(fresh)
    late.send(0, b"echo\nabc")
    answer = late.receive(0.3)
    assert answer is None or answer.flags & F.RST, answer


@pytest.mark.skipif(not count("stale_cookie_seconds"), reason="waits for two minutes: make soak")
def test_stale_cookie(gate, net, link):
    """Two epochs later a client is told by an RST that it has no connection; a bare ACK to a gated
    listener is dropped as ever."""
    addresses = (net.v4, net.v6)
    told = [link.client(address, port) for address in addresses for port in (TCP, TCP, GATED)]
    quiet = [link.client(address, GATED) for address in addresses]
    begin = int(time.time()) // EPOCH_S
    for client in told + quiet:
        client.connect()
    stale = gate.counter("cookie_stale_rst")
    time.sleep((begin + 2) * EPOCH_S + 2 - time.time())  # the age itself is what is tested
    for client in quiet:
        client.send_ack()
        client.expect_silence()
    for number, client in enumerate(told):
        client.send(0, b"" if number % 3 == 0 else b"echo\nabc")
        client.expect_reset()
    assert gate.counter("cookie_stale_rst") == stale + len(told)


# --- modes of a listener

def test_under_attack(net, launch, link):
    """In peace the kernel answers SYNs; above the budget XDP does, and nobody is lost."""
    one = launch(gated.config(net, [listener("attacked", "http", ATTACKED, "web",
                                             syn_cookies="under_attack",
                                             limits={"syns_per_second": 100, "syns_burst": 100})]))

    def request():
        with Connection((net.v4, ATTACKED)) as client:
            return client.request().status
    assert request() == 200
    assert one.counter("syn_cookie") == 0 and one.counter("attack_began") == 0
    attack = Flood(net, "syn", net.v4, ATTACKED, 1.5, pps=2000)
    until(lambda: one.counter("attack_began") == 1, "the attack is noticed")
    before = one.counter("syn_cookie")
    assert [request() for _ in range(20)] == [200] * 20
    assert one.counter("syn_cookie") > before
    assert attack.result()["sent"] >= 2000
    assert one.counter("attack_began") == 1, "one attack, not several"
    assert request() == 200
    if count("calm_seconds"):
        def is_calm():
            seen = one.counter("syn_cookie")
            return request() == 200 and one.counter("syn_cookie") == seen
        until(is_calm, "the kernel answers again", count("calm_seconds"), 0.5)


def test_syn_cookies_off(gate, link, address):
    before = gate.counter("syn_cookie")
    raw = link.client(address, gated.KERNEL_SYN)
    raw.connect()
    assert gate.counter("syn_cookie") == before
    serve(raw)


# --- what the host cannot do

def other_xdp(net, **settings):
    return gated.config(net, xdp={"mode": "native", "interfaces": [net.device],
                                  "pin_dir": str(net.pins)} | settings)


def works(net, address):
    with TlsConnection((address, GATED), WWW) as client:
        assert client.request().status == 200
    with Connection((address, HTTP)) as client:
        assert client.request().status == 200
    with Connection((address, GREET)) as client:
        assert client.recv()


def test_fallback_to_the_kernel(net, launch, address):
    """handover: none. The kernel does all, ClientHellos are judged after accept."""
    one = launch(other_xdp(net, handover="none"))
    works(net, address)
    assert one.counter("syn_cookie") == 0 and one.counter("gate_frames") == 0
    with pytest.raises(OSError):
        TlsConnection((address, gated.QUIET), gated.UNKNOWN)
    assert one.drops()["name_unknown"] == 1


@pytest.fixture
def kernel_cookies(net):
    netns.sysctl(net.lb, ipv4__tcp_syncookies=2)
    yield
    netns.sysctl(net.lb, ipv4__tcp_syncookies=1)


def test_fallback_to_kernel_cookies(net, launch, kernel_cookies, link, address):
    """handover: kernel_cookies. The kernel answers SYNs, XDP lets in only what carries its cookie."""
    one = launch(other_xdp(net, handover="kernel_cookies"))
    works(net, address)
    assert one.counter("syn_cookie") == 0
    before = one.counter("cookie_bad") + one.counter("cookie_bad_rst")
    result = flood(net, "ack", address, GATED, 0.5, pps=2000)
    assert one.counter("cookie_bad") + one.counter("cookie_bad_rst") >= before + 0.98 * result["sent"]


def test_generic_xdp(net, launch, link, address):
    one = launch(other_xdp(net, mode="generic"))
    works(net, address)
    raw = link.client(address, GATED)
    raw.connect()
    serve(raw)
    assert one.counter("syn_cookie") >= 4


def test_check_host_tells(net, launch):
    """--check-host says what this host can do of it, and exits with 0 when nothing is missing."""
    one = launch(gated.config(net))
    done = netns.run(netns.inside(net.lb, BUILD / "sluiced", "--check-host", one.file))
    assert "own_cookies" in done or "cookie" in done, done


def test_forged_source_locks_nobody_out(net, launch):
    """Limits per source count what has proven its address: a flood of SYNs that forge a client's
    address takes nothing from that client."""
    one = launch(gated.config(net, limits={"source": {"packets_per_second": 50, "packets_burst": 50,
                                                      "connections_per_second": 50,
                                                      "connections_burst": 50}}))
    attack = Flood(net, "syn", net.v4, HTTP, 1.5, source="198.18.1.21/32", pps=5000)
    served = 0
    while attack.process.poll() is None:
        with Connection((net.v4, HTTP), source="198.18.1.21") as client:
            served += client.request().status == 200
        time.sleep(0.05)  # the pace of the client, well within its limits
    assert attack.result()["sent"] > 1000  # what the limit allows, many times over
    assert served >= 10
    assert one.counter("source_packet_limit") == 0 and one.counter("source_connection_limit") == 0


def test_proven_source_is_limited(net, launch):
    """Real sources that open more than they may are stopped; others are not."""
    one = launch(gated.config(net, limits={"source": {"connections_per_second": 5,
                                                      "connections_burst": 10}}))
    result = flood(net, "connect", net.v4, HTTP, 5, source="198.19.7.7/32", count=300, pps=3000)
    assert result["syn_acks"] >= 295
    until(lambda: one.counter("source_connection_limit") >= 250, "the excess is counted")
    assert len([line for line in gated.hand_made(net, HTTP) if "198.19.7.7" in line]) <= 20
    with Connection((net.v4, HTTP)) as client:
        assert client.request().status == 200


def test_prefix_is_limited(net, launch):
    """Many sources of one /24 together."""
    one = launch(gated.config(net, limits={"prefix": {"connections_per_second": 5,
                                                      "connections_burst": 10}}))
    flood(net, "connect", net.v4, HTTP, 5, source="198.19.8.0/24", count=300, pps=3000)
    until(lambda: one.counter("prefix_connection_limit") >= 250, "the excess is counted")
    flood(net, "connect", net.v4, HTTP, 5, source=SOURCES_V4, count=200, pps=3000)
    with Connection((net.v4, HTTP)) as client:
        assert client.request().status == 200
