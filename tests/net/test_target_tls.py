"""TLS towards targets: what they are shown, what they must show, why one is refused, and files that
change while requests are served."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import netns
import pytest

from client_pki import Identity
from sluiced import STOP_S
from standard import CHECK, group, listener
from tokens import SOFTHSM, STALLING, Token, needs_token, state
from wire import Connection, until

HERE = Path(__file__).resolve().parent
CLIENTS_12, CLIENTS_13, PLAIN = 9601, 9602, 9603
NAME = "target.sluice.test"
TLS_CHECK = {"protocol": "tls"} | {k: CHECK[k] for k in ("interval", "rise", "fall")} | {"timeout": CHECK["timeout"]}


ROOT, STRANGER = Identity("Clients"), Identity("Strangers")


@pytest.fixture(scope="module")
def strict(net):
    """Targets that want a certificate of our CA in TLS 1.2 and 1.3, and one that wants none."""
    address = net.targets[0].v4
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    cert, key = net.ca.issue("aside/strict", NAME, f"ip:{address}")
    clients = ROOT.write(net.folder / "tls/aside")[0]
    row = {"address": address, "cert": str(cert), "key": str(key)}
    rows = [row | {"port": CLIENTS_12, "clients": str(clients), "version": "1.2"},
            row | {"port": CLIENTS_13, "clients": str(clients), "version": "1.3"},
            row | {"port": PLAIN}]
    process = subprocess.Popen(
        netns.inside(net.targets_ns, sys.executable, str(HERE / "tls_target.py"), json.dumps(rows)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=netns.die_with_parent)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield address
    finally:
        process.kill()
        process.wait()


def show(net, client):
    """The pair that is shown is this one from now on: both files by rename."""
    for file, end in zip(client.write(net.folder / "tls/aside"), ("pem", "key")):
        new = net.folder / f"tls/.shown.{end}"
        shutil.copy(file, new)
        new.rename(net.folder / f"tls/shown.{end}")


def config(net, address, **groups):
    """Listener for each group: {name: (port of the target, its tls)}; on ports from 7001."""
    return {"certificates": [{"name": "shown", "cert": str(net.folder / "tls/shown.pem"),
                              "key": str(net.folder / "tls/shown.key")}],
            "target_groups": [group(name, "https", [{"name": "t", "address": f"{address}:{port}"}], TLS_CHECK,
                                    fail_open=True, tls={"ca": str(net.ca.pem)} | tls)
                              for name, (port, tls) in groups.items()],
            "listeners": [listener(name, "http", 7001 + i, name) for i, name in enumerate(groups)]}


def ask(net, port):
    with Connection((net.v4, port)) as client:
        return client.request()


def refusal(one, name):
    row = one.targets(name)["t"]
    return row["last_tls_failure"]["failure"] if row["last_tls_failure"] else None


@pytest.fixture
def shown(net):
    show(net, ROOT.client("first"))


def test_client_certificate(net, launch, strict, shown):
    """Targets that ask for a certificate get the one of their group, in TLS 1.2 and 1.3; where there is
    none, the log, the view and the health check say so. A replaced one is shown without a reload."""
    mine = {"certificate": "shown", "server_name": NAME}
    one = launch(config(net, strict, new12=(CLIENTS_12, mine), new13=(CLIENTS_13, mine),
                        bare12=(CLIENTS_12, {}), bare13=(CLIENTS_13, {}), plain=(PLAIN, mine)))
    for port, version in ((7001, "TLSv1.2"), (7002, "TLSv1.3")):
        answer = ask(net, port).json()
        assert (answer["client"], answer["version"]) == ("first", version)
    assert ask(net, 7005).json()["client"] is None
    for port, name in ((7003, "bare12"), (7004, "bare13")):
        assert ask(net, port).status == 502
        assert refusal(one, name) == "target_wants_cert"
        one.wait_states(name, ["unhealthy"])
        row = one.targets(name)["t"]
        assert (row["reason"], row["last_check"]["detail"].split(":")[0]) == ("tls_failed", "target_wants_cert")
        assert f"target {name}/t ({strict}:" in one.log() and "its group shows none" in one.log()
    for name in ("new12", "new13", "plain"):
        one.wait_states(name, ["healthy"])
    assert "target_wants_cert" in one.ctl("targets")[1]

    show(net, ROOT.client("second"))
    for port in (7001, 7002):
        until(lambda: ask(net, port).json()["client"] == "second", "the new one is shown")
    assert one.generation() > 1 and one.targets("new13")["t"]["tls_failures"] == 0


@needs_token
def test_client_key_in_token(net, launch, strict, shown, monkeypatch):
    """A key in a token that is shown to targets: without it they refuse us, the log says why; when the token
    has it again it is shown again, in requests and health checks, without a reload."""
    token = Token(net.folder / "token", monkeypatch)
    files = ROOT.client("first").write(net.folder / "tls/aside")
    token.put(files[1], "shown")
    wanted = config(net, strict, new13=(CLIENTS_13, {"certificate": "shown", "server_name": NAME}))
    wanted |= {"pkcs11_module": SOFTHSM, "certificates": [token.row("shown", files)]}
    wanted["target_groups"][0]["pool"] = {"idle_per_worker": 0}
    one = launch(wanted)
    assert ask(net, 7001).json()["client"] == "first"
    one.wait_states("new13", ["healthy"])
    token.drop("shown")
    one.wait_states("new13", ["unhealthy"])
    assert state(one, "shown") == "bad"  # a session that was agreed before may still be resumed
    assert "certificate shown is not shown to targets until its token signs again" in one.log()
    token.put(files[1], "shown")
    one.wait_states("new13", ["healthy"])
    answer = ask(net, 7001).json()
    assert (answer["client"], answer["resumed"], state(one, "shown")) == ("first", False, "good")


@needs_token
def test_check_hangs_in_a_token(net, launch, strict, shown, monkeypatch):
    """A health check that shows a certificate waits for a token that does not come back; SIGTERM does not
    wait for the check."""
    token = Token(net.folder / "token", monkeypatch)
    files = ROOT.client("first").write(net.folder / "tls/aside")
    token.put(files[1], "shown")
    wanted = config(net, strict, new13=(CLIENTS_13, {"certificate": "shown", "server_name": NAME}))
    one = launch(wanted | {"pkcs11_module": STALLING, "certificates": [token.row("shown", files)]})
    one.wait_states("new13", ["healthy"])
    token.stall("sign")
    try:
        until(lambda: token.hangs("sign"), "the check waits for the token")
        one.process.terminate()
        assert one.process.wait(STOP_S) == 1
    finally:
        token.stall()
    assert "the control thread is held up" in one.log()
    one.discard()


def test_wrong_client_certificate(net, launch, strict, shown):
    """One that the target does not accept: it says which of the two refused whom."""
    show(net, STRANGER.client("stranger"))
    mine = {"certificate": "shown", "server_name": NAME}
    one = launch(config(net, strict, new12=(CLIENTS_12, mine), new13=(CLIENTS_13, mine)))
    for port, name in ((7001, "new12"), (7002, "new13")):
        assert ask(net, port).status == 502
        row = one.targets(name)["t"]["last_tls_failure"]
        assert (row["failure"], row["detail"]) == ("target_refused_our_cert", "unknown CA")
        one.wait_states(name, ["unhealthy"])
    show(net, ROOT.client("first"))
    for port, name in ((7001, "new12"), (7002, "new13")):
        until(lambda: ask(net, port).status == 200, "the right one is shown")
        one.wait_states(name, ["healthy"])


def test_reasons(net, launch, strict, shown):
    """Why a target's certificate is refused: in the view, in the log and as the check's result."""
    check = TLS_CHECK | {"tls": {"verify": True}}
    wanted = config(net, strict, untrusted=(PLAIN, {"ca": str(net.ca_other.pem)}),
                    other=(PLAIN, {"server_name": "else.sluice.test"}), fine=(PLAIN, {}))
    for row in wanted["target_groups"]:
        row["health_check"] = check
    one = launch(wanted)
    expected = {"untrusted": "target_cert_untrusted", "other": "target_name_mismatch"}
    for port, (name, failure) in zip((7001, 7002), expected.items()):
        assert ask(net, port).status == 502
        assert refusal(one, name) == failure
        one.wait_states(name, ["unhealthy"])
        assert one.targets(name)["t"]["last_check"]["detail"].startswith(failure)
        line = next(line for line in one.log().splitlines() if f"target {name}/t (" in line)
        assert failure in line
    assert "(server_name else.sluice.test)" in one.log()
    assert ask(net, 7003).status == 200 and refusal(one, "fine") is None
    for _ in range(5):
        ask(net, 7001)
    assert one.targets("untrusted")["t"]["tls_failures"] >= 6
    lines = [line for line in one.log().splitlines() if "TLS failed" in line and "untrusted/t" in line]
    assert len(lines) <= 2 * len(one.api("/v1/status")["workers"]), lines


def test_ca_file_is_replaced(net, launch, strict, shown):
    """The CAs of a group change with their file, without a reload; a bad file changes nothing and is
    named, also by the next reload."""
    cas = net.folder / "tls/cas-of-targets.pem"

    def write(content):
        cas.with_suffix(".new").write_bytes(content)
        cas.with_suffix(".new").rename(cas)
    write(net.ca_other.pem.read_bytes())
    wanted = config(net, strict, web=(PLAIN, {"ca": str(cas)}))
    one = launch(wanted)
    assert ask(net, 7001).status == 502
    write(net.ca.pem.read_bytes())
    until(lambda: ask(net, 7001).status == 200, "the new CA is believed")
    write(b"no certificate\n")
    until(lambda: "what was good stays (target_groups[web])" in one.log(), "the bad file is named")
    assert ask(net, 7001).status == 200
    status, _, errors = one.ctl("reload", check=False)
    assert status != 0 and str(cas) in errors
    write(net.ca_other.pem.read_bytes())
    until(lambda: ask(net, 7001).status == 502, "the old CA is not believed any more")
    assert refusal(one, "web") == "target_cert_untrusted"


def test_refused_settings(net, launch, strict, shown):
    """A directory cannot be shown, a name must exist."""
    wanted = config(net, strict, web=(PLAIN, {}))
    one = launch(wanted)
    wanted["certificates"].append({"name": "many", "directory": str(net.folder / "tls")})
    for name, words in (("many", "targets are shown one pair"), ("none", '"none"')):
        wanted["target_groups"][0]["tls"]["certificate"] = name
        one.write(wanted)
        status, _, errors = one.ctl("reload", check=False)
        assert status != 0 and words in errors, errors
