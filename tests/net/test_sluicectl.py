"""sluicectl as a person uses it: every view in every form, --watch, exit codes; the admin socket."""
import json
import os
import signal
import stat
import subprocess

import pytest
import yaml

import netns
from sluiced import BUILD, UnixHttp
from test_survive import config
from wire import Connection, until

VIEWS = {"status": ["pid"], "listeners": ["https", "tls-alpn", "443"],
         "targets": ["t1", "198.18.2.11:8080", "healthy"],
         "groups": ["web", "round_robin"], "certs": ["www-rsa", "*.wild.sluice.test", "RSA 2048"],
         "drops": [], "config": ["listeners"]}


@pytest.mark.parametrize("view", VIEWS)
def test_views(std, view):
    """The three forms say the same; the table has what a person looks for."""
    table = std.ctl(view)[1]
    assert table.strip() or view == "drops"
    for word in VIEWS[view]:
        assert word in table, table
    as_json = json.loads(std.ctl("-o", "json", view)[1])
    as_yaml = yaml.safe_load(std.ctl(view, "--output", "yaml")[1])
    assert as_json and as_json.keys() == as_yaml.keys()
    for answer in (as_json, as_yaml):
        if view == "targets":
            assert {t["name"] for t in answer["targets"]} >= {"t1", "t2", "t3"}
        if view == "status":
            assert answer["pid"] == std.process.pid


def test_status_counts(std, net):
    """The counts move with what clients do."""
    def numbers():
        one = std.api("/v1/status")
        return one["accepted_total"], one["requests_total"]
    before = numbers()
    with Connection((net.v4, 80)) as client:
        for _ in range(5):
            client.request()
    until(lambda: numbers()[0] >= before[0] + 1 and numbers()[1] >= before[1] + 5, "counted")


def test_listeners_count(std, net):
    def row():
        return next(l for l in std.api("/v1/listeners")["listeners"] if l["name"] == "one")
    before = row()
    with Connection((net.v4, 90)) as client:
        assert len(client.request("/bytes/100000").body) == 100000
        until(lambda: row()["open"] == before["open"] + 1, "one is open")
    until(lambda: row()["bytes_out"] >= before["bytes_out"] + 100000
          and row()["requests"] == before["requests"] + 1, "bytes and requests are counted")
    until(lambda: row()["open"] == before["open"], "none is open")


def test_certificates(std):
    rows = {c["name"]: c for c in std.api("/v1/certificates")["certificates"]}
    assert rows["www"]["key_type"] == "ECDSA P-256" and rows["www-rsa"]["key_type"] == "RSA 2048"
    assert rows["wild"]["names"] == ["*.wild.sluice.test"] and 25 <= rows["wild"]["days_left"] <= 30
    assert "https" in rows["default"]["default_for"]


def test_config_can_be_loaded_again(std, tmp_path):
    path = tmp_path / "again.yaml"
    path.write_text(std.api("/v1/config")["yaml"])
    done = subprocess.run([BUILD / "sluiced", "--check", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def test_watch(std):
    """Shows the view again and again until it is interrupted."""
    process = subprocess.Popen([BUILD / "sluicectl", "--socket", std.socket, "--watch=0.2", "targets"],
                               stdout=subprocess.PIPE, text=True, preexec_fn=netns.die_with_parent)
    seen = 0
    while seen < 2:  # the second time, it is watching
        line = process.stdout.readline()
        assert line, "it ended by itself"
        seen += "198.18.2.11:8080" in line and " web " in f" {line} "
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode in (0, -signal.SIGINT, 130)


def test_json_of_drops_has_zeros(std):
    rows = json.loads(std.ctl("drops", "-o", "json", "--all")[1])["drops"]
    assert {"deny_v4", "source_limit", "bad_request"} <= {r["reason"] for r in rows}
    assert all(r["help"] for r in rows)


@pytest.mark.parametrize("words,status", [
    (["status"], 0), (["help"], 0), (["--version"], 0), ([], 2), (["nonsense"], 2), (["status", "extra"], 2),
    (["-o", "xml", "status"], 2), (["--nonsense", "status"], 2), (["reload", "--watch"], 2)])
def test_exit_codes(std, words, status):
    code, out, err = std.ctl(*words, check=False)
    assert code == status, err
    assert out if status == 0 else err.startswith(("sluicectl:", "/")) or "sluicectl" in err


def test_no_daemon(std, tmp_path):
    done = subprocess.run([BUILD / "sluicectl", "--socket", tmp_path / "none.sock", "status"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 3 and "none.sock" in done.stderr


def test_socket_mode(std):
    mode = os.stat(std.socket)
    assert stat.S_ISSOCK(mode.st_mode) and stat.S_IMODE(mode.st_mode) == 0o600


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/v1/nonsense", 404), ("POST", "/v1/status", 405), ("GET", "/v1/reload", 405),
    ("HEAD", "/v1/status", 200)])
def test_api_errors(std, method, path, status):
    connection = UnixHttp(std.socket)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == status
    if status >= 400:
        assert json.loads(body)["error"]["code"]
    connection.close()


def test_purge_refuses_while_it_lives(std):
    code, _, err = std.ctl("purge", "--pin-dir", str(std.pins), check=False)
    assert code == 1 and str(std.process.pid) in err
    assert (std.pins / "maps").exists()


def test_purge_after_a_crash(net, launch):
    """What kill -9 leaves is removed by purge."""
    one = launch(config(net))
    one.kill9()
    assert (one.pins / "maps").exists()
    assert one.ctl("purge", "--pin-dir", str(one.pins))[0] == 0
    assert not one.pins.exists() or list(one.pins.rglob("*")) == []
    assert "xdp" not in netns.run(netns.inside(net.lb, "ip", "link", "show", net.device))
    one.start()
