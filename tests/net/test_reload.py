"""Change at run time: all or nothing, and nobody who is connected notices."""
import re
import signal
import ssl
import subprocess

import pytest
import yaml

import netns
from counts import count
from load import Load
from sluiced import BUILD, IS_SANITIZED
from standard import CHECK, group, listener
from wire import Connection, TlsConnection, client_context, until

ALL = ["healthy"] * 3
WWW = "www.sluice.test"


def config(net, names=("default", "www"), ports=(443,), check=CHECK, **settings):
    return {"certificates": net.certificates(*names),
            "target_groups": [group("web", "http", net.target_list(8080), check)],
            "listeners": [listener(f"web-{port}", "https", port, "web", certificates=list(names), **settings)
                          for port in ports]}


def test_reload_under_load(net, launch):
    """Kept-alive connections with requests going on: none fails, none is closed."""
    one = launch(config(net))
    one.wait_states("web", ALL)
    with Load((net.v4, 443), count("keep_alive_connections"), 2 * count("load_interval_ms"),
              client_context(), WWW) as load:
        for number in range(count("reloads")):
            before = one.generation()
            # Something changes each time: limits, a certificate, targets' weights.
            new = config(net, names=("default", "www", "wild")[:3 - number % 2])
            new["target_groups"][0]["targets"][0]["weight"] = 1 + number % 3
            one.reload(new)
            assert one.generation() == before + 1
            done = load.ok
            until(lambda: load.ok >= done + 100, "the load goes on")
        load.run_for(count("load_seconds"))
    assert load.failures == [] and load.closed == 0
    print(f"{load.ok} requests, slowest {load.slowest_s * 1000:.0f} ms")


def test_new_connections_during_reloads(net, launch):
    """A new connection for each request: none is refused while reloads go on."""
    one = launch(config(net))
    one.wait_states("web", ALL)
    with Load((net.v4, 443), 8, 20, client_context(), WWW, is_new_each=True) as load:
        for number in range(count("reloads")):
            one.reload(config(net, names=("default", "www", "wild")[:3 - number % 2]))
        load.run_for(count("load_seconds"))
    assert load.failures == [] and load.ok > 20


def test_reload_while_a_body_is_on_its_way(net, launch):
    """Ten reloads under one open upgrade tunnel and one half-sent upload."""
    one = launch(config(net))
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 443), WWW) as tunnel, TlsConnection((net.v4, 443), WWW) as upload:
        tunnel.send(b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert tunnel.response().status == 101
        upload.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123456789")
        for _ in range(10):
            one.reload(config(net))
            tunnel.send(b"ping")
            assert tunnel.take(4) == b"ping"
        upload.send(b"0123456789")
        assert upload.response().json()["length"] == 20


def test_many_reloads_add_no_memory(net, launch):
    """Old configurations are freed although a connection stays open over all of them."""
    one = launch(config(net))
    with TlsConnection((net.v4, 443), WWW) as client:
        assert client.request().status in (200, 503)
        rss = []
        for _ in range(4):
            for _ in range(18):
                one.reload(config(net))
            rss.append(one.rss_bytes())
        assert client.request().status == 200
    # Kept configurations show in each span, a heap that gets its next (huge) page in one of them.
    growth = min(after - before for before, after in zip(rss, rss[1:]))
    assert growth < 256 << 10 or IS_SANITIZED


@pytest.mark.parametrize("how", ["ctl", "sighup"])
def test_bad_file_changes_nothing(net, launch, how):
    one = launch(config(net))
    one.wait_states("web", ALL)
    bad = config(net)
    bad["listeners"][0]["target_grup"] = bad["listeners"][0].pop("target_group")
    bad["listeners"][0]["address"] = ["0.0.0.0:99999"]
    before = one.generation()
    with TlsConnection((net.v4, 443), WWW) as client:
        assert client.request().status == 200
        one.write(bad)
        line = 1 + next(i for i, text in enumerate(one.file.read_text().splitlines()) if "target_grup" in text)
        if how == "ctl":
            status, out, err = one.ctl("reload", check=False)
            assert status != 0
            said = out + err
        else:
            mark = len(one.log())
            one.signal(signal.SIGHUP)
            until(lambda: "target_grup" in one.log()[mark:], "the log says why")
            said = one.log()[mark:]
        assert f"{one.file}:{line}:" in said and "target_group" in said, said
        assert "99999" in said, "all errors are reported at once"
        assert client.request().status == 200
    assert one.generation() == before
    last = one.api("/v1/status")["config"]["last_reload"]
    assert last["result"] == "refused" and last["error"].startswith(f"{one.file}:")
    one.reload(config(net))
    assert one.generation() == before + 1


def test_sighup_applies(net, launch):
    one = launch(config(net))
    before = one.generation()
    one.write(config(net, ports=(443, 444)))
    one.signal(signal.SIGHUP)
    until(lambda: one.generation() == before + 1, "the new configuration is in force")
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 444), WWW) as client:
        assert client.request().status == 200


