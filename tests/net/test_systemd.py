"""The Debian package on a machine whose first process is systemd: the unit as it is shipped, through a day of its
life."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from counts import count
from load import Load
from machine import Machine
from netns import TOP
from sluiced import BUILD, IS_SANITIZED
from standard import NO_CHECK, group, listener
from test_deploy import SIX
from wire import Connection, TlsConnection, client_context, patience, until

UNIT = "sluice.service"
CAPABILITY_BITS = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "NET_RAW": 13, "IPC_LOCK": 14, "PERFMON": 38, "BPF": 39}
# The leak sanitizer attaches to threads, which the sandbox does not let it.
DROP_IN = f"[Service]\nWatchdogSec={patience(2):.0f}s\n" + "Environment=ASAN_OPTIONS=detect_leaks=0\n" * IS_SANITIZED


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    env = os.environ | {"BUILD": str(BUILD.relative_to(TOP)), "OUT": str(tmp_path_factory.mktemp("deb")), "VERSION": "1.0",
                        "COMPRESS": "none"}
    done = subprocess.run([TOP / "tools/deb"], env=env, capture_output=True, text=True, timeout=patience(60))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def configuration(net, certificate="www", **settings):
    return yaml.safe_dump({
        "xdp": {"interfaces": [net.device], "mode": "native"}, "shutdown": {"grace": "0s", "timeout": "5s"},
        "certificates": [{"name": name, "cert": f"/etc/sluice/tls/{name}.pem", "key": f"/etc/sluice/tls/{name}.key"}
                         for name in ("www", "default")],
        "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
        "listeners": [listener("web", "https", 443, "web", certificates=[certificate])]} | settings)


@pytest.fixture
def machine(net, targets, package, tmp_path):
    """With the package installed and configured; nothing of it has been started."""
    net.halt()
    files = tmp_path / "files"
    drop_in = files / "etc/systemd/system/sluice.service.d/test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(DROP_IN)
    shutil.copy(package, files / "sluice.deb")
    one = Machine(tmp_path, files, net.lb)
    try:
        until(one.is_up, "systemd is up", 60)
        one.run("dpkg", "-i", "/sluice.deb")
        one.run("install", "-d", "-m", "750", "-g", "sluice", "/etc/sluice/tls")
        for name in ("www", "default"):
            for path, kind in zip(net.certs[name], ("pem", "key")):
                put(one, f"/etc/sluice/tls/{name}.{kind}", path.read_text())
        put(one, "/etc/sluice/sluice.yaml", configuration(net))
        yield one
    finally:
        one.stop()


def put(machine, path, text):
    """As an administrator does: of root, readable for the group."""
    there = f"/proc/{(machine.folder / 'pid').read_text()}/root"
    with open(there + path, "w", encoding="utf-8") as file:
        file.write(text)
    machine.run("chmod", "640", path)
    machine.run("chgrp", "sluice", path)


def served_name(net):
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        return str(client.tls.getpeercert()["subject"]) + str(client.tls.getpeercert()["subjectAltName"])


def serves(net):
    try:
        return "www" in served_name(net)
    except OSError:
        return False


def status_of(machine):
    return json.loads(machine.run("sluicectl", "-o", "json", "status")[1])


def main_pid(machine):
    return machine.show(UNIT, "MainPID")


def test_the_unit_as_it_is_shipped(net, machine):
    """Started by the package's unit, it has all it needs in its sandbox, and nothing more."""
    machine.run("systemctl", "enable", "--now", "sluice", timeout=patience(30))
    assert machine.show(UNIT, "ActiveState", "SubState", "NRestarts") == ["active", "running", "0"]
    assert machine.show(UNIT, "StatusText") == "serving"
    assert serves(net)
    status = status_of(machine)
    assert status["xdp"]["interfaces"][0]["mode"] == "native", status["xdp"]
    assert status["handover"]["mode"] == "own_cookies" and status["gate"]["active"], status
    said = [line for line in machine.log(UNIT).splitlines() if re.search(" (warn|error) ", line)]
    assert len(said) == IS_SANITIZED, said  # of the filter of calls, which such a build has not
    facts = dict(line.split(":\t", 1) for line in machine.run("cat", f"/proc/{main_pid(machine)}/status")[1].splitlines()
                 if ":\t" in line)
    allowed = sum(1 << CAPABILITY_BITS[name] for name in SIX)
    assert int(facts["CapBnd"], 16) == allowed and not int(facts["CapEff"], 16) & ~allowed
    assert facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2"
    assert facts["Uid"].split()[0] == machine.run("id", "-u", "sluice")[1].strip() != "0"
    assert "listeners" in machine.run("ls", "/sys/fs/bpf/sluice/maps")[1].split()
    # It sees its own pins and no others, and changes nothing of the kernel's.
    machine.run("mkdir", "/sys/fs/bpf/other")
    there = machine.run("nsenter", "--target", main_pid(machine), "--mount", "--root", "ls", "/sys/fs/bpf")[1].split()
    assert there == ["sluice"], there
    inside = ("nsenter", "--target", main_pid(machine), "--mount", "--root", "sh", "-c")
    for path in ("/proc/sys/net/core/somaxconn", "/sys/class/net/lo/mtu", "/etc/sluice/sluice.yaml"):
        said = machine.run(*inside, f"echo 1 >>{path}", check=False)
        assert said[0] and "Read-only file system" in said[1], (path, said)
    assert machine.run(*inside, "touch /var/lib/sluice/x && rm /var/lib/sluice/x")[0] == 0


