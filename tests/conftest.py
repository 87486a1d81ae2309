"""Fixtures of the tests that send traffic, on the host and in the VM (tests/net, tests/vm): one network
for the session, one shared sluiced that is restarted when a test ended it, `launch` for tests that
need one of their own. Every test has a deadline."""
import os
import resource
import signal
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "tests/net"), str(TOP / "tools/demo")]

import gated  # noqa: E402 (needs the path above)
import ktls  # noqa: E402
import net as network  # noqa: E402
import standard  # noqa: E402
from counts import COLUMN  # noqa: E402
from rawtcp import Link  # noqa: E402

TEST_SECONDS = (150, 1800, 600)[COLUMN]

# What this process makes is called after the run and, where several share it, after its part.
PREFIX = (os.environ.get("SLUICE_TEST_PREFIX", f"slt{os.getpid()}") +
          os.environ.get("PYTEST_XDIST_WORKER", "").replace("gw", "w"))


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: needs the machine for itself; nothing else runs beside it")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # SIGTERM ends the session the way Ctrl-C does, so that fixtures clean up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        instance = NETS and NETS[0].current
        if instance:
            lines = instance.log()[instance.log_mark:].splitlines()[-60:]
            report.sections.append(("sluiced's log since the test began", "\n".join(lines)))
    return report


def pytest_runtest_logreport(report):
    """In the VM failures are shown as they happen: its time is limited."""
    if report.failed and "SLUICE_VM" in os.environ:
        print(f"\n--- {report.nodeid} ({report.when})\n{report.longreprtext[-6000:]}", flush=True)
        for title, text in report.sections[-1:]:
            print(f"--- {title}\n{text[-3000:]}", flush=True)


NETS = []


@pytest.fixture(scope="session")
def net():
    network.remove_stale()
    one = network.Net(PREFIX)
    NETS.append(one)
    try:
        yield one.up()
        one.halt()
    finally:
        one.down()


@pytest.fixture
def targets(net):
    """The three targets, running, healthy and with their counts at zero."""
    return net.heal()


def shared(net, role, make, groups):
    """One sluiced for all tests of a role: a test that ends it fails."""
    if net.current is None or net.current.role != role:
        instance = net.launch(make(net), role)
        instance.role = role
        for name, states in groups.items():
            instance.wait_states(name, states)
    net.current.log_mark = len(net.current.log())
    yield net.current
    instance = net.current
    if instance and not instance.is_alive():
        status, instance.process = instance.process.returncode, None
        log = instance.log()
        net.current = None
        net.unpin()
        pytest.fail(f"sluiced died with {status} during the test:\n{log[-8000:]}")


@pytest.fixture
def std(net, targets):
    """The shared sluiced."""
    yield from shared(net, "standard", standard.config, {name: ["healthy"] * 3 for name in ("web", "web-tls")})


@pytest.fixture
def gate(net, targets):
    """A shared sluiced whose listeners are gated, each in a way of its own (gated.py)."""
    yield from shared(net, "gated", gated.config, {})


@pytest.fixture
def ktls_daemon(net, targets):
    """A shared sluiced with listeners for each setting of ktls (ktls.py)."""
    yield from shared(net, "ktls", ktls.config, {})


@pytest.fixture
def link(net):
    """For TCP clients made by hand: link.client(address, port, ...)."""
    one = Link(net)
    yield one
    one.close()


@pytest.fixture
def launch(net, targets):
    """launch(config): a sluiced of one's own, stopped in order after the test."""
    yield net.launch
    net.halt()


@pytest.fixture(params=["v4", "v6"])
def address(request, net):
    """The load balancer's address, IPv4 and IPv6."""
    return getattr(net, request.param)
