"""A container as a runtime would make it of a pod's manifest and an unpacked image: namespaces of its own, the
mounts and no others, the capabilities and no others. Run as a program it is the part of the runtime that becomes
the container: pod.py SPEC.json.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG = 24, 38, 1
CAPABILITIES = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14, "SYS_ADMIN": 21,
                "PERFMON": 38, "BPF": 39}
DEVICES = ("null", "zero", "full", "random", "urandom")


def mount(source, target, kind=None, flags=0, data=None):
    words = [word.encode() if word else None for word in (str(source), str(target), kind)]
    if LIBC.mount(words[0], words[1], words[2], flags, data.encode() if data else None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} {target}: {os.strerror(number)}")


def prctl(*arguments):
    if LIBC.prctl(*arguments, *[0] * (5 - len(arguments))):
        raise OSError(ctypes.get_errno(), f"prctl {arguments}")


def become(spec):
    """Namespaces; in a child, which is the first of its PID namespace: mounts, rights, the program."""
    if spec["netns"]:
        os.setns(os.open(spec["netns"], os.O_RDONLY), os.CLONE_NEWNET)
    os.unshare(os.CLONE_NEWNS | os.CLONE_NEWPID | os.CLONE_NEWIPC | os.CLONE_NEWUTS)
    child = os.fork()
    if child:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _: os.kill(child, got))
        Path(spec["pid_file"]).write_text(str(child))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    lay_out(Path(spec["root"]), spec)
    os.chroot(spec["root"])
    os.chdir("/")
    for number in range(64):
        if number not in {CAPABILITIES[name] for name in spec["capabilities"]} and not spec["privileged"]:
            LIBC.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    if not spec["privileged"]:
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    return os.execve(spec["args"][0], spec["args"], spec["env"])


def lay_out(root, spec):
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount(root, root, None, MS_BIND)
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | (0 if spec["privileged"] else MS_RDONLY))
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if not spec["privileged"]:
        mount(root / "proc/sys", root / "proc/sys", None, MS_BIND)
        mount("none", root / "proc/sys", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", root / "dev", "tmpfs", MS_NOSUID, "mode=755")
    for name in DEVICES:
        (root / "dev" / name).touch()
        mount(f"/dev/{name}", root / "dev" / name, None, MS_BIND)
    if spec["privileged"]:
        (root / "dev/net").mkdir()
    for source, target, read_only in spec["mounts"]:
        place = root / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        if source is None:
            mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV)
            continue
        mount(source, place, None, MS_BIND)
        if read_only:
            mount("none", place, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    mount("none", root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


class Pod:
    """A container of a manifest: `pod` is the pod's spec, `volumes` says where each volume is ({name: path})."""

    def __init__(self, folder, bundle, pod, container, volumes, netns=None):
        self.folder, self.netns, self.process, self.pid = folder, netns, None, None
        self.root = bundle / "rootfs"
        image = json.loads((bundle / "config.json").read_text())["process"]
        context = container["securityContext"]
        assert context.get("runAsUser", 0) == 0 and context["readOnlyRootFilesystem"]
        privileged = context.get("privileged", False)
        if not privileged:
            assert context["capabilities"]["drop"] == ["ALL"] and context["allowPrivilegeEscalation"] is False
        known = {volume["name"] for volume in pod["volumes"]}
        mounts = []
        for row in container["volumeMounts"]:
            assert row["name"] in known, row
            mounts.append((volumes[row["name"]] and str(volumes[row["name"]]), row["mountPath"], row.get("readOnly", False)))
        for _, target, _ in mounts:  # as a runtime makes the places of mounts in the image
            if not target.startswith(("/dev/", "/sys/", "/proc/")):
                (self.root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.spec = {
            "root": str(self.root), "netns": f"/run/netns/{netns}" if netns else None, "mounts": mounts,
            "privileged": privileged, "capabilities": [] if privileged else context["capabilities"]["add"],
            "args": image["args"][:1] + container["args"], "pid_file": str(folder / "pid"),
            "env": dict(word.split("=", 1) for word in image["env"])}
        self.log_file = folder / "log"

    def start(self):
        file = self.folder / "spec.json"
        file.write_text(json.dumps(self.spec))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, __file__, file], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def run(self, timeout):
        """To its end: (exit status, what it said)."""
        self.start()
        return self.process.wait(timeout=timeout), self.log()

    def log(self):
        return self.log_file.read_text(errors="replace")

    def exec(self, command, timeout):
        """A command in the container, as probes and hooks are run. None: there is no container yet."""
        pid = self.folder / "pid"
        if not pid.exists() or not pid.read_text():
            return None
        return subprocess.run(
            ["nsenter", f"--target={pid.read_text()}", "--mount", "--pid", "--net", "--ipc", "--uts", "--root", "--wd", "--",
             *command], capture_output=True, text=True, timeout=timeout)

    def stop(self, number=signal.SIGTERM, timeout=30):
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            pid = int((self.folder / "pid").read_text())
            os.kill(pid, signal.SIGKILL)
            process.wait(timeout=10)
            raise


if __name__ == "__main__":
    sys.exit(become(json.loads(Path(sys.argv[1]).read_text())))
