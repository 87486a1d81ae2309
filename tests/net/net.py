"""The network of the tests: clients — load balancer — targets, a namespace each.

    client ns                lb ns                          targets ns
    client0 198.18.1.1   —   client0 198.18.1.2 (XDP)
            fd51:1::1                fd51:1::2
                             targets0 198.18.2.1        —   lb0 198.18.2.11, .12, .13
                                      fd51:2::1                 fd51:2::11, ::12, ::13

The test process itself lives in the client namespace, so every socket it opens is a client's. The
load balancer forwards, so that traffic which is none of sluiced's business crosses XDP as well.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import netns
import pki
from sluiced import Sluiced
from wire import patience, trust, until

HERE = Path(__file__).resolve().parent
CLIENTS = [f"198.18.1.{host}" for host in (1, 21, 22, 23, 24)]
CLIENTS_V6 = ["fd51:1::1", "fd51:1:0:1::21"]


class Target:
    """A process of target.py with an address of its own."""

    def __init__(self, net, index):
        self.net, self.index = net, index
        self.name = f"t{index}"
        self.v4, self.v6 = f"198.18.2.1{index}", f"fd51:2::1{index}"
        self.control = net.folder / f"{self.name}.sock"
        self.process = None

    def start(self):
        self.control.unlink(missing_ok=True)
        command = [sys.executable, HERE / "target.py", "--name", self.name, "--address", self.v4,
                   "--address", self.v6, "--control", self.control,
                   "--cert", self.net.certs["target"][0], "--key", self.net.certs["target"][1]]
        with (self.net.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                netns.inside(self.net.targets_ns, *map(str, command)), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=netns.die_with_parent)
        until(self.is_ready, f"target {self.name} runs", 20)
        return self

    def is_ready(self):
        assert self.process.poll() is None, (self.net.folder / f"{self.name}.log").read_text()
        try:
            return "requests" in self.ask(cmd="stats")
        except OSError:
            return False

    def ask(self, **request):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience(10))
            sock.connect(str(self.control))
            sock.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(sock.makefile().readline())

    def stats(self):
        return self.ask(cmd="stats")

    def health(self, state):
        self.ask(cmd="health", state=state)

    def requests(self, state):
        """What becomes of requests that are no health checks: ok, all, half, slow, drop, hang."""
        self.ask(cmd="requests", state=state)

    def reset(self):
        self.ask(cmd="reset")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Net:
    device = "client0"
    v4, v6 = "198.18.1.2", "fd51:1::2"

    def __init__(self, prefix):
        self.prefix = prefix
        self.client, self.lb, self.targets_ns = f"{prefix}c", f"{prefix}l", f"{prefix}t"
        self.folder = Path("/run/sluice") / prefix
        self.pins = Path("/sys/fs/bpf") / prefix
        self.targets, self.certs = [], {}
        self.current = None
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def up(self):
        self.folder.mkdir(parents=True, mode=0o700)
        for name in (self.client, self.lb, self.targets_ns):
            netns.add(name)
        self._wire()
        self._certificates()
        self.enter()
        self.targets = [Target(self, index).start() for index in (1, 2, 3)]
        return self

    def _wire(self):
        netns.ip(self.lb, f"link add targets0 type veth peer name lb0 netns {self.targets_ns}",
                 "addr add 198.18.2.1/24 dev targets0", "addr add fd51:2::1/64 dev targets0 nodad",
                 "link set targets0 up")
        netns.ip(self.targets_ns, *[f"addr add 198.18.2.1{i}/24 dev lb0" for i in (1, 2, 3)],
                 *[f"addr add fd51:2::1{i}/64 dev lb0 nodad" for i in (1, 2, 3)],
                 "link set lb0 up", "route add 198.18.1.0/24 via 198.18.2.1",
                 "route add fd51:1::/48 via fd51:2::1")
        netns.sysctl(self.lb, ipv4__ip_forward=1, ipv6__conf__all__forwarding=1,
                     core__somaxconn=4096, ipv4__tcp_max_syn_backlog=8192)
        netns.sysctl(self.client, ipv4__ip_local_port_range="'1024 65535'", ipv4__tcp_tw_reuse=1)
        self.wire_clients()

    def unwire_clients(self):
        """The interface that clients come in by is deleted."""
        netns.ip(self.lb, f"link del {self.device}")

    def wire_clients(self):
        """It is made, by the same name each time."""
        netns.ip(self.lb, f"link add {self.device} type veth peer name client0 netns {self.client}",
                 f"addr add {self.v4}/24 dev {self.device}",
                 f"addr add {self.v6}/48 dev {self.device} nodad",
                 f"link set {self.device} up")
        netns.ip(self.client, *[f"addr add {a}/24 dev client0" for a in CLIENTS],
                 *[f"addr add {a}/48 dev client0 nodad{lft}" for a, lft in zip(CLIENTS_V6, ("", " preferred_lft 0"))],
                 "link set client0 up", f"route add 198.18.2.0/24 via {self.v4} src {CLIENTS[0]}",
                 f"route add fd51:2::/64 via {self.v6} src {CLIENTS_V6[0]}")
        # Clients made by hand (rawtcp.py, flood.c): the addresses are nobody's in the clients' namespace.
        netns.ip(self.lb, f"route add 198.19.0.0/16 via {CLIENTS[0]}",
                 f"route add fd51:9::/32 via {CLIENTS_V6[0]}")
        netns.xdp_pass(self.client, "client0")

    def _certificates(self):
        ca, other = pki.Authority(self.folder / "tls"), pki.Authority(self.folder / "tls", "other")
        trust(ca.pem)
        self.ca, self.ca_other = ca, other
        self.certs = {
            "default": ca.issue("default", "default.sluice.test"),
            "www": ca.issue("www", "www.sluice.test"),
            "www-rsa": ca.issue("www-rsa", "www.sluice.test", key="rsa"),
            "wild": ca.issue("wild", "*.wild.sluice.test"),
            "exact": ca.issue("exact", "exact.wild.sluice.test"),
            "target": ca.issue("target", "target.sluice.test", *[f"ip:198.18.2.1{i}" for i in (1, 2, 3)]),
        }

    def enter(self):
        """Moves the process's main thread to the clients' side."""
        with open(netns.RUN / self.client) as there:
            os.setns(there.fileno(), os.CLONE_NEWNET)

    def leave(self):
        os.setns(self.home, os.CLONE_NEWNET)

    def launch(self, config, name="sluiced", **how):
        """Stops what runs and starts sluiced with another configuration; `how`: as spawn()."""
        self.halt()
        self.current = Sluiced(self, config, name)
        self.current.start(**how)
        return self.current

    def halt(self):
        if self.current is not None:
            current, self.current = self.current, None
            try:
                current.stop()
            finally:
                self.unpin()

    def unpin(self):
        """Takes away what a killed or broken daemon left."""
        shutil.rmtree(self.pins, ignore_errors=True)

    def down(self):
        """Everything goes, whatever state it is in."""
        if self.current is not None:
            self.current.discard()
            self.current = None
        for target in self.targets:
            target.kill()
        self.leave()
        remove(self.prefix)

    def heal(self):
        """All targets run, are healthy, and have counted nothing yet."""
        for target in self.targets:
            if target.process is None:
                target.start()
            target.health("ok")
            target.requests("ok")
            target.reset()
        return self.targets

    def tcp_extension(self, name):
        """What the load balancer's kernel has counted (nstat: TcpExt...)."""
        text = netns.run(netns.inside(self.lb, "cat", "/proc/net/netstat"))
        names, counts = [line.split() for line in text.splitlines() if line.startswith("TcpExt:")]
        return int(dict(zip(names, counts))[name])

    def target_list(self, port, *indexes):
        return [{"name": self.targets[i - 1].name, "address": f"{self.targets[i - 1].v4}:{port}"}
                for i in indexes or (1, 2, 3)]

    def certificates(self, *names):
        return [{"name": n, "cert": str(self.certs[n][0]), "key": str(self.certs[n][1])} for n in names]


def remove(prefix):
    """Removes what a run with that prefix made; its processes must have been ended before."""
    netns.remove(prefix)
    shutil.rmtree(Path("/sys/fs/bpf") / prefix, ignore_errors=True)
    shutil.rmtree(Path("/run/sluice") / prefix, ignore_errors=True)


def remove_stale():
    """Removes what a killed test run left: prefixes are "slt", the process id of the run, its part."""
    for folder in Path("/run/sluice").glob("slt[0-9]*"):
        pid = re.match(r"slt(\d+)(w\d+)?$", folder.name)
        if pid and not Path("/proc", pid[1]).exists():
            remove(folder.name)
