"""The world outside the devroot: the shell that called `make`, whose root folder is the host's."""
import os
from pathlib import Path


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def caller():
    """The nearest ancestor that lives in another mount namespace than we do; None: there is none,
    so the host is the devroot itself."""
    here = os.readlink("/proc/self/ns/mnt")
    pid = os.getppid()
    while pid > 1:
        try:
            if os.readlink(f"/proc/{pid}/ns/mnt") != here:
                return pid
            pid = _parent(pid)
        except OSError:
            return None
    return None


def _started(pid):
    """When a process was started, in ticks: tells it from a later one with its number."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def makes():
    """The ancestors that are `make`, as (pid, start): whose end is to be ours too."""
    found, pid = [], os.getppid()
    while pid > 1:
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() in ("make", "gmake"):
                found.append((pid, _started(pid)))
            pid = _parent(pid)
        except OSError:
            break
    return found


def lives(process):
    """Is one of makes() still there?"""
    try:
        return _started(process[0]) == process[1]
    except OSError:
        return False


def has(tool):
    """Does the caller's shell have the tool, where Debian puts it?"""
    pid = caller()
    root = f"/proc/{pid}/root" if pid else ""
    return any(os.access(f"{root}{folder}/{tool}", os.X_OK)
               for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"))


def shell(command, folder):
    """The command line that runs a shell command outside, as if pasted in another terminal; the
    network namespace stays the one it is run in."""
    pid = caller()
    enter = ["nsenter", "-t", str(pid), "--mount", "--root", "--"] if pid else []
    inside = []
    if "SLUICE_VM" in os.environ:  # the tests' own: it runs on the devroot, there is no other root folder
        inside = ["SLUICE_DEVROOT=/", f"SLUICE_SLOW={os.environ.get('SLUICE_SLOW', '1')}"]
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return enter + ["env", "-i", f"PATH={path}", "HOME=/root", "TERM=dumb", *inside, "sh", "-c", f'cd "$0" && {command}',
                    str(folder)]
