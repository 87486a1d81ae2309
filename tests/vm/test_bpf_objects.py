"""The kernel is the one that was asked for, every BPF object loads on it, the host check says that
everything the packet plane is made of is there, and it can do the records of TLS."""
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from sluiced import BUILD

TOP = Path(__file__).resolve().parents[2]
# Halves that are loaded one against the other, by the host check.
HALVES = {"host_probe.bpf.o"}
OBJECTS = sorted(p for p in (TOP / "build/gen/bpf").glob("*.bpf.o")
                 if (TOP / "bpf" / p.name).with_suffix(".c").exists() and p.name not in HALVES)
TCP_ULP = 31  # linux/tcp.h


def test_kernel():
    """The release's own kernel is of the oldest series in /boot, that of the backports of another."""
    series = sorted([int(n) for n in re.findall(r"\d+", path.name)[:2]] for path in Path("/boot").glob("vmlinuz-*"))
    own = [int(n) for n in os.uname().release.split(".")[:2]]
    assert (own == series[0]) == (os.environ["SLUICE_VM_KERNEL"] == "stable"), (os.uname().release, series)


def test_kernel_tls():
    """A connected socket takes the upper layer, which is not there where CONFIG_TLS is not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            client.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
            assert client.getsockopt(socket.IPPROTO_TCP, TCP_ULP, 16).rstrip(b"\0") == b"tls"
    assert Path("/proc/net/tls_stat").exists()


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.name)
def test_object_loads(path):
    pins = Path("/sys/fs/bpf") / path.name.partition(".")[0]
    done = subprocess.run(["bpftool", "prog", "loadall", path, pins], capture_output=True, text=True)
    try:
        assert done.returncode == 0, done.stderr[-4000:]
        assert any(pins.iterdir())
    finally:
        subprocess.run(["rm", "-rf", pins], check=True)


def test_host_check():
    done = subprocess.run([BUILD / "sluiced", "--check-host"], capture_output=True, text=True, timeout=60)
    rows = {words[0]: words[1] for words in map(str.split, done.stdout.splitlines()) if len(words) > 1}
    for name in ("btf", "xdp_load", "reuseport", "mmapable_maps", "make_sockets", "tcx", "af_xdp", "tun",
                 "own_cookies", "gate_v4", "xdp_dispatcher"):
        assert rows.get(name) == "ok", done.stdout
