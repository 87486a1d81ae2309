"""Floods from a namespace of their own while real clients come and go: none of those is lost, and
what the flood sent is found in the counters."""
import subprocess
import threading
import time

import pytest

import gated
import netns
from counts import count
from gated import GATED, HTTP, QUIET, UNKNOWN, WWW, Flood
from net import CLIENTS
from rawtcp import Hello, hello_context
from wire import SLOW, Connection, TlsConnection, client_context, patience, until

pytestmark = pytest.mark.alone

THREADS = 12
PACKETS = 12  # at least so many come from a client for a handshake and a request


class Clients:
    """Real handshakes at a steady rate, each with a request, on threads; start to end is timed."""

    def __init__(self, address, port, per_second, context):
        self.address, self.port, self.context = address, port, context
        self.interval_s = THREADS / per_second
        self.seconds, self.failures = [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                         for i in range(THREADS)]

    def _run(self, index):
        due = time.monotonic() + self.interval_s * index / THREADS
        while not self._stop.wait(max(due - time.monotonic(), 0)):
            begin = time.monotonic()
            due = max(due + self.interval_s, begin)  # a slow one is not caught up with
            try:
                with TlsConnection((self.address, self.port), WWW, self.context, timeout=8) as client:
                    assert client.request().status == 200
                self.seconds.append(time.monotonic() - begin)
            except (OSError, EOFError, AssertionError) as error:
                self.failures.append((round(time.monotonic() - begin, 3), repr(error)))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def have_served(self, gate):
        """All were. Where the processor is translated the workers may get no turn for so long that they
        are taken for dead: then clients are refused at once, each of them counted."""
        refused = [error for _, error in self.failures if error.startswith("ConnectionRefusedError")]
        if SLOW == 1:
            assert self.failures == []
        assert len(refused) == len(self.failures), self.failures
        assert len(refused) <= gate.counter("workers_stale_rst")

    def at(self, share):
        return sorted(self.seconds)[int(len(self.seconds) * share)]

    def report(self, what, sent, arrived):
        """What does not arrive is lost in the queue of the veth, as on a link that is full."""
        print(f"{what}: {sent['pps']:.0f} packets/s sent, {arrived / sent['seconds']:.0f} arrived, "
              f"{sent['cpu_ns']:.0f} ns each (with what the veth runs in the sender); {len(self.seconds)} handshakes, {len(self.failures)} failed, "
              f"p50 {self.at(0.5) * 1e3:.1f} ms, p99 {self.at(0.99) * 1e3:.1f} ms")


def payload(net, name):
    path = net.folder / f"flood-{name}"
    path.write_bytes(Hello(name, hello_context()).bytes)
    return path


FLOODS = {
    # name: (kind, port, source of the flood, counters one of which every packet bumps)
    "syn": ("syn", GATED, None, ["syn_cookie"]),
    "syn_http": ("syn", HTTP, None, ["syn_cookie"]),
    "syn_forged": ("syn", GATED, f"{CLIENTS[0]}/32", ["syn_cookie", "reset_unknown"]),
    "ack": ("ack", GATED, None, ["cookie_bad", "cookie_bad_rst"]),
    "ack_forged": ("ack", GATED, f"{CLIENTS[0]}/32", ["cookie_bad", "cookie_bad_rst"]),
    "data": ("data", GATED, None, ["cookie_bad", "cookie_bad_rst"]),
    "connect": ("connect", GATED, None, ["syn_cookie", "cookie_ack"]),
    "hello": ("hello", QUIET, None, ["syn_cookie", "gate_frames"]),
}


@pytest.mark.parametrize("name", FLOODS)
def test_real_clients_in_a_flood(gate, net, name):
    """At a rate that the veth carries: every real handshake succeeds, none of the flood's packets is
    missing in the counters, no socket is made for it."""
    kind, port, source, counters = FLOODS[name]
    before, arrived = sum(gate.counter(c) for c in counters), gated.arrived(net)
    old = {line.split()[-1] for line in gated.hand_made(net, port)}  # what other tests left to time out
    # Where both the generator and what it hits run on this machine, the handshakes need what is left.
    with Clients(net.v4, GATED, count("flood_handshakes"), client_context()) as clients:
        sent = Flood(net, kind, net.v4, port, count("flood_seconds"), source=source,
                     pps=count("flood_packets") // (3 if kind in ("connect", "hello") else 1),
                     payload=payload(net, UNKNOWN)).result()
    arrived = gated.arrived(net) - arrived - PACKETS * len(clients.seconds)
    clients.report(name, sent, arrived)
    clients.have_served(gate)
    assert len(clients.seconds) >= 0.5 / SLOW * count("flood_handshakes") * count("flood_seconds")
    assert clients.at(0.5) < patience(0.5)
    assert sum(gate.counter(c) for c in counters) - before >= 0.95 * arrived
    assert arrived >= 0.05 * sent["sent"]
    assert {line.split()[-1] for line in gated.hand_made(net, port)} <= old


