"""`make run` as a newcomer meets it: every command it prints works when pasted into a shell outside
the devroot, and nothing stays behind however it ends."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import netns
import outside
from sluiced import BUILD, IS_SANITIZED
from wire import patience, until

NAME = os.environ.get("SLUICE_TEST_PREFIX", f"slt{os.getpid()}") + os.environ.get("PYTEST_XDIST_WORKER", "")[-1:] + "d"
FOLDER, PINS = Path("/run/sluice") / NAME, Path("/sys/fs/bpf") / NAME
# The tests live in a client namespace; the demo belongs to the host's.
HOST = ["nsenter", f"--net=/proc/{os.getppid()}/ns/net"]
COMMAND = [sys.executable, str(netns.TOP / "tools/run"), "--name", NAME]
# As typed: outside the devroot, in the checkout.
SAN = BUILD.name.removeprefix("san-").replace("-", ",") if IS_SANITIZED else ""
MAKE = outside.shell(f"exec make run NAME={NAME} BUILD={os.path.relpath(BUILD, netns.TOP)} SAN={SAN}", netns.TOP)
EXPECTED = [
    # what a command contains, what it must print
    ("curl.* drops", r"deny_v4 +[1-9]"),
    ("curl", r"hello from target (alpha|beta|gamma)\n"),
    ("openssl s_client", r"(?i)CONNECTION ESTABLISHED(.|\n)*Signature type: rsa"),
    ("kill ", r"(?m)gamma.*unhealthy|unhealthy.*gamma"),
    ("sluicectl.* status", r"client0.*native|native.*client0"),
    ("sluicectl.* listeners", r"443"),
    ("sluicectl.* targets", r"alpha(.|\n)*healthy"),
    ("sluicectl.* certs", r"\*\.apps\.sluice\.test"),
    ("sluicectl.* drops", r""),
    ("sluicectl.* upgrade", r"serves(.|\n)*the one before"),
    ("maps/backends", r'BACKEND_HEALTHY'),
    ("maps/counters", r'"?syn_cookie"?: *[1-9]'),
]


MARK = f"SLUICE_DEMO_TEST={NAME}\0".encode()


class Run:
    """A running demo whose summary has been read."""

    def __init__(self, folder, command=None):
        self.files = [folder / f"{stream}-{time.monotonic_ns()}" for stream in ("out", "err")]
        out, err = [path.open("w") for path in self.files]
        with out, err:
            self.process = subprocess.Popen(HOST + (command or COMMAND), stdout=out, stderr=err, cwd=netns.TOP,
                                            start_new_session=True, preexec_fn=netns.die_with_parent,
                                            env=os.environ | {"SLUICE_DEMO_TEST": NAME})

    @property
    def out(self):
        return self.files[0].read_text()

    @property
    def err(self):
        return self.files[1].read_text()

    def wait_ready(self):
        def is_ready():
            assert self.process.poll() is None, self.out + self.err
            return "Ctrl-C ends it" in self.out
        # `make` may have something to build first.
        until(is_ready, "the demo has printed its commands", 120)
        return self

    def commands(self):
        return [line[4:] for line in self.out.splitlines() if line.startswith("  $ ")]

    def wait_end(self):
        return self.process.wait(timeout=patience(40))


def left():
    """What carries the demo's name."""
    found = [f"namespace {name}" for name in netns.named(NAME)]
    found += [str(path) for path in (FOLDER, PINS) if path.exists()]
    links = netns.run(HOST + ["ip", "-o", "link", "show"])
    found += [f"interface {NAME}"] if f" {NAME}@" in links else []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if str(FOLDER / "sluice.yaml") in words or (path / "environ").read_bytes().find(MARK) >= 0:
                found.append(f"process {path.name}: {' '.join(words)}")
        except OSError:
            continue
    return found


@pytest.fixture
def demo(tmp_path):
    running = []

    def start(command=None):
        running.append(Run(tmp_path, command))
        return running[-1]
    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.terminate()
            try:
                one.process.wait(timeout=patience(40))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


def paste(command):
    return subprocess.run(HOST + outside.shell(command, netns.TOP), capture_output=True, text=True, timeout=patience(60),
                          stdin=subprocess.DEVNULL)


def test_every_command_works(demo):
    one = demo(MAKE).wait_ready()
    commands = one.commands()
    assert len(commands) >= 16
    for command in commands:
        done = paste(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        expected = next(pattern for word, pattern in EXPECTED if re.search(word, command))
        assert re.search(expected, done.stdout), f"{command}\n{done.stdout}{done.stderr}"
    os.killpg(one.process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
    one.wait_end()
    assert "everything is removed again" in one.out, one.out + one.err
    until(lambda: not left(), f"nothing is left: {left()}", 5)


def test_ended_by_sigterm_and_started_twice(demo):
    one = demo().wait_ready()
    second = demo()
    assert second.process.wait(timeout=patience(30)) != 0
    assert "running already" in second.err and NAME in second.err, second.err
    assert "hello from target" in paste(one.commands()[0]).stdout, "the first one is unharmed"
    one.process.terminate()
    assert one.wait_end() == 0, one.out + one.err
    until(lambda: not left(), f"nothing is left: {left()}", 5)


@pytest.mark.parametrize("command", [MAKE, ["sh", "-c", '"$@" & wait', "sh", *COMMAND]], ids=["make", "shell"])
def test_parent_dies(demo, command):
    """What started it, make or a shell, is killed."""
    one = demo(command).wait_ready()
    one.process.kill()
    one.process.wait()
    until(lambda: not left(), "nothing is left", 40, pause=0.2)


def test_killed_demo_is_cleaned_up_by_the_next(demo):
    one = demo().wait_ready()
    pid = one.process.pid
    os.kill(pid, signal.SIGKILL)
    one.process.wait()
    assert left(), "a killed demo cannot clean up"
    second = demo().wait_ready()
    assert "hello from target" in paste(second.commands()[0]).stdout
    second.process.send_signal(signal.SIGINT)
    assert second.wait_end() == 0, second.out + second.err
    until(lambda: not left(), f"nothing is left: {left()}", 5)


def test_config_that_is_wrong(tmp_path):
    """--config says what is wrong with the file and starts nothing."""
    path = tmp_path / "mine.yaml"
    path.write_text("listeners: 3\n")
    done = subprocess.run(HOST + COMMAND[:2] + ["--config", path], capture_output=True, text=True, timeout=patience(30))
    assert done.returncode != 0 and f"{path}:1:" in done.stdout + done.stderr
    done = subprocess.run(HOST + COMMAND[:2] + ["--config", tmp_path / "none.yaml"], capture_output=True, text=True,
                          timeout=patience(30))
    assert done.returncode != 0 and "none.yaml" in done.stderr
