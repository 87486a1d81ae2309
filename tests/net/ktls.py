"""The daemon of the tests about records in the kernel: a listener for each setting of `ktls` and each kind
of forwarding, and what the kernel says of its TLS sockets."""
import errno
import os
import re
import socket

import netns
from connections import row_of
from records import RecordConnection
from standard import group, listener
from wire import until

STATS = ("TlsTxSw", "TlsRxSw", "TlsCurrTxSw", "TlsCurrRxSw", "TlsDecryptError")


def kernel_has_tls():
    """A kernel without TLS does not know the word; one that has it wants a connected socket."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError as error:
            return error.errno == errno.ENOTCONN
    return True


HAS_KTLS = kernel_has_tls()
# Linux 6.14 is the first that takes a second key.
CAN_REKEY = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 14)
SETTINGS = ["auto", "require", "tx", "off"] if HAS_KTLS else ["off"]
PORTS = {(setting, kind): 5000 + 10 * i + j for i, setting in enumerate(SETTINGS)
         for j, kind in enumerate(("https", "https-https", "tls", "tls-tls"))}


def kernels(setting):
    """How many directions of a connection with bulk the kernel gets, (rx, tx), in the end."""
    return {"auto": (1, 1), "require": (1, 1), "tx": (0, 1), "off": (0, 0)}[setting]


def config(net):
    groups = [group("web", "http", net.target_list(8080, 1)), group("raw", "tcp", net.target_list(9000, 1))]
    listeners = []
    for setting in SETTINGS:
        to_target = {"ca": str(net.ca.pem), "ktls": setting}
        groups += [group(f"web-{setting}", "https", net.target_list(8443, 1), tls=to_target,
                         pool={"idle_per_worker": 0}),
                   group(f"raw-{setting}", "tls", net.target_list(9443, 1), tls=to_target)]
        for kind, protocol, to in (("https", "https", "web"), ("https-https", "https", f"web-{setting}"),
                                   ("tls", "tls", "raw"), ("tls-tls", "tls", f"raw-{setting}")):
            listeners.append(listener(f"{setting}-{kind}", protocol, PORTS[setting, kind], to,
                                      certificates=["www", "www-rsa"], tls={"ktls": setting}))
    return {"log": {"level": "debug"}, "certificates": net.certificates("www", "www-rsa"),
            "target_groups": groups, "listeners": listeners}


def tls_stat(net):
    """/proc/net/tls_stat of the load balancer's namespace; zeros where the kernel has no TLS."""
    text = netns.run(netns.inside(net.lb, "cat", "/proc/net/tls_stat"), check=False)
    found = {name: int(value) for name, value in re.findall(r"^(\w+)\s+(\d+)$", text, re.M)}
    return {name: found.get(name, 0) for name in STATS}


class Ktls:
    """The daemon whose listeners have the settings, the one that is asked for, and the kernel's counts
    since the test began."""

    def __init__(self, net, one, setting):
        self.net, self.one, self.setting = net, one, setting
        self.rx, self.tx = kernels(setting)
        until(lambda: self.now()["TlsCurrTxSw"] + self.now()["TlsCurrRxSw"] == 0, "the kernel has no TLS socket")
        self.before = self.now()

    def now(self):
        return tls_stat(self.net)

    def address(self, kind):
        return self.net.v4, PORTS[self.setting, kind]

    def dial(self, kind, **options):
        if self.setting == "auto" and kind in ("https-https", "tls-tls"):
            self.rx = self.tx = 0  # between two TLS connections bytes are copied, and the records stay ours
        return RecordConnection(self.address(kind), **options)

    def delta(self):
        now = self.now()
        return {name: now[name] - self.before[name] for name in STATS}

    def counted(self, rx, tx, open_rx, open_tx, errors=0):
        wanted = dict(zip(STATS, (tx, rx, open_tx, open_rx, errors)))
        until(lambda: self.delta() == wanted, f"{wanted}, and it is {self.delta()}", 5)

    def all_gone(self, ends=1, errors=0):
        """Exactly so many TLS sockets were the kernel's, in each direction, and none is left."""
        self.counted(ends * self.rx, ends * self.tx, 0, 0, errors)

    def expect_places(self, connection, ends=("tls",)):
        row = row_of(self.one, connection)
        for end in ends:
            for direction, kernels_own in (("rx", self.rx), ("tx", self.tx)):
                place = row[end][direction]["place"]
                assert (place == "kernel") == bool(kernels_own), row[end]
        return row

    def said(self, pattern_of_line):
        return until(lambda: re.search(pattern_of_line, self.one.log()[self.one.log_mark:]),
                     f"the log says {pattern_of_line}")

    def failures(self, name):
        rows = self.one.api("/v1/counters")["counters"]
        return next(row["count"] for row in rows if row["reason"] == f"tls_{name}")