def test_a_day_of_its_life(net, machine):
    """Reloads, an upgrade of the package and of the process under load, a crash, a hang, the end."""
    machine.run("systemctl", "start", "sluice", timeout=patience(30))
    first = main_pid(machine)
    put(machine, "/etc/sluice/sluice.yaml", configuration(net, "default"))
    machine.run("systemctl", "reload", "sluice")
    assert "default" in served_name(net)
    put(machine, "/etc/sluice/sluice.yaml", configuration(net, colour="blue"))
    machine.run("systemctl", "reload", "sluice", check=False)
    until(lambda: "colour" in machine.log(UNIT), "the log says what is wrong")
    assert "default" in served_name(net) and machine.show(UNIT, "ActiveState") == "active"
    put(machine, "/etc/sluice/sluice.yaml", configuration(net))
    machine.run("systemctl", "reload", "sluice")
    assert serves(net)

    machine.run("dpkg", "-i", "/sluice.deb")
    assert main_pid(machine) == first and serves(net)
    with Load((net.v4, 443), 4, 20, client_context(verify=False), is_new_each=True) as load:
        until(lambda: load.ok > 10, "the load runs")
        machine.run("sluicectl", "upgrade", timeout=patience(30))
        until(lambda: main_pid(machine) not in (first, "0"), "systemd knows the process that took over")
        until(lambda: not os.path.exists(f"/proc/{(machine.folder / 'pid').read_text()}/root/proc/{first}"),
              "the one before has ended")
        done = load.ok
        until(lambda: load.ok > done + 20, "the load goes on")
    assert load.failures == []
    assert machine.show(UNIT, "ActiveState", "NRestarts") == ["active", "0"]
    second = main_pid(machine)
    put(machine, "/etc/sluice/sluice.yaml", configuration(net, "default"))
    machine.run("systemctl", "reload", "sluice")  # goes to the one that took over
    assert "default" in served_name(net)
    put(machine, "/etc/sluice/sluice.yaml", configuration(net))

    began = time.monotonic()
    machine.run("kill", "-KILL", second)
    until(lambda: serves(net), "it is back")
    assert time.monotonic() - began < count("restart_seconds")
    assert machine.show(UNIT, "ActiveState", "NRestarts") == ["active", "1"]
    assert "XDP taken over, native" in machine.log(UNIT)

    third = main_pid(machine)
    machine.run("kill", "-STOP", third)
    until(lambda: machine.show(UNIT, "NRestarts") == "2", "the watchdog has ended it", 30)
    until(lambda: serves(net), "it is back")
    assert "watchdog" in machine.log(UNIT).lower()

    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        machine.run("systemctl", "stop", "sluice", timeout=patience(30))
    assert machine.show(UNIT, "ActiveState", "Result") == ["inactive", "success"]
    with pytest.raises(OSError), Connection((net.v4, 443)):
        pass
    machine.run("dpkg", "-P", "sluice")
    assert "sluice" not in machine.run("ls", "/var/lib", "/sys/fs/bpf")[1].split()
