"""The daemon is killed, hung, stopped, started twice: what clients and the host's other traffic see."""
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import netns
from counts import count
from sluiced import BUILD, IS_SANITIZED, Sluiced, stopwatch
from standard import NO_CHECK, group, listener
from threads import stop_thread
from wire import SLOW, Connection, TlsConnection, patience, until


def config(net):
    return {"certificates": net.certificates("default"),
            "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"]),
                          listener("plain", "http", 80, "web")]}


def serves(net):
    try:
        with TlsConnection((net.v4, 443), timeout=2) as client:
            return client.request().status == 200
    except (OSError, EOFError):
        return False


def map_ids(one):
    """{name: id} of the pinned maps."""
    ids = {}
    for path in (one.pins / "maps").iterdir():
        done = subprocess.run(["bpftool", "-j", "map", "show", "pinned", path], capture_output=True,
                              text=True, check=True, timeout=20)
        ids[path.name] = json.loads(done.stdout)["id"]
    return ids


def link_ids(one):
    ids = {}
    for path in filter(Path.is_file, (one.pins / "links").rglob("*")):
        # bpftool prints an XDP link and ends with 255 all the same.
        done = subprocess.run(["bpftool", "-j", "link", "show", "pinned", path], capture_output=True,
                              text=True, check=False, timeout=20)
        ids[path.name] = json.loads(done.stdout)["id"]
    return ids


class OtherTraffic:
    """What crosses the load balancer's XDP program without being any of sluiced's business: ping,
    and a TCP connection to another port that exchanges bytes."""

    def __init__(self, net):
        self.net = net
        self.errors, self.exchanges = [], 0
        self._stop = threading.Event()

    def __enter__(self):
        self.ping = subprocess.Popen(["ping", "-n", "-i", "0.02", self.net.v4], stdout=subprocess.PIPE,
                                     text=True, preexec_fn=netns.die_with_parent)
        self.connection = Connection((self.net.targets[0].v4, 9000))
        self.connection.send(b"echo\n")
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        return self

    def _run(self):
        while not self._stop.wait(0.01):
            try:
                self.connection.send(b"ping")
                self.connection.take(4)
                self.exchanges += 1
            except (OSError, EOFError) as error:
                self.errors.append(repr(error))
                return

    def __exit__(self, *_):
        self._stop.set()
        self.thread.join(timeout=20)
        self.connection.close()
        self.ping.send_signal(signal.SIGINT)
        said = self.ping.communicate(timeout=10)[0]
        self.sent, self.received = [int(said.split(word)[0].split()[-1])
                                    for word in (" packets transmitted", " received")]


def is_refused(net):
    try:
        Connection((net.v4, 443), timeout=1).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.alone  # it is about seconds
def test_killed_and_restarted(net, launch):
    """kill -9: other traffic goes on without a lost packet, the XDP link and the maps stay, clients
    are refused once the heartbeats are stale (until then SYNs are answered with cookies), and TLS is
    served soon after the restart (within a second on a machine that does nothing else), with the same pins."""
    one = launch(config(net))
    until(lambda: serves(net), "it serves")
    maps, links = map_ids(one), link_ids(one)
    assert maps and links
    with OtherTraffic(net) as other:
        for _ in range(count("kills")):
            before = other.exchanges
            one.kill9()
            assert link_ids(one) == links, "the program stays attached"
            until(lambda: is_refused(net), "clients are refused", 2)
            until(lambda: other.exchanges > before + 20, "the other connection goes on")
            watch = stopwatch()
            one.spawn()
            until(lambda: serves(net), "TLS is served again", 10)
            seconds = watch()
            print(f"served {seconds:.2f} s after the restart")
            assert seconds <= count("restart_seconds")
            until(one.is_ready, "ready")
            assert (map_ids(one), link_ids(one)) == (maps, links), "pins are adopted"
    assert other.errors == []
    assert other.sent - other.received <= 1, f"{other.sent} sent, {other.received} received"


