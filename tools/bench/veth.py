"""Rows that need packets from outside: the products' namespace is joined to a clients' namespace by a
veth pair. On a veth the receiver's work runs in the sender's thread, so a flood at a fixed rate shows
what a packet costs the receiver: the CPU of the generator, minus that of the same flood into
XDP_DROP. The generator makes its packets in the kernel, so that little else is measured."""

import json
import os
import subprocess
import sys

from measure import Load
from peers import Product
from proc import BenchError, Process, read, settled
from rows import CPS, NS_BYTE, Cell

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))

import netns  # noqa: E402 (needs the path above)

DEVICE, CLIENT_DEVICE = "front", "client0"
ADDRESS, CLIENT_ADDRESS = "198.18.1.2", "198.18.1.1"
SOURCES = "198.19.0.0/16"  # routed to the clients, owned by nobody
FLOOD_PPS = 60_000
WARM_SECONDS = 0.3         # so that the backlog of a plain listener is full


class Veth:
    """The clients' namespace and the pair of devices."""

    def __init__(self):
        self.clients = f"slb{os.getpid()}c"
        netns.add(self.clients)
        try:
            netns.ip(None, f"link add {DEVICE} type veth peer name {CLIENT_DEVICE} netns {self.clients}",
                     f"addr add {ADDRESS}/24 dev {DEVICE}", f"link set {DEVICE} up")
            netns.ip(self.clients, f"addr add {CLIENT_ADDRESS}/24 dev {CLIENT_DEVICE}",
                     f"link set {CLIENT_DEVICE} up")
            netns.ip(None, f"route add {SOURCES} via {CLIENT_ADDRESS}")
            netns.sysctl(None, ipv4__tcp_syncookies=1, core__somaxconn=4096,
                         ipv4__tcp_max_syn_backlog=4096)
            netns.sysctl(self.clients, ipv4__ip_local_port_range="'1024 65535'", ipv4__tcp_tw_reuse=1)
            # Without it a veth takes no such packets where there is no XDP program.
            netns.run(["ethtool", "-K", DEVICE, "gro", "on"])
            self.mac = netns.ip_json("link", "show", DEVICE)[0]["address"]
        except RuntimeError as error:
            self.close()
            raise BenchError(str(error)) from error

    def close(self):
        netns.remove(self.clients)

    def inside(self, *argv):
        return netns.inside(self.clients, *argv)


class Hold:
    """A program of one verdict on a device for the length of a `with` block (xdp_hold.c)."""

    def __init__(self, site, verdict, veth=None):
        argv = [site.binary("xdp_hold"), CLIENT_DEVICE if veth else DEVICE, verdict]
        self.process = Process("xdp_hold", site.generator_cpu, veth.inside(*argv) if veth else argv,
                               pipes=True)
        if self.process.popen.stdout.readline() != "attached\n":
            self.process.stop()
            raise BenchError("xdp_hold could not attach")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()