def test_dry_run(net, launch):
    one = launch(config(net))
    before = one.generation()
    one.write(config(net, ports=(444,)))
    answer = one.api("/v1/reload?dry_run=1", "POST")
    assert answer["result"] == "valid" and one.generation() == before
    with TlsConnection((net.v4, 443), WWW):
        pass


def test_dry_run_looks_into_certificate_files(net, launch):
    """What a reload would refuse, a dry run refuses, and changes nothing."""
    one = launch(config(net))
    before = one.generation()
    settings = config(net)
    settings["certificates"][1]["key"] = settings["certificates"][0]["key"]
    one.write(settings)
    status, out, err = one.ctl("reload", "--dry-run", check=False)
    assert status == 1 and f"{one.file}:" in out + err and "www" in out + err, out + err
    assert one.generation() == before


def test_listener_added_and_removed(net, launch):
    """The removed one refuses at once; its open connections end after their request."""
    one = launch(config(net, ports=(443, 444)))
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 444), WWW) as old:
        assert old.request().status == 200
        one.reload(config(net, ports=(443, 445)))
        with TlsConnection((net.v4, 445), WWW) as client:
            assert client.request().status == 200

        def is_refused():
            try:
                Connection((net.v4, 444)).close()
            except ConnectionRefusedError:
                return True
            return False
        until(is_refused, "444 is refused", 3)
        with TlsConnection((net.v4, 443), WWW) as client:
            assert client.request().status == 200
    names = {l["name"] for l in one.api("/v1/listeners")["listeners"] if l["state"] == "listening"}
    assert names == {"web-443", "web-445"}


def test_listener_changed(net, launch):
    """Limits of a listener change without its socket being closed."""
    one = launch(config(net))
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 443), WWW) as client:
        assert client.request("/echo", "POST", body=b"x" * 2000).status == 200
        one.reload(config(net, limits={"body_bytes": "1k"}))
        with TlsConnection((net.v4, 443), WWW) as new:
            assert new.request("/echo", "POST", body=b"x" * 2000).status == 413


def test_certificate_replaced(net, launch):
    """New connections get the new certificate of the same files; the old connection lives on."""
    cert, key = net.ca.issue("moving", "one.sluice.test")
    net.certs["moving"] = (cert, key)
    one = launch(config(net, names=("default", "moving")))
    one.wait_states("web", ALL)
    with TlsConnection((net.v4, 443), "one.sluice.test") as old:
        serial = old.tls.getpeercert()["serialNumber"]
        net.ca.issue("moving", "one.sluice.test", "two.sluice.test")
        one.ctl("reload")
        for name in ("one.sluice.test", "two.sluice.test"):
            with TlsConnection((net.v4, 443), name) as new:
                assert new.names()[0] == ["one.sluice.test", "two.sluice.test"]
                assert new.tls.getpeercert()["serialNumber"] != serial
        assert old.request().status == 200


@pytest.mark.parametrize("fault", ["mismatch", "truncated", "missing"])
def test_bad_certificate_is_refused(net, launch, fault):
    """A pair that does not match, is cut or is gone: refused by name, the last good one serves."""
    cert, key = net.ca.issue("moving", "one.sluice.test")
    net.certs["moving"] = (cert, key)
    one = launch(config(net, names=("default", "moving")))
    if fault == "mismatch":
        key.write_bytes(net.certs["www"][1].read_bytes())
    elif fault == "truncated":
        cert.write_bytes(cert.read_bytes()[:200])
    else:
        cert.unlink()
    status, out, err = one.ctl("reload", check=False)
    assert status != 0 and "moving" in out + err and f"{one.file}:" in out + err, out + err
    with TlsConnection((net.v4, 443), "one.sluice.test") as client:
        assert client.names()[0] == ["one.sluice.test"]


def test_setting_that_needs_a_restart(net, launch):
    """Refused as a whole and named, not silently ignored."""
    one = launch(config(net) | {"workers": 1})
    one.write(config(net) | {"workers": 2})
    status, out, err = one.ctl("reload", check=False)
    assert status != 0 and "workers" in out + err and "restart" in out + err


