"""Every BPF object loads on this kernel, which is another one than the host's; and the host check
says that everything the packet plane is made of is there."""
import subprocess
from pathlib import Path

import pytest

from sluiced import BUILD

TOP = Path(__file__).resolve().parents[2]
# Halves that are loaded one against the other, by the host check.
HALVES = {"host_probe.bpf.o"}
OBJECTS = sorted(p for p in (TOP / "build/gen/bpf").glob("*.bpf.o")
                 if (TOP / "bpf" / p.name).with_suffix(".c").exists() and p.name not in HALVES)


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
