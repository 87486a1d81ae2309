"""Fixtures of the tests that run in the VM, on Debian's kernel (tools/vm/run): a client, a load
balancer with sluiced, and a wire between them. Every test has a deadline."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/net"), str(TOP / "tools/demo")]

import netns  # noqa: E402 (needs the path above)
from sluiced import Sluiced  # noqa: E402
from wire import until  # noqa: E402

TEST_SECONDS = 120


def pytest_configure(config):
    if "SLUICE_VM" not in os.environ:
        raise pytest.UsageError("these tests are for the VM: make test ONLY=vm")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    def late(*_):
        raise TimeoutError(f"{item.nodeid} took longer than {TEST_SECONDS} s")
    signal.signal(signal.SIGALRM, late)
    signal.alarm(TEST_SECONDS)
    try:
        return (yield)
    finally:
        signal.alarm(0)


class Wire:
    """Two namespaces with a veth pair "wire0"; a target on the load balancer's loopback. It is what
    Sluiced needs to know about its network."""

    device = "wire0"
    client_v4, v4 = "198.18.1.1", "198.18.1.2"

    def __init__(self, prefix):
        self.client, self.lb = f"{prefix}c", f"{prefix}l"
        self.folder = Path("/run/sluice") / prefix
        self.pins = Path("/sys/fs/bpf") / prefix
        self.target = self.current = None

    def up(self):
        self.folder.mkdir(mode=0o700)
        for name in (self.client, self.lb):
            netns.add(name)
        netns.ip(self.lb, f"link add {self.device} type veth peer name {self.device} netns {self.client}",
                 f"addr add {self.v4}/24 dev {self.device}", f"link set {self.device} up")
        netns.ip(self.client, f"addr add {self.client_v4}/24 dev {self.device}",
                 f"link set {self.device} up")
        netns.xdp_pass(self.client, self.device)
        self.target = subprocess.Popen(netns.inside(
            self.lb, sys.executable, str(TOP / "tools/demo/target.py"), "one", "127.0.0.1", "8080"))
        return self

    def config(self, **settings):
        return {"target_groups": [{"name": "web", "protocol": "http", "health_check": {"protocol": "off"},
                                   "targets": [{"name": "one", "address": "127.0.0.1:8080"}]}],
                "listeners": [{"name": "web", "protocol": "http", "address": ["0.0.0.0:80", "[::]:80"],
                               "target_group": "web"}]} | settings

    def launch(self, config):
        self.current = Sluiced(self, config).start()
        until(lambda: self.get(self.v4)[1] == "200", "the target answers through sluiced", 20, 0.1)
        return self.current

    def get(self, address, *options, timeout=10):
        """curl's exit status and the status of the answer."""
        host = f"[{address}]" if ":" in address else address
        done = subprocess.run(netns.inside(
            self.client, "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
            "--max-time", str(timeout), *options, f"http://{host}/"), capture_output=True, text=True)
        return done.returncode, done.stdout

    def down(self):
        if self.current is not None:
            self.current.discard()
        if self.target is not None:
            self.target.kill()
            self.target.wait()
        netns.remove(self.client)
        netns.remove(self.lb)
        shutil.rmtree(self.pins, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def wire():
    one = Wire(os.environ["SLUICE_TEST_PREFIX"])
    try:
        yield one.up()
        if one.current is not None:
            one.current.stop()
            one.current = None
    finally:
        one.down()