@pytest.mark.parametrize("kind", ["syn", "ack", "data"])
def test_more_than_the_link_carries(gate, net, kind):
    """As fast as the kernel makes packets, which is more than the queue of a veth takes: some of the
    real clients' are lost in it too, before sluice sees them. They are sent again, and answered."""
    with Clients(net.v4, GATED, count("flood_handshakes"), client_context()) as clients:
        arrived = gated.arrived(net)
        sent = Flood(net, kind, net.v4, GATED, count("flood_seconds"), live=True).result()
        arrived = gated.arrived(net) - arrived
    clients.report(f"{kind}, more than the link carries", sent, arrived)
    clients.have_served(gate)
    assert clients.seconds


def test_flood_over_ipv6(gate, net):
    before, arrived = gate.counter("syn_cookie"), gated.arrived(net)
    with Clients(net.v6, GATED, count("flood_handshakes"), client_context()) as clients:
        sent = Flood(net, "syn", net.v6, GATED, count("flood_seconds"), pps=count("flood_packets")).result()
    arrived = gated.arrived(net) - arrived - PACKETS * len(clients.seconds)
    clients.report("syn over IPv6", sent, arrived)
    clients.have_served(gate)
    assert gate.counter("syn_cookie") - before >= 0.95 * arrived


def test_handshake_flood_is_limited(net, launch):
    """Real sources with whole, good ClientHellos: limits per prefix leave the others their share."""
    pps = count("flood_hellos")
    limit = pps // 60
    one = launch(gated.config(net, limits={"prefix": {"handshakes_per_second": limit, "handshakes_burst": limit}}))
    with Clients(net.v4, GATED, min(40, count("flood_handshakes")), client_context()) as clients:
        attack = Flood(net, "hello", net.v4, GATED, count("flood_seconds"), source="198.19.9.0/24",
                       pps=pps, reset=True, payload=payload(net, WWW))
        sent = attack.result()
    clients.report("whole handshakes", sent, sent["sent"])
    assert clients.failures == []
    assert sent["started"] > 10 * limit
    assert sent["resets"] >= 0.9 * (sent["started"] - 2 * limit * (count("flood_seconds") + 2))
    assert one.drops()["prefix_handshake_limit"] >= 0.9 * sent["resets"]


NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 8192; }}
http {{
	access_log off;
	server {{
		listen 198.18.1.2:443 ssl backlog=4096;
		ssl_certificate {cert};
		ssl_certificate_key {key};
		location / {{ return 200 "hello"; }}
	}}
}}
"""


@pytest.fixture
def nginx(net):
    """A plain listener where sluiced's were, with the kernel's SYN cookies."""
    net.halt()
    cert, key = net.certs["www"]
    file = net.folder / "nginx.conf"
    file.write_text(NGINX.format(folder=net.folder, cert=cert, key=key))
    process = subprocess.Popen(
        netns.inside(net.lb, "nginx", "-p", str(net.folder), "-c", str(file), "-g", "daemon off;"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=netns.die_with_parent)
    try:
        def is_ready():
            assert process.poll() is None, (net.folder / "nginx.log").read_text()
            try:
                Connection((net.v4, 443)).close()
                return True
            except ConnectionRefusedError:
                return False
        until(is_ready, "nginx listens")
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def test_the_same_flood_on_a_plain_listener(net, nginx):
    """No claim about nginx: the same SYN flood and the same clients, for the report beside
    test_real_clients_in_a_flood[syn]. `make bench ROWS=flood_syn_cpu` compares the CPU."""
    arrived = gated.arrived(net)
    with Clients(net.v4, 443, count("flood_handshakes"), client_context()) as clients:
        sent = Flood(net, "syn", net.v4, 443, count("flood_seconds"), pps=count("flood_packets")).result()
    clients.report("syn, plain nginx", sent, gated.arrived(net) - arrived)
    assert clients.seconds