def test_hung(net, launch):
    """SIGSTOP: within two seconds clients are refused instead of hanging; other traffic goes on;
    after SIGCONT it serves again, also those who waited."""
    one = launch(config(net))
    until(lambda: serves(net), "it serves")
    with OtherTraffic(net) as other:
        one.signal(signal.SIGSTOP)
        watch = stopwatch()

        def is_refused():
            try:
                Connection((net.v4, 443), timeout=1).close()
            except ConnectionRefusedError:
                return True
            return False
        until(is_refused, "clients are refused", 5)
        assert watch() <= 2.5
        for address in (net.v4, net.v6):
            for port in (443, 80):
                watch = stopwatch()
                with pytest.raises(ConnectionRefusedError):
                    Connection((address, port), timeout=5)
                assert watch() < 0.5, "a refusal is immediate"
        before = other.exchanges
        until(lambda: other.exchanges > before + 20, "the other connection goes on")
        assert one.counter("workers_stale_rst") >= 4
        one.signal(signal.SIGCONT)
        until(lambda: serves(net), "it serves again", 5)
    assert other.errors == [] and other.sent - other.received <= 1


def test_hung_daemon_keeps_connections(net, launch):
    """A connection that is open when the daemon hangs goes on after it."""
    one = launch(config(net))
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        one.signal(signal.SIGSTOP)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.recv()
        one.signal(signal.SIGCONT)
        client.sock.settimeout(10)
        assert client.response().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_orderly_stop(net, launch, number):
    """Nothing stays: no pins, no socket, no program on the interface."""
    one = launch(config(net))
    until(lambda: serves(net), "it serves")
    assert "xdp" in netns.run(netns.inside(net.lb, "ip", "link", "show", net.device))
    one.signal(number)
    assert one.process.wait(timeout=15) == 0, one.log()[-3000:]
    assert not one.socket.exists()
    assert not one.pins.exists() or list(one.pins.rglob("*")) == []
    link = netns.run(netns.inside(net.lb, "ip", "link", "show", net.device))
    assert "xdp" not in link, link


def fill(pipe):
    """Until nothing more can be written to it without waiting."""
    again = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(again, b"x" * 4096)
    os.close(again)


def test_log_that_nobody_takes(net, targets):
    """Standard error is a pipe whose reader has stopped: lines are lost, and nothing else."""
    net.halt()
    reader, writer = os.pipe()
    one = net.current = Sluiced(net, config(net))
    one.spawn(writer)
    until(one.is_ready, "it is ready")
    fill(writer)
    for _ in range(4):  # each with a line in the log
        one.ctl("reload")
    assert one.generation() == 5
    assert serves(net)
    watch = stopwatch()
    net.halt()  # asserts that it ended as it should
    assert watch() < patience(8)
    os.close(reader)
    os.close(writer)


