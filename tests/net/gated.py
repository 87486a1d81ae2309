"""sluiced with the gate in front: its configuration, flights of every shape, sockets that exist, and
the flood generator."""
import json
import random
import subprocess
import time

import netns
from rawtcp import SOURCES_V4, SOURCES_V6
from sluiced import BUILD
from standard import group, listener

GATED, STRICT, QUIET, ALPN, V13 = 443, 4430, 4431, 4432, 4433
JA4_DENY, PROXY, NAME_LIMIT, OFF = 4434, 4435, 4436, 4437
HTTP, TCP, GREET, ROUTES = 80, 4000, 4009, 4438
KERNEL_SYN, ATTACKED = 4439, 4440
FLOOD = BUILD / "bench" / "flood"
WWW, UNKNOWN = "www.sluice.test", "nobody.example.test"


def listeners(**more):
    def secure(name, port, *, protocol="https", target="web", **settings):
        return listener(name, protocol, port, target, certificates=["www", "wild"], **settings)

    def refuse(how):
        return {"mode": "on", "unknown_name": "refuse", "missing_name": "refuse", "refusal": how}
    return [
        secure("gated", GATED, gate={"mode": "on"}),
        secure("strict", STRICT, gate=refuse("alert")),
        secure("quiet", QUIET, gate=refuse("reset")),
        secure("alpn", ALPN, protocol="tls", target="raw", tls={"alpn": ["echo/1"]}, gate={"mode": "on"}),
        secure("v13", V13, tls={"min_version": "1.3"}, gate={"mode": "on"}),
        secure("proxy", PROXY, gate={"mode": "on"}, proxy_protocol="require"),
        secure("off", OFF, gate={"mode": "off"}),
        secure("kernel-syn", KERNEL_SYN, gate={"mode": "on"}, syn_cookies="off"),
        listener("http", "http", HTTP, "web"),
        listener("tcp", "tcp", TCP, "raw"),
        listener("greet", "tcp", GREET, "raw-greet"),
    ]


def groups(net):
    return [group("web", "http", net.target_list(8080, 1)),
            group("raw", "tcp", net.target_list(9000, 1)),
            group("raw-tls", "tcp", net.target_list(8443, 1)),
            group("raw-greet", "tcp", net.target_list(9001, 1))]


def config(net, more=(), **settings):
    return {"certificates": net.certificates("www", "wild"), "target_groups": groups(net),
            "listeners": listeners() + list(more)} | settings


def sockets(net, port, words=()):
    """Lines of `ss` about connections to a port of the load balancer, in whatever state."""
    out = netns.run(netns.inside(net.lb, "ss", "-Htan", *words, "sport", "=", f":{port}"))
    return [line for line in out.splitlines() if not line.startswith("LISTEN")]


def hand_made(net, port, raw=None):
    """Sockets of clients that are made by hand (of this one)."""
    peer = f":{raw.sport} " if raw else ""
    return [line for line in sockets(net, port)
            if ("198.19." in line or "fd51:9:" in line) and peer in line + " "]


def details(net, port, peer):
    """`ss -ti` of the one connection from an address and port of the client."""
    host, sport = peer[:2]
    host = f"[{host}]" if ":" in host else host
    out = netns.run(netns.inside(net.lb, "ss", "-Htinoi", "sport", "=", f":{port}", "dst",
                                 f"{host}:{sport}"))
    return out.split()


def passive_opens(net):
    """Connections that the load balancer's kernel has made sockets for."""
    return snmp(net)["PassiveOpens"]


def arrived(net):
    """Frames that the load balancer's device has received."""
    link = netns.ip_json("-statistics", "link", "show", net.device, namespace=net.lb)[0]
    return link["stats64"]["rx"]["packets"]


def snmp(net):
    lines = [line.split()[1:] for line in
             netns.run(netns.inside(net.lb, "cat", "/proc/net/snmp")).splitlines()
             if line.startswith("Tcp:")]
    return dict(zip(lines[0], map(int, lines[1])))


class Flood:
    """The flood generator in the clients' namespace, started at once; result() waits for its end."""

    def __init__(self, net, kind, address, port, seconds, source=None, **options):
        source = source or (SOURCES_V6 if ":" in address else SOURCES_V4)
        mac = netns.ip_json("link", "show", net.device, namespace=net.lb)[0]["address"]
        argv = [FLOOD, "--kind", kind, "--interface", "client0", "--mac", mac, "--to", address,
                "--port", port, "--from", source, "--seconds", seconds]
        for name, value in options.items():
            argv += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
        self.seconds = seconds
        self.process = subprocess.Popen(netns.inside(net.client, *map(str, argv)),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=netns.die_with_parent)

    def result(self):
        try:
            out, complaint = self.process.communicate(timeout=self.seconds + 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, complaint
        return json.loads(out)


def flood(*arguments, **options):
    return Flood(*arguments, **options).result()


# --- first flights in every shape: each sends all bytes of `data` with the client `raw`

def whole(raw, data):
    raw.send_pieces(data, 1400)


def single_bytes(raw, data):
    """No faster than they are taken: this client sends nothing twice."""
    for at in range(len(data)):
        raw.send(at, data[at:at + 1])
        if at % 128 == 127 and at + 1 < len(data):
            raw.expect_ack(at + 1)


def hundreds(raw, data):
    raw.send_pieces(data, 100)


def tiny_first(raw, data):
    raw.send(0, data[:3])
    raw.send_pieces(data[3:], 1400)


def pieces(data, number=5):
    size = -(-len(data) // number)
    return [(at, data[at:at + size]) for at in range(0, len(data), size)]


def backwards(raw, data):
    for at, piece in reversed(pieces(data)):
        raw.send(at, piece)


def shuffled(raw, data):
    order = pieces(data, 8)
    random.Random(len(data)).shuffle(order)
    for at, piece in order:
        raw.send(at, piece)


def twice(raw, data):
    for at, piece in pieces(data):
        raw.send(at, piece)
        raw.send(at, piece)


def overlapping(raw, data):
    """Every piece repeats the end of the one before."""
    for at, piece in pieces(data):
        begin = max(at - 50, 0)
        raw.send(begin, data[begin:at + len(piece)])


def slowly(raw, data):
    raw.send_pieces(data, -(-len(data) // 3), 0.04)


def very_slowly(raw, data):
    raw.send_pieces(data, -(-len(data) // 2), 0.3)


def losing(index):
    """A piece gets lost and is sent again when what came before it has been acknowledged."""
    def shape(raw, data):
        parts = pieces(data, 3)
        for number, (at, piece) in enumerate(parts):
            if number != index:
                raw.send(at, piece)
        if index:
            raw.expect_ack(parts[index][0])
        else:
            time.sleep(0.05)  # nothing to wait for: nothing can be acknowledged
        raw.send(*parts[index])
    shape.__name__ = f"losing_{index + 1}_of_3"
    return shape


SHAPES = [whole, single_bytes, hundreds, tiny_first, backwards, shuffled, twice, overlapping, slowly,
          very_slowly, losing(0), losing(1), losing(2)]
