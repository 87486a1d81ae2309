"""A machine of its own, as far as systemd goes: a copy of this system in namespaces, with systemd as its first
process, on the network of the load balancer. Run as a program it becomes that: machine.py SPEC.json.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from pod import DEVICES, LIBC, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, PR_SET_PDEATHSIG, mount, prctl

INIT = "/usr/lib/systemd/systemd"
CLONE_NEWCGROUP = 0x02000000
MNT_DETACH = 2
# Of no use here, or slow: what is made anew in a copy that has never run, and devices.
MASKED = ("ldconfig.service", "systemd-journal-catalog-update.service", "systemd-update-done.service", "systemd-udevd.service",
          "systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-networkd.service",
          "systemd-resolved.service", "systemd-timesyncd.service", "systemd-random-seed.service", "systemd-logind.service",
          "systemd-sysctl.service", "dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
          "modprobe@.service", "getty.target")


def become(spec):
    """Namespaces and a group of processes; in a child, the first of its PID namespace: the system."""
    os.setns(os.open(spec["netns"], os.O_RDONLY), os.CLONE_NEWNET)
    os.unshare(os.CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    work = Path(spec["work"])
    mount("tmpfs", work, "tmpfs")
    groups = work / "groups"
    groups.mkdir()
    mount("none", groups, "cgroup2")
    group = groups / spec["group"]
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()))
    os.unshare(CLONE_NEWCGROUP | os.CLONE_NEWPID | os.CLONE_NEWIPC | os.CLONE_NEWUTS)
    child = os.fork()
    if child:
        (groups / "cgroup.procs").write_text(str(os.getpid()))
        Path(spec["pid_file"]).write_text(str(child))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
        os.waitpid(child, 0)
        remove(group)
        return 0
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.unshare(os.CLONE_NEWNS)
    return run_system(work, spec)


def remove(group):
    """Its processes have been killed, and are gone in a moment."""
    for _ in range(200):
        try:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)
            assert not group.exists()
            return
        except OSError:
            time.sleep(0.01)


def run_system(work, spec):
    for name in ("upper", "work", "root"):
        (work / name).mkdir()
    shutil.copytree(spec["files"], work / "upper", dirs_exist_ok=True)
    root = work / "root"
    mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={work}/upper,workdir={work}/work")
    safe = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount("proc", root / "proc", "proc", safe)
    mount("sysfs", root / "sys", "sysfs", safe)
    mount("none", root / "sys/fs/cgroup", "cgroup2", safe)
    for place, mode in (("run", "755"), ("tmp", "1777"), ("dev", "755")):
        mount("tmpfs", root / place, "tmpfs", MS_NOSUID, f"mode={mode}")
    for name in (*DEVICES, "net/tun"):
        (root / "dev" / name).parent.mkdir(exist_ok=True)
        (root / "dev" / name).touch()
        mount(f"/dev/{name}", root / "dev" / name, None, MS_BIND)
    units = root / "etc/systemd/system"
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    (units / "default.target").symlink_to("/usr/lib/systemd/system/basic.target")
    (root / "old").mkdir(exist_ok=True)
    os.chdir(root)
    if LIBC.pivot_root(b".", b"old") or LIBC.umount2(b"/old", MNT_DETACH):
        raise OSError("pivot_root")
    os.execve(INIT, [INIT, "--system"], {"container": "test", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


class Machine:
    """`files`: a folder with what is in the machine's file system beside this one's."""

    def __init__(self, folder, files, netns):
        self.folder = folder
        work = folder / "machine"
        work.mkdir()
        self.spec = {"netns": f"/run/netns/{netns}", "work": str(work), "files": str(files), "group": f"sluice-{os.getpid()}",
                     "pid_file": str(folder / "pid")}
        (folder / "spec.json").write_text(json.dumps(self.spec))
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, __file__, folder / "spec.json"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)

    def run(self, *command, timeout=60, check=True):
        """(exit status, what it said) of a command in the machine."""
        pid = (self.folder / "pid").read_text()
        done = subprocess.run(["nsenter", f"--target={pid}", "--all", "--root", "--wd", "--", *map(str, command)],
                              capture_output=True, text=True, timeout=timeout, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert not check or done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.returncode, done.stdout + done.stderr

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        pid = self.folder / "pid"
        return pid.exists() and pid.read_text() and self.run("systemctl", "is-active", "basic.target", check=False)[0] == 0

    def show(self, unit, *names):
        """Properties of a unit, as text."""
        text = self.run("systemctl", "show", unit, *[f"--property={name}" for name in names])[1]
        rows = dict(line.split("=", 1) for line in text.splitlines())
        return [rows[name] for name in names] if len(names) > 1 else rows[names[0]]

    def log(self, unit):
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")[1]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(become(json.loads(Path(sys.argv[1]).read_text())))