def test_orderly_stop_finishes_requests(net, launch):
    """A request that is being answered when SIGTERM comes is not cut without need."""
    one = launch(config(net))
    with TlsConnection((net.v4, 443)) as client:
        client.send(b"GET /slow/500 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: any(t.stats()["paths"].get("slow") for t in net.targets), "a target has it")
        one.signal(signal.SIGTERM)
        answer = client.response()
        assert answer.status == 200
    assert one.process.wait(timeout=15) == 0


def test_second_instance_is_refused(net, launch):
    """It says whose place is taken, ends with a failure, and does the first one no harm."""
    one = launch(config(net))
    until(lambda: serves(net), "it serves")
    command = netns.inside(net.lb, BUILD / "sluiced", "--config", one.file)
    done = subprocess.run([str(w) for w in command], capture_output=True, text=True, timeout=20)
    assert done.returncode != 0
    assert str(one.process.pid) in done.stderr or str(one.socket) in done.stderr \
        or str(one.pins) in done.stderr, done.stderr
    assert serves(net) and one.api("/v1/status")["pid"] == one.process.pid
    assert link_ids(one)


def test_port_taken(net):
    """A port that somebody else has: said by address, exit, nothing left."""
    with netns.entered(net.lb):
        taken = socket.create_server(("0.0.0.0", 443))
    try:
        net.halt()
        one = Sluiced(net, config(net), "taken").spawn()
        assert one.process.wait(timeout=20) != 0
        assert ":443" in one.log(), one.log()
        assert not one.socket.exists()
        assert not one.pins.exists() or list(one.pins.rglob("*")) == []
    finally:
        taken.close()
        net.unpin()


def test_foreign_program_is_not_replaced(net):
    """Another XDP program on the interface is left alone, and the error says so."""
    net.halt()
    netns.xdp_pass(net.lb, net.device)
    try:
        one = Sluiced(net, config(net), "foreign").spawn()
        until(lambda: one.process.poll() is not None or net.device in one.log(), "it says something", 20)
        link = netns.run(netns.inside(net.lb, "ip", "link", "show", net.device))
        assert "xdp" in link
        assert one.process.wait(timeout=20) != 0 and net.device in one.log(), one.log()
    finally:
        one.discard()
        net.unpin()
        netns.run(netns.inside(net.lb, "ip", "link", "set", "dev", net.device, "xdpdrv", "off"), check=False)


def test_interface_missing(net):
    """An interface that does not exist: an error that names it, or a report that it is missing."""
    net.halt()
    settings = config(net) | {"xdp": {"mode": "native", "interfaces": ["none0"], "pin_dir": str(net.pins)}}
    one = Sluiced(net, settings, "missing").spawn()
    try:
        until(lambda: one.process.poll() is not None or "none0" in one.log(), "it says something", 20)
        assert "none0" in one.log()
    finally:
        one.discard()
        net.unpin()


def gated(one):
    """The program is attached, and the gate has its sockets."""
    status = one.api("/v1/status")
    return status["xdp"]["interfaces"][0]["mode"] == "native" and status["gate"]["active"] \
        and status["gate"]["sockets"] > 0


def test_interface_down_and_up(net, launch):
    """Connections that were open go on when it is up again, new ones are served at once."""
    one = launch(config(net))
    until(lambda: serves(net) and gated(one), "it serves")
    links = link_ids(one)
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        netns.ip(net.lb, f"link set {net.device} down")
        assert not serves(net)
        netns.ip(net.lb, f"link set {net.device} up", f"addr replace {net.v6}/48 dev {net.device} nodad",
                 "route replace 198.19.0.0/16 via 198.18.1.1", "route replace fd51:9::/32 via fd51:1::1")
        watch = stopwatch()
        until(lambda: serves(net), "it serves again", 10)
        assert watch() <= patience(3)
        assert client.request().status == 200
    assert link_ids(one) == links and gated(one)


@pytest.mark.alone  # it is about seconds
def test_interface_deleted_and_made_again(net, launch):
    """By the same name: the program is attached to the new one within two seconds, and whoever comes
    has gone through the gate."""
    one = launch(config(net))
    until(lambda: serves(net) and gated(one), "it serves")
    net.unwire_clients()
    until(lambda: one.api("/v1/status")["xdp"]["interfaces"][0]["mode"] == "none", "it is noticed")
    assert one.api("/v1/ready")["state"] == "ready", "others may come in by other interfaces"
    net.wire_clients()
    watch = stopwatch()
    until(lambda: gated(one), "it is attached again", 10)
    seconds = watch()
    print(f"attached {seconds:.2f} s after the interface was made")
    assert seconds <= (2 if SLOW == 1 and not IS_SANITIZED else patience(4))
    until(lambda: serves(net), "it serves again", 5)
    assert "xdp" in netns.run(netns.inside(net.lb, "ip", "link", "show", net.device))
    until(lambda: "the XDP program was detached" in one.log(), "the log says so")


def test_state_that_cannot_be_written(net, launch):
    """The state directory and the index are on a file system that is read-only, then full: it starts,
    serves, reloads; a change through the API is refused, and nothing of it stays. With room again
    changes are kept."""
    state = net.folder / "tiny"
    state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", state], check=True)
    settings = config(net) | {"state_dir": str(state / "state"), "certificates_index": str(state / "idx"),
                              "alerts": {"expiry": ["3650d"]}}
    (state / "state").mkdir(mode=0o700)
    pair = {"certificate": net.certs["www"][0].read_text(), "key": net.certs["www"][1].read_text()}

    def remount(how):
        subprocess.run(["mount", "-o", f"remount,{how}", state], check=True)

    def is_there():
        return "put" in [o["name"] for o in one.api("/v1/objects")["objects"]]
    try:
        remount("ro")
        one = launch(settings)
        until(lambda: serves(net), "it serves")
        for fill_it in (False, True):
            if fill_it:
                remount("rw")
                with contextlib.suppress(OSError), (state / "ballast").open("wb", buffering=0) as ballast:
                    while True:
                        ballast.write(bytes(4096))
            one.ctl("reload")
            status, answer, _ = one.ask("PUT", "/v1/certificates/put", pair)
            assert (status, answer["error"]["code"]) == (507, "not_kept"), (status, answer)
            assert not is_there() and serves(net)
        (state / "ballast").unlink()
        one.change("PUT", "/v1/certificates/put", pair)
        one.kill9()
        one.start()
        assert is_there() and serves(net), "it was kept"
    finally:
        net.halt()
        subprocess.run(["umount", "-l", state], check=True)
        state.rmdir()


def test_crash(net, launch):
    """It says who did what, ends by that signal, and the next one serves."""
    one = launch(config(net))
    until(lambda: serves(net), "it serves")
    one.signal(signal.SIGABRT)
    assert one.process.wait(timeout=patience(15)) == -signal.SIGABRT
    until(lambda: f"crashed: SIGABRT sent by process {os.getpid()} in thread sluiced, " in one.log(),
          "it is reported")
    assert "sluiced(+0x" in one.log().split("stack (")[1]
    one.spawn()
    until(lambda: serves(net), "it serves again")


def test_crash_of_a_worker(net, launch):
    """The report is written by the thread that has lost the most rights, and names it."""
    one = launch(config(net) | {"workers": 2})
    until(lambda: serves(net), "it serves")
    number = signal.SIGABRT if IS_SANITIZED else signal.SIGSEGV
    worker = next(int(task.name) for task in Path(f"/proc/{one.process.pid}/task").iterdir()
                  if (task / "comm").read_text() == "sluice-w1\n")
    assert ctypes.CDLL(None).tgkill(one.process.pid, worker, number) == 0
    assert one.process.wait(timeout=patience(15)) == -number
    until(lambda: f"crashed: {number.name} sent by process {os.getpid()} in thread sluice-w1, " in one.log(),
          "it is reported")
    assert "sluiced(+0x" in one.log().split("stack (")[1]
    one.spawn()
    until(lambda: serves(net), "it serves again")


def test_worker_that_stays_stuck(net, launch):
    """The process ends when `watchdog` is over, though the kernel holds the thread."""
    one = launch(config(net) | {"watchdog": "4s", "workers": 2})
    _, has_ended = stop_thread(one, "sluice-w1")
    has_ended()
    assert one.process.wait(timeout=patience(5)) == -signal.SIGABRT
    until(lambda: "crashed: SIGABRT in thread sluiced, " in one.log(), "it is reported")
    assert "a worker has taken no turn for longer than watchdog allows" in one.log()
    assert "worker 1 has taken no turn for" in one.log()
    one.spawn()
    until(lambda: serves(net), "it serves again")


NOBODY = 65534


def test_no_core_dumps():
    """Keys are in its memory. What is in /proc/PID of a process that leaves no core dumps belongs to
    root, whoever runs it, and with that the right to look in."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program, fifo = Path(folder, "sluiced"), Path(folder, "fifo")
        shutil.copy(BUILD / "sluiced", program)
        os.mkfifo(fifo)
        fifo.chmod(0o666)
        held = os.open(fifo, os.O_RDWR)  # it reads on until this is closed
        checking = subprocess.Popen([program, "--check", fifo], user=NOBODY, group=NOBODY,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        proc = Path(f"/proc/{checking.pid}")
        try:
            until(lambda: f"\nUid:\t{NOBODY}\t" in (proc / "status").read_text()
                  and (proc / "environ").stat().st_uid == 0, "it is hidden", 5)
        finally:
            os.close(held)
            checking.kill()
            checking.wait(patience(10))