def softirq_seconds(cpu):
    """CPU time of the kernel's thread that takes over when the sender's has done its share."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if read(f"/proc/{pid}/comm").strip() == f"ksoftirqd/{cpu}":
            return int(read(f"/proc/{pid}/schedstat").split()[0]) / 1e9
    raise BenchError(f"there is no ksoftirqd/{cpu}")


def received():
    return netns.ip_json("-statistics", "link", "show", DEVICE)[0]["stats64"]["rx"]["packets"]


def flood(site, veth, port, seconds):
    """ns of CPU per SYN of a flood from random sources at a fixed rate, sender and receiver."""
    argv = [site.binary("flood"), "--kind", "syn", "--interface", CLIENT_DEVICE, "--mac", veth.mac,
            "--to", ADDRESS, "--port", str(port), "--from", SOURCES, "--pps", str(FLOOD_PPS),
            "--seconds", str(seconds), "--live", "--cpu", str(site.generator_cpu)]
    before, arrived = softirq_seconds(site.generator_cpu), received()
    done = subprocess.run(veth.inside(*argv), capture_output=True, text=True, check=False,
                          timeout=seconds + 20)
    if done.returncode:
        raise BenchError(f"flood: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    other, arrived = softirq_seconds(site.generator_cpu) - before, received() - arrived
    if arrived < 0.5 * FLOOD_PPS * seconds:
        raise BenchError(f"the flood reached {arrived / seconds:.0f} of {FLOOD_PPS} packets/s")
    return (result["cpu_ns"] * result["sent"] + other * 1e9) / arrived


def flood_round(site, veth, row, cells):
    """The plain listener, XDP_DROP and sluice in turn; answers are dropped where they arrive."""
    def measure(port):
        flood(site, veth, port, WARM_SECONDS)
        return flood(site, veth, port, row.seconds)
    costs = {}
    with Hold(site, "drop", veth):
        nginx = Product(site, "nginx")
        try:
            costs["nginx"] = measure(nginx.ports["ecdsa"])
        finally:
            nginx.stop()
        with Hold(site, "drop"):
            base = measure(nginx.ports["ecdsa"])
        sluice = Product(site, "sluice", "gate")
        try:
            costs["sluice"] = measure(sluice.ports["ecdsa"])
        finally:
            sluice.stop()
    for name, cost in costs.items():
        cells[name].samples.append(cost - base)


class OutsideLoad(Load):
    """The load generator in the clients' namespace."""

    def __init__(self, site, veth, product, row, key):
        argv = veth.inside(site.binary("load"), "--address", ADDRESS, *self.options(product.ports[key], row))
        self.process = Process("load", site.generator_cpu, argv, pipes=True)
        self.opened = self.reply()


def gate_value(row, cpu, result):
    if row.unit == CPS:
        return result["ops"] / result["elapsed"]
    if row.unit == NS_BYTE:
        return cpu * 1e9 / result["bytes"]
    return result["first_byte_us"]


def gate_round(site, veth, product, row, cells, turn):
    """One sluice with two listeners: through the gate, and not; which is first takes turns."""
    keys = (("sluice", "ecdsa"), ("off", "rsa"))
    for name, key in keys if turn % 2 else reversed(keys):
        load = OutsideLoad(site, veth, product, row, key)
        try:
            settled(product.process.cpu_seconds, 0.3, 0.01, 0)
            cpu = product.process.cpu_seconds()
            result = load.go()
            cpu = settled(product.process.cpu_seconds, 0.3, 0.01, 0) - cpu
        finally:
            load.close()
        if not result["ops"]:
            raise BenchError("not one operation was completed")
        cells[name].samples.append(gate_value(row, cpu, result))


def run(site, rows, table, attempt, say):
    """All rows of this kind; what goes wrong fails its row."""
    if not rows:
        return
    for row in rows:
        table[row.id] = {name: Cell() for name in (("sluice", "nginx") if row.is_flood else ("sluice", "off"))}
    try:
        veth = Veth()
    except BenchError as error:
        for row in rows:
            table[row.id]["sluice"].failure = str(error)
        return
    try:
        for row in (row for row in rows if row.is_flood):
            for turn in range(row.rounds):
                say(f"{row.id}: round {turn + 1} of {row.rounds}")
                attempt(table[row.id]["sluice"], flood_round, site, veth, row, table[row.id])
        gates = [row for row in rows if not row.is_flood]
        if gates:
            run_gates(site, veth, gates, table, attempt, say)
    finally:
        veth.close()


def run_gates(site, veth, rows, table, attempt, say):
    with Hold(site, "pass", veth):
        product = Product(site, "sluice", "gate")
        try:
            for turn in range(max(row.rounds for row in rows)):
                say(f"gate on and off: round {turn + 1}")
                for row in (row for row in rows if turn < row.rounds):
                    attempt(table[row.id]["sluice"], gate_round, site, veth, product, row,
                            table[row.id], turn)
        finally:
            product.stop()