def test_debug_log_names_clients(net, launch):
    """A reload to level debug: from then on the log says which client failed, and how."""
    one = launch(config(net))
    with pytest.raises(ssl.SSLError):
        TlsConnection((net.v4, 443), WWW, client_context(alpn=["h3"]))
    assert "alpn_refused" not in one.log()
    one.reload(config(net) | {"log": {"level": "debug"}})
    with pytest.raises(ssl.SSLError):
        TlsConnection((net.v4, 443), WWW, client_context(alpn=["h3"]))
    until(lambda: re.search(r"listener web-443: client [0-9.]+:\d+: refused: alpn_refused "
                            "server_name=www.sluice.test", one.log()), "the log names client and cause")


# --- --check

def check(text, tmp_path, *options):
    path = tmp_path / "sluice.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
    done = subprocess.run([BUILD / "sluiced", "--check", path, *options], capture_output=True, text=True,
                          timeout=30)
    return done.returncode, done.stdout + done.stderr, path


def test_check_good(net, tmp_path):
    status, said, _ = check(config(net), tmp_path)
    assert status == 0, said


def test_check_opens_files(net, tmp_path):
    """A certificate that is not there is found before the daemon is started with it."""
    text = config(net)
    text["certificates"][0]["cert"] = "/nowhere/at-all.pem"
    status, said, path = check(text, tmp_path)
    assert status == 1
    assert f"{path}:" in said and "/nowhere/at-all.pem" in said and "No such file" in said


def test_check_says_everything_at_once(net, tmp_path):
    text = """\
workers: many
listners: []
target_groups:
  - name: web
    protocol: htp
    targets:
      - {address: 10.0.0.1}
      - {address: 10.0.0.2:80, wieght: 3}
    health_check: {interval: 5 parsecs}
listeners:
  - name: web
    protocol: http
    address: 0.0.0.0:80
    target_group: wbe
"""
    status, said, path = check(text, tmp_path)
    assert status != 0
    for line, word in ((1, "workers"), (2, "listeners"), (5, "http"), (7, "10.0.0.1"), (8, "weight"),
                       (9, "interval"), (14, "web")):
        assert any(l.startswith(f"{path}:{line}:") and word in l for l in said.splitlines()), (line, word, said)


@pytest.mark.parametrize("text", ["", "listeners: [", "\tx: 1\n", "- 1\n", "a: &a [*a]\n", "\0\n"])
def test_check_broken_yaml(tmp_path, text):
    status, said, path = check(text, tmp_path)
    assert status != 0 and str(path) in said, said


def test_print_starts_nothing(net, tmp_path):
    """--print is no start: it ends, and what it prints is a configuration with the defaults."""
    path = tmp_path / "sluice.yaml"
    path.write_text(yaml.safe_dump(config(net)))
    done = subprocess.run([BUILD / "sluiced", "--print", path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr
    printed = yaml.safe_load(done.stdout)
    assert printed["log"]["level"] == "info" and printed["listeners"][0]["name"] == "web-443"


def test_second_daemon_is_refused(net, launch, tmp_path):
    """Before it listens beside the first one or looks at a target; the first one is named."""
    one = launch(config(net))
    path = tmp_path / "second.yaml"
    path.write_text(yaml.safe_dump(config(net) | {"admin": {"socket": str(one.socket)}, "xdp": {"mode": "off"}}))
    done = subprocess.run(netns.inside(net.lb, str(BUILD / "sluiced"), "--config", str(path)),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and f"pid {one.process.pid}" in done.stderr, done.stderr
    assert "target" not in done.stderr, "nothing was opened"


def test_port_of_another_daemon(net, launch, tmp_path):
    """SO_REUSEPORT would let it share the port, and clients would be dealt out between the two."""
    launch(config(net))
    path = tmp_path / "second.yaml"
    path.write_text(yaml.safe_dump(config(net) | {"admin": {"socket": str(tmp_path / "second.sock")},
                                                  "xdp": {"mode": "off"}}))
    done = subprocess.run(netns.inside(net.lb, str(BUILD / "sluiced"), "--config", str(path)),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "already in use by another program" in done.stderr, done.stderr


def test_check_missing_file(tmp_path):
    done = subprocess.run([BUILD / "sluiced", "--check", tmp_path / "none.yaml"], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode != 0 and "none.yaml" in done.stderr + done.stdout


def test_check_host():
    done = subprocess.run([BUILD / "sluiced", "--check-host"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "xdp" in done.stdout.lower(), done.stdout + done.stderr


def test_example_is_valid():
    """The example in docs/ is right, but for its certificate files, which this host may not have."""
    done = subprocess.run([BUILD / "sluiced", "--check", netns.TOP / "docs/example.yaml"],
                          capture_output=True, text=True, timeout=30)
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 0 or all("/etc/sluice/tls/" in l for l in said if "example.yaml:" in l), said
