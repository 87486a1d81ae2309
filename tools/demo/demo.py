"""The demo of `make run`: clients on this host, sluiced and three targets in namespaces of their own.

    this host                    NAME-lb                       NAME-targets
    NAME 198.18.N.1   — veth —   client0 198.18.N.2 (XDP)
         fd5c:1c:N::1            fd5c:1c:N::2
                                 targets0 198.19.0.1  — veth — lb0 198.19.0.11, .12, .13

Everything it makes carries its name: namespaces, the veth end on this host, /sys/fs/bpf/NAME,
/run/sluice/FOLDER. Demo.down() removes it all, whatever state it is in; the next start does the
same for what a killed demo left. Its processes end with it, also when it is killed (a sluiced that
took over from the one it started: with the next start).
"""
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import netns
import outside
import pki

BUILD = os.environ.get("BUILD_DIR", "build/release")
# As for the tests: how many times slower than an ordinary machine this one is.
SLOW = float(os.environ.get("SLUICE_SLOW") or 1)
READY_S = 30 * SLOW
STOP_S = 15 * SLOW
TARGETS = {"alpha": "198.19.0.11", "beta": "198.19.0.12", "gamma": "198.19.0.13"}
TARGET_PORT = 8080
CERTIFICATES = {
    # name: (kind of key, names)
    "www": ("ecdsa", ["www.sluice.test"]),
    "www-rsa": ("rsa", ["www.sluice.test"]),
    "apps": ("ecdsa", ["*.apps.sluice.test"]),
    "mail": ("ecdsa", ["mail.sluice.test"]),
}

CONFIG = """\
# The demo's configuration, made by tools/run. All settings: man sluice.yaml
workers: auto
state_dir: {folder}/state
admin:
  socket: {folder}/admin.sock
xdp:
  mode: native
  interfaces: [client0]
  pin_dir: {pins}
deny: [192.0.2.0/24]
limits:
  source: {{packets_per_second: 5000, packets_burst: 10000}}
certificates:
{certificates}
target_groups:
  - name: web
    protocol: http
    algorithm: least_outstanding
    targets: &targets
{targets}
    health_check: &check
      {{protocol: http, path: /healthz, interval: {interval_ms:.0f}ms, timeout: {timeout_ms:.0f}ms, rise: 1, fall: 2}}
  - name: bytes
    protocol: tcp
    targets: *targets
    health_check: *check
listeners:
  - name: web
    protocol: https
    address: ["0.0.0.0:443", "[::]:443"]
    certificates: [www, www-rsa, apps]
    target_group: web
  - name: secure
    protocol: tls
    address: ["0.0.0.0:8443", "[::]:8443"]
    certificates: [mail]
    target_group: bytes
  - name: plain
    protocol: tcp
    address: ["0.0.0.0:8080", "[::]:8080"]
    target_group: bytes
"""


class Failure(Exception):
    """Something a person must know; the text says what and what to do."""


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("sluice", timeout=5 * SLOW)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Successor:
    """A sluiced that took over: started by the one before, ours since that has ended. As Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("sluiced", timeout)
            time.sleep(0.05)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Log:
    """Passes sluiced's log on to the terminal, but not before the summary is printed."""

    def __init__(self, stream):
        self.held, self.is_open = [], False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, args=(stream,), daemon=True)
        self.thread.start()

    def _run(self, stream):
        for line in stream:
            with self.lock:
                if self.is_open:
                    self._write([line])
                else:
                    self.held.append(line)

    @staticmethod
    def _write(lines):
        try:
            sys.stderr.write("".join(lines))
            sys.stderr.flush()
        except OSError:
            pass  # the terminal is gone; the demo ends by SIGHUP or with its parent

    def open(self):
        with self.lock:
            self._write(self.held)
            self.held, self.is_open = [], True


