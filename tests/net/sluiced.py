"""sluiced under test: its configuration, its process in the load-balancer namespace, its log."""
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import yaml

import netns
from wire import patience, until

BUILD = Path(os.environ.get("BUILD_DIR", "build/release"))
if not BUILD.is_absolute():
    BUILD = netns.TOP / BUILD
# Freed memory is kept for a while by AddressSanitizer: its figures say nothing about memory.
IS_SANITIZED = BUILD.name.startswith("san-")
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                   "WARNING: ThreadSanitizer")
READY_S = 20
STOP_S = patience(15)


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("sluice", timeout=patience(timeout))
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Foreign:
    """A process that is not our child, in the manner of Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None
        self.fd = os.pidfd_open(pid)

    def poll(self):
        if self.returncode is None and select.select([self.fd], [], [], 0)[0]:
            self.returncode = 0
        return self.returncode

    def wait(self, timeout=None):
        if not select.select([self.fd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("sluiced", timeout)
        return self.poll()

    def send_signal(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Sluiced:
    """One sluiced with its configuration file, socket, pins and log."""

    def __init__(self, net, config, name="sluiced"):
        self.net = net
        self.process = None
        self.role = ""  # of an instance that tests share
        self.log_mark = 0  # where the log was when the test began
        self.file = net.folder / f"{name}.yaml"
        self.log_file = net.folder / f"{name}.log"
        self.socket = net.folder / f"{name}.sock"
        self.pins = net.pins
        self.base = {
            "admin": {"socket": str(self.socket)},
            "shutdown": {"timeout": f"{STOP_S / 3:.0f}s"},
            "state_dir": str(net.folder / f"{name}.state"),
            "certificates_index": str(net.folder / f"{name}.idx"),
            "xdp": {"mode": "native", "interfaces": [net.device], "pin_dir": str(self.pins)},
        }
        Path(f"{self.socket}.lists").unlink(missing_ok=True)  # of another one's run-time entries
        Path(self.base["certificates_index"]).unlink(missing_ok=True)
        shutil.rmtree(self.base["state_dir"], ignore_errors=True)
        self.write(config)
        self.log_file.write_bytes(b"")

    def write(self, config):
        """Puts a configuration where the daemon reads it; as editors do, by rename."""
        aside = self.file.with_suffix(".new")
        aside.write_text(yaml.safe_dump(self.base | config, sort_keys=False))
        aside.rename(self.file)

    def spawn(self, output=None, env=None, through=(), options=()):
        """Starts the process without waiting for it to be ready; what it says goes to the log, or `output`.
        `through`: words of a command that becomes sluiced (setpriv)."""
        command = netns.inside(self.net.lb, *through, str(BUILD / "sluiced"), "--config", str(self.file),
                                *options)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output or log,
                                            stderr=output or log, preexec_fn=netns.die_with_parent,
                                            env=os.environ | (env or {}))
        return self

    def start(self, **how):
        self.spawn(**how)
        try:
            until(self.is_ready, "sluiced answers on its admin socket", READY_S)
        except BaseException:
            self.discard()
            raise
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"sluiced ended with {self.process.returncode} at the start:\n"
                                 + self.log()[-4000:])
        try:
            return self.api("/v1/status").get("pid") == self.process.pid
        except (OSError, http.client.HTTPException):
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_file.read_text(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)
        if number == signal.SIGSTOP:  # takes effect on each thread when that thread notices
            tasks = Path(f"/proc/{self.process.pid}/task")
            until(lambda: all(") T " in (task / "stat").read_text() for task in tasks.iterdir()),
                  "every thread is stopped")

    def kill9(self):
        self.process.kill()
        self.process.wait(timeout=STOP_S)

    def stop(self):
        """An orderly stop; whatever was not in order is an AssertionError."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            status = process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"sluiced did not end within {STOP_S} s of SIGTERM:\n"
                                 + self.log()[-4000:]) from None
        self.check_sanitizers()
        assert status == 0, f"sluiced ended with {status}:\n{self.log()[-4000:]}"

    def discard(self):
        """Ends the process whatever its state."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def check_sanitizers(self):
        text = self.log()
        assert not any(mark in text for mark in SANITIZER_MARKS), text[-8000:]

    # --- the admin interface

    def api(self, path, method="GET"):
        connection = UnixHttp(self.socket)
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def ask(self, method, path, body=None, **headers):
        """(status, document, ETag) of a request with a JSON body."""
        connection = UnixHttp(self.socket)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.getheader("ETag")
        finally:
            connection.close()

    def change(self, method, path, body=None, **headers):
        """A change of objects that must succeed; returns the answer."""
        status, answer, _ = self.ask(method, path, body, **headers)
        assert status == 200, answer
        return answer

    def ctl(self, *words, check=True):
        """sluicectl; returns (exit status, standard output, standard error)."""
        done = subprocess.run([BUILD / "sluicectl", "--socket", self.socket, *words],
                              capture_output=True, text=True, timeout=patience(20))
        if check:
            assert done.returncode == 0, f"sluicectl {words}: {done.returncode}: {done.stderr}"
        return done.returncode, done.stdout, done.stderr

    def reload(self, config):
        """Writes the configuration and has it applied."""
        self.write(config)
        self.ctl("reload")

    def generation(self):
        return self.api("/v1/status")["config"]["generation"]

    def targets(self, group):
        return {t["name"]: t for t in self.api("/v1/targets")["targets"] if t["group"] == group}

    def states(self, group):
        return [t["state"] for t in self.api("/v1/targets")["targets"] if t["group"] == group]

    def wait_states(self, group, states, timeout=10):
        until(lambda: sorted(self.states(group)) == sorted(states),
              f"targets of {group} are {states}", timeout)

    def drops(self):
        """{reason: count} of everything dropped or refused."""
        counts = {}
        for row in self.api("/v1/drops")["drops"]:
            counts[row["reason"]] = counts.get(row["reason"], 0) + row["count"]
        return counts

    def counter(self, name):
        """A counter of the packet plane, all CPUs together, as bpftool shows it by name."""
        rows = self.dump_json("counters")[0]["formatted"]["values"]
        return sum(row["value"][name] for row in rows)

    def rss_bytes(self):
        return self.status_kib("VmRSS") * 1024

    def peak_rss_bytes(self, anew=False):
        """The most it has had; `anew`: since now, which is what it has."""
        if anew:
            (Path("/proc") / str(self.process.pid) / "clear_refs").write_text("5")
        return self.status_kib("VmHWM") * 1024

    def rested_rss_bytes(self):
        """Resident memory once it has stopped growing."""
        seen = []

        def is_at_rest():
            seen.append(self.rss_bytes())
            return len(seen) > 15 and max(seen[-10:]) - min(seen[-10:]) < 1 << 16
        if not IS_SANITIZED:
            until(is_at_rest, "memory rests", 10, 0.05)
        return self.rss_bytes()

    def status_kib(self, field):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise AssertionError(field)

    def open_files(self, kind=""):
        """How many descriptors are open whose link begins with `kind` ("pipe:", "socket:")."""
        number = 0
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                number += os.readlink(path).startswith(kind)
            except FileNotFoundError:
                continue
        return number

    def dump(self, name):
        """A pinned map as bpftool prints it."""
        return subprocess.run(["bpftool", "map", "dump", "pinned", self.pins / "maps" / name],
                              capture_output=True, text=True, check=True, timeout=patience(20)).stdout

    def dump_json(self, name):
        """The rows of a pinned map with formatted values."""
        done = subprocess.run(["bpftool", "--json", "map", "dump", "pinned", self.pins / "maps" / name],
                              capture_output=True, text=True, check=True, timeout=patience(20))
        return json.loads(done.stdout)


def stopwatch():
    """Seconds since the call, as a function."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
