"""Network namespaces for the demo and the network tests: named, wired with veth pairs, removable.

Names begin with a prefix that tells whose they are, so that leftovers of a killed run can be found
and removed. Namespaces are entered with nsenter: `ip netns exec` replaces /sys and hides bpffs.
"""
import ctypes
import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

RUN = Path("/run/netns")
TOP = Path(__file__).resolve().parents[2]
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def die_with_parent():
    """For a child between fork and exec: it ends when the thread that started it does."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans():
    """What our children leave behind becomes ours, so that it can be waited for."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def inside(namespace, *command):
    """The command line that runs `command` in a namespace (None: here)."""
    return ["nsenter", f"--net={RUN / namespace}", *command] if namespace else list(command)


def run(command, check=True, stdin=None):
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True,
                          text=True, timeout=30)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: "
                           f"{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def ip(namespace, *lines):
    """Runs lines of `ip` commands in a namespace, stopping at the first that fails."""
    run(inside(namespace, "ip", "-batch", "-"), stdin="\n".join(lines) + "\n")


def ip_json(*words, namespace=None):
    return json.loads(run(inside(namespace, "ip", "-json", *words)) or "[]")


def sysctl(namespace, **values):
    """Sets net.* values; a name is the path below /proc/sys/net with `__` for `/`."""
    script = "".join(f"echo {value} >/proc/sys/net/{name.replace('__', '/')}\n"
                     for name, value in values.items())
    run(inside(namespace, "sh", "-e"), stdin=script)


@contextmanager
def entered(namespace):
    """The calling thread is in the namespace for the length of the block; sockets stay there."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(RUN / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.setns(there, os.CLONE_NEWNET)
        yield
    finally:
        os.setns(before, os.CLONE_NEWNET)
        os.close(there)
        os.close(before)


def add(name):
    run(["ip", "netns", "add", name])
    # No waiting for duplicate address detection: the addresses are usable at once.
    sysctl(name, ipv6__conf__all__accept_dad=0, ipv6__conf__default__accept_dad=0)
    ip(name, "link set lo up")


def named(prefix):
    """Namespaces whose name is the prefix and letters: one that ends with a number is not the beginning of a longer
    one, which is somebody else's."""
    ours = re.compile(re.escape(prefix) + "[a-z-]*")
    return sorted(path.name for path in RUN.glob(prefix + "*") if ours.fullmatch(path.name)) if RUN.is_dir() else []


def remove(prefix):
    """Removes these namespaces, and with them their devices."""
    for name in named(prefix):
        run(["ip", "netns", "del", name], check=False)


def processes_in(name):
    """The processes in a namespace."""
    try:
        inode = os.stat(RUN / name).st_ino
    except FileNotFoundError:
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.stat(path / "ns" / "net").st_ino == inode:
                found.append(int(path.name))
        except OSError:
            continue  # gone, or not ours to look at
    return found


def xdp_pass(namespace, device):
    """Attaches a program that passes everything: XDP_TX of the peer of a veth needs one here."""
    # Not `ip link set … xdp object`: that leaves folders of its own on the BPF file system.
    pin = Path(f"/sys/fs/bpf/{namespace or device}-pass")
    run(["bpftool", "prog", "load", TOP / "build/gen/bpf/xdp_pass.bpf.o", pin])
    try:
        run(inside(namespace, "bpftool", "net", "attach", "xdpdrv", "pinned", pin, "dev", device))
    finally:
        pin.unlink()