def hold(name):
    """A lock for as long as this process lives; an abstract socket leaves no file. OSError: another has it."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0sluice-{name}")
        lock.listen(1)
    except OSError:
        lock.close()
        raise
    return lock


def free_number():
    """The first N whose 198.18.N.0/24 and fd5c:1c:N::/64 no route of this host overlaps, and that no demo
    which starts at the same time has chosen; and what holds it."""
    used = []
    for family in ("-4", "-6"):
        for table in ("main", "local"):
            for route in netns.ip_json(family, "route", "show", "table", table):
                if route["dst"] != "default":
                    used.append(ipaddress.ip_network(route["dst"], strict=False))
    for number in range(256):
        wanted = [ipaddress.ip_network(f"198.18.{number}.0/24"), ipaddress.ip_network(f"fd5c:1c:{number:x}::/64")]
        if any(w.version == u.version and w.overlaps(u) for w in wanted for u in used):
            continue
        try:
            return number, hold(f"net-{number}")
        except OSError:
            continue
    raise Failure("no free address range in 198.18.0.0/16: this host has routes for all of it")


class Demo:
    def __init__(self, name):
        self.name = name
        self.lb, self.targets_ns = f"{name}-lb", f"{name}-targets"
        self.folder = Path("/run/sluice") / name.removeprefix("sluice-")
        self.pins = Path("/sys/fs/bpf") / name
        self.targets, self.sluiced, self.log = {}, None, None
        netns.adopt_orphans()
        try:
            self.lock = hold(f"run-{name}")
        except OSError:
            raise Failure(f"a demo called {name} is running already{self._holder()}: end it with Ctrl-C in its "
                          "terminal, or start another one beside it with tools/run --name NAME") from None

    def _holder(self):
        with socket.socket(socket.AF_UNIX) as other:
            try:
                other.connect(f"\0sluice-run-{self.name}")
                pid = int.from_bytes(other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)
                return f" (pid {pid})"
            except OSError:
                return ""

    # --- up

    def up(self):
        self.remove()  # what a killed demo left
        self.folder.mkdir(parents=True, mode=0o755)
        self._network()
        self._certificates()
        self._start_targets()
        self._start_sluiced()

    def _network(self):
        number, self.number_lock = free_number()
        self.client_v4 = f"198.18.{number}.1"
        self.v4, self.v6 = f"198.18.{number}.2", f"fd5c:1c:{number:x}::2"
        self.has_v6 = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").exists() and \
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip() == "0"
        netns.add(self.lb)
        netns.add(self.targets_ns)
        netns.ip(self.lb, f"link add client0 type veth peer name {self.name} netns {os.getpid()}",
                 f"link add targets0 type veth peer name lb0 netns {self.targets_ns}",
                 f"addr add {self.v4}/24 dev client0", f"addr add {self.v6}/64 dev client0 nodad",
                 "addr add 198.19.0.1/24 dev targets0", "link set client0 up", "link set targets0 up")
        netns.ip(self.targets_ns, *[f"addr add {address}/24 dev lb0" for address in TARGETS.values()],
                 "link set lb0 up")
        host = [f"addr add {self.client_v4}/24 dev {self.name}", f"link set {self.name} up"]
        if self.has_v6:
            host.insert(1, f"addr add fd5c:1c:{number:x}::1/64 dev {self.name} nodad")
        netns.ip(None, *host)
        netns.xdp_pass(None, self.name)

    def _certificates(self):
        ca = pki.Authority(self.folder / "tls")
        self.ca = ca.pem
        for name, (kind, names) in CERTIFICATES.items():
            ca.issue(name, *names, key=kind)

    def _spawn(self, namespace, *command, **options):
        return subprocess.Popen(netns.inside(namespace, *map(str, command)), stdin=subprocess.DEVNULL,
                                start_new_session=True, preexec_fn=netns.die_with_parent, **options)

    def _start_targets(self):
        program = Path(__file__).with_name("target.py")
        for name, address in TARGETS.items():
            self.targets[name] = self._spawn(self.targets_ns, sys.executable, program, name, address, TARGET_PORT)

    def _config(self):
        certificates = "\n".join(
            f"  - {{name: {name}, cert: {self.folder}/tls/{name}.pem, key: {self.folder}/tls/{name}.key}}"
            for name in CERTIFICATES)
        targets = "\n".join(f"      - {{name: {name}, address: {address}:{TARGET_PORT}}}"
                            for name, address in TARGETS.items())
        return CONFIG.format(interval_ms=500 * SLOW, timeout_ms=400 * SLOW, folder=self.folder, pins=self.pins,
                             certificates=certificates, targets=targets)

    def _start_sluiced(self):
        file = self.folder / "sluice.yaml"
        file.write_text(self._config())
        self.sluiced = self._spawn(self.lb, netns.TOP / BUILD / "sluiced", "--config", file,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.log = Log(self.sluiced.stdout)
        end = time.monotonic() + READY_S
        while not self._is_healthy():
            if self.sluiced.poll() is not None:
                self.log.thread.join(timeout=2)
                self.log.open()
                raise Failure(f"sluiced ended with {self.sluiced.returncode}: its log is above")
            if time.monotonic() > end:
                self.log.open()
                raise Failure(f"the targets were not healthy within {READY_S:g} s: the log is above")
            time.sleep(0.05)

    def api(self, path):
        connection = UnixHttp(self.folder / "admin.sock")
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _is_healthy(self):
        try:
            states = [target["state"] for target in self.api("/v1/targets")["targets"]]
        except (OSError, http.client.HTTPException):
            return False
        return len(states) == 2 * len(TARGETS) and set(states) == {"healthy"}

    # --- what the person sees

    def commands(self):
        """(what it shows, command) for another terminal in the checkout."""
        plain_curl = f"{'' if outside.has('curl') else 'tools/devroot '}curl -sS"
        curl = f"{plain_curl} --cacert {self.ca}"
        ctl = f"tools/devroot {BUILD}/sluicectl -s {self.folder}/admin.sock"
        dump = f"{'' if outside.has('bpftool') else 'tools/devroot '}bpftool map dump pinned {self.pins}/maps"

        def resolve(name, port, address=self.v4):
            return f"--resolve '{name}:{port}:{address}' https://{name}{'' if port == 443 else f':{port}'}/"
        yield "HTTPS: the request goes to one of three targets", f"{curl} {resolve('www.sluice.test', 443)}"
        if self.has_v6:
            yield "the same over IPv6", f"{curl} {resolve('www.sluice.test', 443, f'[{self.v6}]')}"
        yield ("a client that knows RSA only gets the RSA half of the pair",
               f"tools/devroot sh -c 'openssl s_client -connect {self.v4}:443 -servername www.sluice.test -CAfile "
               f"{self.ca} -sigalgs RSA-PSS+SHA256 -verify_return_error -brief </dev/null 2>&1'")
        yield "a wildcard certificate", f"{curl} {resolve('shop.apps.sluice.test', 443)}"
        yield "TLS listener: decrypted here, bytes go on", f"{curl} {resolve('mail.sluice.test', 8443)}"
        yield "TCP listener: bytes pass as they are", f"{plain_curl} http://{self.v4}:8080/"
        for view, what in (("status", "the daemon, its workers, XDP"), ("listeners", "where clients connect"),
                           ("targets", "who serves them"), ("certs", "the certificates"),
                           ("drops", "what was thrown away, and why")):
            yield what, f"{ctl} {view}"
        yield "the kernel's view of the targets", f"{dump}/backends"
        yield "what the packet plane counted", f"{dump}/counters"
        file, again = self.folder / "sluice.yaml", resolve("www.sluice.test", 443)
        yield "replace sluiced by another process: no connection is lost", f"{ctl} upgrade"
        yield ("deny this host: its packets are dropped in XDP, and counted",
               f"sed -i '/^deny:/s/]/, {self.client_v4}]/' {file} && {ctl} reload; {curl} -m 2 {again}; {ctl} drops")
        yield ("let it in again",
               f"sed -i '/^deny:/s/, [0-9.]*]/]/' {file} && {ctl} reload && {curl} {again}")
        yield ("end a target and see it leave", f"kill {self.targets['gamma'].pid} && sleep {2 * SLOW:g} && {ctl} targets")
        yield "the others serve on", f"{curl} {resolve('www.sluice.test', 443)}"

    def summary(self):
        lines = ["", f"sluice is running: clients here, sluiced in namespace {self.lb}, three targets in "
                 f"{self.targets_ns}.", f"  https {self.v4}:443   tls {self.v4}:8443   tcp {self.v4}:8080"
                 + (f"   (IPv6: {self.v6})" if self.has_v6 else ""),
                 f"  configuration and certificates: {self.folder}", "",
                 f"Try these in another terminal, in {netns.TOP}:"]
        for what, command in self.commands():
            lines += [f"  # {what}", f"  $ {command}"]
        return "\n".join(lines + ["", "Ctrl-C ends it and removes everything. The log of sluiced:"])

    def run(self):
        """Until sluiced ends, or the make that started all this has been killed."""
        makes = outside.makes()
        print(self.summary(), flush=True)
        self.log.open()
        while all(map(outside.lives, makes)):
            try:
                status = self.sluiced.wait(timeout=1)
            except subprocess.TimeoutExpired:
                continue
            if not self._follow():
                raise Failure(f"sluiced ended by itself with {status}")

    def _follow(self):
        """Whether another one has taken over from the one that ended."""
        try:
            pid = self.api("/v1/status")["pid"]
        except (OSError, http.client.HTTPException):
            return False
        self.sluiced = Successor(pid)
        return True

    # --- down

    def down(self):
        """Ends and removes everything; says what did not go as it should."""
        complaint = self._stop_sluiced()
        for process in self.targets.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        complaint = complaint or self._left_pins()
        self.remove()
        return complaint

    def _stop_sluiced(self):
        if self.sluiced is None:
            return None
        complaint = self._end_sluiced()
        if self._follow():  # it was not the last one
            complaint = self._end_sluiced() or complaint
        self.log.thread.join(timeout=2)
        return complaint

    def _end_sluiced(self):
        if self.sluiced.poll() is None:
            self.sluiced.send_signal(signal.SIGCONT)
            self.sluiced.terminate()
            try:
                self.sluiced.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self.sluiced.kill()
                self.sluiced.wait()
                return f"sluiced did not end within {STOP_S:g} s and was killed"
        return f"sluiced ended with {self.sluiced.returncode}" if self.sluiced.returncode else None

    def _left_pins(self):
        left = [str(path) for path in self.pins.rglob("*") if not path.is_dir()] if self.pins.exists() else []
        return f"sluiced left pins behind: {' '.join(left)}" if left else None

    def remove(self):
        for name in (self.lb, self.targets_ns):
            for pid in netns.processes_in(name):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        # The device first: a namespace goes some time after its name does.
        netns.run(["ip", "link", "del", self.name], check=False)
        for name in (self.lb, self.targets_ns):
            netns.run(["ip", "netns", "del", name], check=False)
        shutil.rmtree(self.pins, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
