"""What the daemon may do: rights of its threads, and that it does its work with no others, as any user."""
import os
import shutil
from pathlib import Path

import pytest

import netns
from sluiced import BUILD, IS_SANITIZED, STOP_S, Foreign, Sluiced
from standard import NO_CHECK, group, listener
from wire import Connection, TlsConnection, until

CAPABILITIES = ("net_bind_service", "net_admin", "net_raw", "ipc_lock", "perfmon", "bpf")
NUMBERS = dict(zip(CAPABILITIES, (10, 12, 13, 14, 38, 39)))
USER = 64790  # nobody's


def mask(*names):
    return sum(1 << NUMBERS[name] for name in names)


def threads(one):
    """{name: {field of /proc/PID/status: text}} of each kind of thread."""
    found = {}
    for task in Path(f"/proc/{one.process.pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        found[fields["Name"].rstrip("0123456789")] = fields
    return found


def rights_of(one):
    """The rows of the status about what it may do: capabilities, calls of the kernel."""
    rows = {row["name"]: row for row in one.api("/v1/status")["capabilities"]}
    return rows["rights"], rows["system_calls"]


def test_threads_have_what_they_need(std):
    found = threads(std)
    for name, fields in found.items():
        kept = {"sluiced": mask(*CAPABILITIES), "sluice-watchdog": mask(*CAPABILITIES),
                "sluice-loader": mask("net_bind_service", "bpf")}.get(name, 0)
        for sort in ("CapPrm", "CapEff"):
            assert int(fields[sort], 16) == kept, (name, sort, fields[sort])
        assert int(fields["CapBnd"], 16) & ~mask(*CAPABILITIES) & ~(1 << 21) == 0, (name, fields["CapBnd"])
        assert fields["NoNewPrivs"].strip() == "1", name
        if not IS_SANITIZED:
            assert fields["Seccomp"].strip() == "2", name
            more = {"sluice-w": 2, "sluice-log": 2}.get(name, 1)
            assert int(fields["Seccomp_filters"]) == more, (name, fields["Seccomp_filters"])
    assert {"sluiced", "sluice-w", "sluice-loader", "sluice-log"} <= set(found)
    rights, calls = rights_of(std)
    assert rights["state"] == "used" and rights["reason"] is None
    assert rights["using"] == f"{' '.join(CAPABILITIES)}; workers none"
    assert calls["state"] == ("fallback" if IS_SANITIZED else "used"), calls


def config(net, folder, *ports):
    for name in ("default.pem", "default.key"):
        shutil.copy(net.certs["default"][0].with_name(name), folder / name)
        os.chown(folder / name, USER, USER)
    pair = {"name": "default", "cert": str(folder / "default.pem"), "key": str(folder / "default.key")}
    return {"certificates": [pair], "deny": ["192.0.2.0/24"],
            "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"])] +
                         [listener(f"plain-{port}", "http", port, "web") for port in ports]}


@pytest.fixture
def user_folder(net):
    """A folder for files of another user, and pins that belong to it."""
    folder = net.folder / "user"
    folder.mkdir()
    net.pins.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, net.pins):
        os.chown(path, USER, USER)
    net.folder.chmod(0o711)
    tun, mode = Path("/dev/net/tun"), Path("/dev/net/tun").stat().st_mode
    tun.chmod(0o666)  # as udev makes it
    yield folder
    net.halt()
    tun.chmod(mode & 0o777)
    net.folder.chmod(0o700)
    shutil.rmtree(folder)


def setpriv(*capabilities):
    words = ",".join(f"+{name}" for name in capabilities)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
            *([f"--inh-caps={words}", f"--ambient-caps={words}", f"--bounding-set=-all,{words}"]
              if capabilities else ["--inh-caps=-all"])]


def test_any_user_with_capabilities(net, targets, user_folder):
    """Packet plane, gate, low ports, a reload that needs each of them again, and an orderly end."""
    net.halt()
    one = net.current = Sluiced(net, config(net, user_folder), "user/sluiced")
    os.chown(one.file, USER, USER)
    one.start(through=setpriv(*CAPABILITIES))
    status = one.api("/v1/status")
    assert status["xdp"]["interfaces"][0]["mode"] == "native", status["xdp"]
    assert status["handover"]["mode"] == "own_cookies" and status["gate"]["active"], one.log()
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
        one.write(config(net, user_folder, 80) | {"deny": ["192.0.2.0/24", "198.51.100.0/24"]})
        os.chown(one.file, USER, USER)
        one.ctl("reload")
        with Connection((net.v4, 80)) as other:
            assert other.request().status == 200
        assert client.request().status == 200
    one.ctl("deny", "add", "203.0.113.0/24")
    assert "203.0.113.0/24" in one.ctl("deny", "list")[1]
    one.ctl("upgrade")
    status = one.api("/v1/status")
    assert status["gate"]["active"] and one.log().count("without capabilities") == 0
    assert one.process.wait(timeout=STOP_S) == 0 and status["pid"] != one.process.pid
    one.process = Foreign(status["pid"])
    with Connection((net.v4, 80)) as client:
        assert client.request().status == 200
    one.stop()
    assert not list(net.pins.rglob("*")), "pins are left"


def test_without_capabilities(net, targets, user_folder):
    """It serves what a user may, and says what it lacks."""
    net.halt()
    text = config(net, user_folder) | {"listeners": [listener("plain", "http", 8080, "web")]}
    one = net.current = Sluiced(net, text, "user/sluiced")
    os.chown(one.file, USER, USER)
    one.start(through=setpriv())
    with Connection((net.v4, 8080)) as client:
        assert client.request().status == 200
    assert "without capabilities: net_bind_service net_admin net_raw ipc_lock perfmon bpf" in one.log()
    assert rights_of(one)[0] == {"name": "rights", "state": "fallback", "using": "none; workers none",
                                 "reason": "was started without net_bind_service net_admin net_raw ipc_lock "
                                           "perfmon bpf"}
    done = netns.run(netns.inside(net.lb, *setpriv(), BUILD / "sluiced", "--check-host"), check=False)
    row = next(line for line in done.splitlines() if line.startswith("capabilities"))
    assert row.split()[1] == "no" and "net_admin" in row
    one.reload(text | {"listeners": [listener("plain", "http", 8080, "web"), listener("more", "http", 8081, "web")]})
    until(lambda: Connection((net.v4, 8081)).close() is None, "more is served")


def test_prepare_host(tmp_path):
    """In a mount namespace with an empty /sys/fs/bpf and /dev/net: what is missing is made, and stays."""
    script = f"""
        mount -t tmpfs tmpfs /sys/fs/bpf && mount -t tmpfs tmpfs /dev/net && echo 0 >/proc/sys/net/ipv4/tcp_syncookies &&
        umask 077 && {BUILD}/sluiced --prepare-host && stat -fc %T /sys/fs/bpf && stat -c '%F %t %T %a' /dev/net/tun &&
        cat /proc/sys/net/ipv4/tcp_syncookies && {BUILD}/sluiced --prepare-host"""
    out = netns.run(["unshare", "--mount", "--net", "sh", "-ec", script])
    first, second = out.split("WHAT")[1:]
    assert "BPF file system mounted" in first and "made" in first and "1, was 0" in first, out
    assert "bpf_fs\ncharacter special file a c8 666\n1\n" in first, out
    assert "done" not in second and "FAILED" not in second, out
    done = netns.run(["unshare", "--mount", "--net", *setpriv(), BUILD / "sluiced", "--prepare-host"], check=False)
    assert "FAILED" in done or "ok" in done
