"""Many clients that send or read as slowly as they can (slowhttptest; over HTTP/2 slow_h2.py), while others do
their work: those others get nearly as much done as without them, measured by the time that the daemon takes for
them."""
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import netns
from counts import count
from load import Load
from sluiced import stopwatch
from standard import NO_CHECK, group, listener
from wire import until

pytestmark = [pytest.mark.alone,  # it measures
              pytest.mark.skipif(not shutil.which("slowhttptest"), reason="slowhttptest is not installed")]
SLOW_H2 = Path(__file__).resolve().parent / "slow_h2.py"
WORKERS = 16  # connections of those who work
WAYS = {
    # name: what slowhttptest is told beside how many, and which path it asks for
    "headers": (["-H", "-i", "5", "-x", "24"], "/"),
    "body": (["-B", "-i", "5", "-s", "8192", "-x", "10"], "/echo"),
    "read": (["-X", "-n", "5", "-w", "10", "-y", "20", "-z", "8"], "/bytes/1000000"),
}


def config(net):
    """Heads may take long: else those who are slow with them are gone before the last ones come."""
    return {"target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
            "listeners": [listener("plain", "http", 80, "web"), listener("other", "http", 81, "web", timeouts={"header": "120s"})]}


def cpu_ns(one):
    """Of all threads; /proc/PID/stat counts in hundredths of a second."""
    tasks = Path(f"/proc/{one.process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def open_now(one, name):
    return next(row["open"] for row in one.api("/v1/listeners")["listeners"] if row["name"] == name)


def share(one, seconds=1):
    """Of the time of its workers, what it takes now."""
    cpu, watch = cpu_ns(one), stopwatch()
    until(lambda: watch() >= seconds, "the time passes", seconds + 10)
    return (cpu_ns(one) - cpu) / 1e9 / watch() / len(one.api("/v1/status")["workers"])


def attack(net, version, way, number):
    words, path = WAYS[way]
    command = ["slowhttptest", *words, "-c", str(number), "-r", str(number), "-l", "120", "-v", "0",
               "-p", "60", "-u", f"http://{net.v4}:81{path}"]
    if version == "2":
        command = [sys.executable, str(SLOW_H2), net.v4, "81", way, str(number)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, preexec_fn=netns.die_with_parent)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_slow_clients(net, launch, capsys, version):
    """A third of them by each way: they leave 95 per cent of its time to others, whom nothing happens to
    meanwhile."""
    one = launch(config(net))
    number = count("slow_clients")
    with Load((net.v4, 80), WORKERS, 20) as load:
        slow = [attack(net, version, way, number // len(WAYS)) for way in WAYS]
        try:
            until(lambda: open_now(one, "other") >= number * 0.95, "they are all there", 60)
            ok = load.ok
            until(lambda: load.ok > ok + 20 * WORKERS, "others are served", 20)
            slowest_s = load.slowest_s
            load.stop()
            until(lambda: share(one) <= 0.05, "all that came with them is over", 20)
            taken = share(one, 6)  # each says something every five seconds
            still = open_now(one, "other")
        finally:
            for process in slow:
                process.kill()
                process.wait()
    with capsys.disabled():
        print(f"\n{still} slow clients of HTTP/{version}: {taken:.2%} of the workers' time; slowest request beside them "
              f"{slowest_s * 1000:.0f} ms")
    assert load.failures == []
    assert taken <= 0.05, "they leave the time to others"
    assert still >= number * 0.8, "they are there while it is measured"
    until(lambda: open_now(one, "other") == 0, "they are gone", 20)
