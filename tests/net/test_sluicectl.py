"""sluicectl as a person uses it: every view in every form, --watch, exit codes; the admin socket."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import ssl
import stat
import struct
import subprocess
import tarfile
import termios

import pytest
import yaml

import gated
import netns
import secret_words
from net import CLIENTS, CLIENTS_V6
from sluiced import BUILD, UnixHttp
from test_survive import config
from wire import Connection, TlsConnection, status, until

VIEWS = {"status": ["pid"], "listeners": ["https", "tls-alpn", "443"],
         "targets": ["t1", "198.18.2.11:8080", "healthy"],
         "groups": ["web", "round_robin"], "certs": ["www-rsa", "*.wild.sluice.test", "RSA 2048"],
         "drops": [], "counters": [], "config": ["listeners"]}


@pytest.mark.parametrize("view", VIEWS)
def test_views(std, view):
    """The three forms say the same; the table has what a person looks for."""
    table = std.ctl(view)[1]
    assert table.strip()
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
    assert rows["wild"]["names"] == ["*.wild.sluice.test"] and 85 <= rows["wild"]["days_left"] <= 90
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
    assert {"deny_v4", "source_packet_limit", "name_unknown", "bad_request"} <= {r["reason"] for r in rows}
    assert all(r["help"] for r in rows)
    assert not {"syn_cookie", "released", "done"} & {r["reason"] for r in rows}
    rows = json.loads(std.ctl("counters", "-o", "json")[1])["counters"]
    assert {"deny_v4", "syn_cookie", "released", "done", "dry_name_handshake_limit"} <= {r["reason"] for r in rows}


@pytest.mark.parametrize("words,status", [
    (["status"], 0), (["help"], 0), (["--version"], 0), ([], 2), (["nonsense"], 2), (["status", "extra"], 2),
    (["-o", "xml", "status"], 2), (["--nonsense", "status"], 2), (["reload", "--watch"], 2),
    (["top"], 0), (["top", "cities"], 2), (["top", "sni", "0"], 2), (["top", "ja4", "5"], 0),
    (["watch"], 2), (["watch", "birds"], 2), (["watch", "drops", "--reason", "nonsense"], 1),
    (["watch", "drops", "--source", "1.2.3"], 1), (["status", "--reason", "deny_v4"], 2),
    (["deny"], 0), (["deny", "list", "192.0.2.1"], 0), (["deny", "list", "nonsense"], 1),
    (["deny", "add"], 2), (["deny", "del", "192.0.2.0/24", "-e", "1h"], 2), (["deny", "hits"], 2),
    (["deny", "add", "192.0.2.0/24", "-e", "soon"], 2), (["deny", "frobnicate"], 2),
    (["allow", "hits", "on"], 2), (["deny", "import"], 2), (["deny", "import", "/none"], 1),
    (["cookies"], 2), (["completion", "bash"], 0),
    (["completion"], 2), (["completion", "fish"], 2), (["support-dump", "/none/x.tar"], 1)])
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
    ("HEAD", "/v1/status", 200), ("HEAD", "/v1/watch/drops", 200), ("DELETE", "/v1/deny", 405),
    ("GET", "/v1/top?kind=cities", 400), ("GET", "/v1/top?n=0", 400), ("GET", "/v1/top?m=1", 400),
    ("GET", "/v1/watch/drops?reason=nonsense", 400), ("GET", "/v1/watch/drops?source=1", 400),
    ("GET", "/v1/deny?list=maybe", 400), ("GET", "/v1/deny?source=moon", 400),
    ("GET", "/v1/deny?address=192.0.2.0/24", 400), ("POST", "/v1/deny", 400),
    ("POST", "/v1/deny/hits", 400), ("POST", "/v1/deny/import?list=maybe", 400)])
def test_api_errors(std, method, path, status):
    connection = UnixHttp(std.socket)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == status
    if status >= 400:
        assert json.loads(body)["error"]["code"]
    connection.close()


# --- drops as they happen, who is on top

@contextlib.contextmanager
def watching(one, *words):
    """A sluicectl that watches drops; ends it as Ctrl-C does, which is no failure. Unbuffered, so
    that select() tells whether there is a line."""
    process = subprocess.Popen([BUILD / "sluicectl", "--socket", one.socket, "watch", "drops", *words],
                               stdout=subprocess.PIPE, bufsize=0, preexec_fn=netns.die_with_parent)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 0
    finally:
        process.kill()


def line_with(process, word):
    while line := process.stdout.readline().decode():
        if word in line:
            return line
    raise AssertionError(f"it ended without {word}")


def is_readable(process):
    return bool(select.select([process.stdout], [], [], 0.3)[0])


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_watch_and_drops(net, launch, family):
    """A denied source: seen while it happens, counted with a rate and a time, on top of the sources."""
    address = getattr(net, family)
    denied, other = (CLIENTS if family == "v4" else CLIENTS_V6)[1::-1]
    one = launch(gated.config(net, deny=[denied]))
    reason = f"deny_{family}"
    with watching(one) as all_of_it, watching(one, "-o", "json", "--reason", reason) as some:
        assert b"REASON" in all_of_it.stdout.readline()
        for process in (all_of_it, some):  # it may take a moment until it watches
            until(lambda: status(address, gated.HTTP, denied, timeout=0.3) is None
                  and is_readable(process), "a drop is shown")
        assert status(address, gated.HTTP, other) == 200
        drop = json.loads(line_with(some, reason))
        assert drop["source"] == denied and drop["destination"] == address
        assert drop["destination_port"] == gated.HTTP and drop["listener"] == "http"
        assert drop["where"] == "xdp" and drop["interface"] == net.device and drop["tcp_flags"] == "SYN"
        assert drop["weight"] >= 1 and 40 <= drop["length_bytes"] <= 120
        assert denied in line_with(all_of_it, reason)
    row = next(r for r in one.api("/v1/drops")["drops"] if r["reason"] == reason)
    assert row["where"] == "xdp" and row["verdict"] == "drop" and row["last_seen_at"] > 1e9
    assert row["rate_per_s"] is not None
    assert reason in one.ctl("drops")[1]
    top = one.api("/v1/top?kind=sources")["rows"]
    assert next(r for r in top if r["key"] == denied)["dropped"] >= 1
    assert denied in one.ctl("top", "sources", "5")[1]


@pytest.mark.parametrize("inside", [True, False], ids=["gate", "accept"])
def test_watch_refused_flights(net, launch, inside):
    """A refused name: in the stream with what is known of it, in top, in the counters of the gate."""
    one = launch(gated.config(net))
    with watching(one, "-o", "json", "--reason", "name_unknown") as process:
        until(lambda: is_refused(net, inside) and is_readable(process), "a refusal is shown")
        drop = json.loads(line_with(process, "name_unknown"))
    assert drop["where"] == ("gate" if inside else "accept")
    assert drop["server_name"] == gated.UNKNOWN and drop["listener"] == "strict"
    assert drop["ja4"].startswith("t13d") and drop["destination_port"] == gated.STRICT
    with TlsConnection((net.v4, gated.STRICT), gated.WWW) as client:
        assert client.request().status == 200
    names = {r["key"]: r for r in one.api("/v1/top?kind=names")["rows"]}
    assert names[gated.UNKNOWN]["refused"] >= 1 and names[gated.WWW]["released"] == 1
    assert gated.WWW in one.ctl("top", "sni")[1]
    assert "t13d" in one.ctl("top", "ja4")[1]
    assert one.drops()["name_unknown"] >= 1 and "name_unknown" in one.ctl("drops")[1]


def is_refused(net, inside):
    with contextlib.nullcontext() if inside else netns.entered(net.lb):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            TlsConnection((net.v4, gated.STRICT), gated.UNKNOWN)
    return True


def test_listeners_show_packets(net, launch):
    one = launch(gated.config(net))
    with TlsConnection((net.v4, gated.GATED), gated.WWW) as client:
        assert client.request().status == 200
    row = next(l for l in one.api("/v1/listeners")["listeners"] if l["name"] == "gated")
    assert row["gated"] and row["syn_cookies"] == "always"
    assert row["cookies"] >= 1 and row["gate_frames"] >= 1 and row["released"] >= 1
    assert "GATE FRAMES" in one.ctl("listeners", "--all")[1]
    status_text = one.ctl("status")[1]
    assert "own_cookies" in status_text and "AF_XDP sockets" in status_text


# --- deny and allow lists

def entries(one, which="deny"):
    return {e["prefix"]: e for e in one.api(f"/v1/deny?list={which}")["entries"]}


def test_deny_add_and_del(net, launch):
    one = launch(gated.config(net, deny=["203.0.113.0/24"]))
    denied, other = CLIENTS[1], CLIENTS[2]
    assert status(net.v4, gated.HTTP, denied) == 200
    assert "2 added" in one.ctl("deny", "add", f"{denied}", "2001:db8::/32", "--expires", "1h")[1]
    assert status(net.v4, gated.HTTP, denied, timeout=0.5) is None
    assert status(net.v4, gated.HTTP, other) == 200
    assert entries(one)[denied]["source"] == "api" and entries(one)[denied]["expires_at"] > 1e9
    assert entries(one)["203.0.113.0/24"] == {
        "prefix": "203.0.113.0/24", "source": "config", "expires_at": None, "hits": None}
    table = one.ctl("deny", "list")[1]
    assert denied in table and ("59m" in table or "1h00m" in table) and "config" in table
    assert denied in one.ctl("deny", "list", denied)[1]
    assert "no entries" in one.ctl("deny", "list", other)[1]
    one.ctl("allow", "add", denied)
    assert status(net.v4, gated.HTTP, denied) == 200  # allowing beats denying
    one.ctl("allow", "del", denied)
    one.ctl("deny", "hits", "on")
    until(lambda: status(net.v4, gated.HTTP, denied, timeout=0.3) is None
          and entries(one)[denied]["hits"], "hits are counted")
    one.ctl("deny", "del", denied)
    assert status(net.v4, gated.HTTP, denied) == 200
    assert denied not in entries(one) and "2001:db8::/32" in entries(one)


@pytest.mark.parametrize("words,complaint", [
    (["add", "192.0.2.1/24"], "192.0.2.0/24"), (["add", "192.0.2.0/24", "nonsense"], "nonsense"),
    (["del", "192.0.2.0/24"], "192.0.2.0/24"), (["del", "203.0.113.0/24"], "203.0.113.0/24")])
def test_deny_refuses(net, launch, words, complaint):
    """All or nothing, and what is wrong is said: host bits, nonsense, not listed, listed elsewhere."""
    one = launch(gated.config(net, deny=["203.0.113.0/24"]))
    code, _, err = one.ctl("deny", *words, check=False)
    assert code == 1 and complaint in err and "nothing was changed" in err
    assert set(entries(one)) == {"203.0.113.0/24"}


def test_deny_import_and_export(net, launch, tmp_path):
    one = launch(gated.config(net))
    file = tmp_path / "list.txt"
    many = [f"10.{a}.{b}.0/24" for a in range(200) for b in range(256)]
    file.write_text("# a list\n" + "\n".join(many) + f"\n{CLIENTS[1]} # and this one\n\n2001:db8::/32\n")
    assert str(len(many) + 2) in one.ctl("deny", "import", str(file))[1]
    assert status(net.v4, gated.HTTP, CLIENTS[1], timeout=0.5) is None
    assert len(entries(one)) == len(many) + 2  # more than one piece of a stream
    exported = one.ctl("deny", "export")[1]
    assert set(exported.split()) == {*many, CLIENTS[1], "2001:db8::/32"}
    file.write_text(f"{CLIENTS[1]}\n\n192.0.2.300\n")
    code, _, err = one.ctl("deny", "import", str(file), check=False)
    assert code == 1 and err.startswith(f"{file}:3:") and "nothing was changed" in err
    assert len(entries(one)) == len(many) + 2
    done = subprocess.run([BUILD / "sluicectl", "--socket", one.socket, "deny", "import", "-"],
                          input="192.0.2.0/24\n", text=True, timeout=20, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert set(entries(one)) == {"192.0.2.0/24"}
    assert status(net.v4, gated.HTTP, CLIENTS[1]) == 200


# --- the cookie secret

def test_cookies_rotate(net, launch, tmp_path):
    """Connections go on being made; a secret from a file is not the daemon's to change."""
    one = launch(gated.config(net))
    assert status(net.v4, gated.HTTP) == 200
    assert "new secret" in one.ctl("cookies", "rotate")[1]
    assert status(net.v4, gated.HTTP) == 200
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef\n")
    secret.chmod(0o600)
    one.reload(gated.config(net, xdp=one.base["xdp"] | {"cookie_secret_file": str(secret)}))
    code, _, err = one.ctl("cookies", "rotate", check=False)
    assert code == 1 and str(secret) in err
    assert status(net.v4, gated.HTTP) == 200


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


def test_top(std, net):
    """Once into a file; again and again, with rates, on a terminal."""
    with Connection((net.v4, 80)) as client:
        client.request()
    once = std.ctl("top")[1]
    assert all(word in once for word in ("sluiced ", "LISTENERS", "TARGETS", "DROPS", "SOURCES", "198.18.2.11:8080"))
    answer = json.loads(std.ctl("top", "-o", "json")[1])
    assert answer.keys() == {"status", "listeners", "targets", "drops", "sources"}
    assert answer["status"]["pid"] == std.process.pid
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    process = subprocess.Popen([BUILD / "sluicectl", "--socket", std.socket, "top", "--watch=0.2"], stdout=inside,
                               preexec_fn=netns.die_with_parent)
    os.close(inside)
    seen = bytearray()

    def is_live():
        if select.select([terminal], [], [], 0.1)[0]:
            seen.extend(os.read(terminal, 65536))
        return re.search(rb"accepted [0-9.]+/s", seen) and seen.count(b"LISTENERS") > 1
    try:
        until(is_live, "rates are drawn")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=5)
        os.close(terminal)


@pytest.mark.parametrize("rows, columns", [(24, 80), (10, 40), (60, 200)])
def test_top_fits_the_terminal(std, rows, columns):
    """No line goes around, none scrolls away; of each table there is something where there is room."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "TERM"}
    process = subprocess.Popen([BUILD / "sluicectl", "--socket", std.socket, "top", "--watch=0.2"], stdout=inside,
                               preexec_fn=netns.die_with_parent, env=env)
    os.close(inside)
    seen = bytearray()

    def frames():
        if select.select([terminal], [], [], 0.1)[0]:
            seen.extend(os.read(terminal, 65536))
        return re.findall(r"\x1b\[H(.*?)\x1b\[J", seen.decode(errors="replace"), re.S)[1:]
    try:
        until(frames, "the screen is drawn twice")
        lines = frames()[0].replace("\x1b[K", "").replace("\r", "").split("\n")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=5)
        os.close(terminal)
    assert len(lines) <= rows and max(len(line) for line in lines) <= columns, lines
    titles = [line for line in lines if line in ("LISTENERS", "TARGETS", "DROPS", "SOURCES")]
    assert len(titles) == 4 or rows < 24, lines


BASH = """
source <("$1" --socket "$2" completion bash)
shift 2
complete -p sluicectl
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_sluicectl
printf 'found %s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize("typed, wanted", [
    (["roll"], {"rollback"}), (["certs", "del"], {"delete"}), (["status", "--outp"], {"--output"}), (["-o", "js"], {"json"}),
    (["status", "--output", "=", "ya"], {"yaml"}), (["status", "--output", "="], {"table", "wide", "json", "yaml"}),
    (["objects", "put", "rules", "w"], {""}), (["certs", "put", "--cert", "/e"], {""}), (["upgrade", "/usr/"], {""}),
    (["drops", "--al"], {"--all"})])
def test_bash_completes(std, typed, wanted):
    """What it finds, or nothing: then the shell offers files, whose names it quotes."""
    done = subprocess.run(["bash", "-c", BASH, "x", BUILD / "sluicectl", std.socket, "sluicectl", *typed],
                          capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "-o default" in lines[0] and {line.removeprefix("found ") for line in lines[1:]} == wanted, done.stdout


@pytest.mark.parametrize("way", ["source", "fpath"])
def test_zsh_completes(std, tmp_path, way):
    """In a real zsh: commands, their words, options, and the words of those; as a script, or installed."""
    script = tmp_path / "_sluicectl"
    script.write_text(std.ctl("completion", "zsh")[1])
    (tmp_path / "sluicectl").symlink_to(BUILD / "sluicectl")
    terminal, inside = pty.openpty()
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(tmp_path)}
    shell = subprocess.Popen(["zsh", "-f", "-i"], stdin=inside, stdout=inside, stderr=inside, env=env,
                             start_new_session=True, preexec_fn=netns.die_with_parent)
    os.close(inside)

    def say(text, wanted):
        """Types; the screen then has what is wanted."""
        os.write(terminal, text.encode())
        seen = bytearray()

        def is_there():
            if select.select([terminal], [], [], 0.1)[0]:
                seen.extend(os.read(terminal, 65536))
            return wanted.encode() in seen
        try:
            until(is_there, f"{wanted!r}")
        except AssertionError:
            raise AssertionError(f"{text!r} gives {bytes(seen)!r}, not {wanted!r}") from None
    try:
        before, after = ("", f"source {script}; ") if way == "source" else (f"fpath=({tmp_path} $fpath); ", "")
        say(f"PS1='>''> '; {before}autoload -U compinit; compinit -u -D; {after}"
            "bindkey '^I' complete-word; show() { zle -I; print -r -- \"<$BUFFER>\" }; "
            "zle -N show; bindkey '^T' show; bindkey '^U' kill-whole-line; echo rea''dy\n", "ready")
        for typed, wanted in (("sluicectl roll", "rollback "), ("sluicectl certs del", "delete "),
                              ("sluicectl status --outp", "--output="), ("sluicectl -o js", "json ")):
            say(typed + "\t\x14", f"<{typed.rsplit(' ', 1)[0]} {wanted}>")
            say("\x15echo do''ne\n", "done")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def first_words(std, *words):
    """Of a command with --watch: what it prints until there are two looks."""
    process = subprocess.Popen([BUILD / "sluicectl", "--socket", std.socket, *words, "--watch=0.1", "-o", "yaml"],
                               stdout=subprocess.PIPE, text=True, preexec_fn=netns.die_with_parent)
    seen = []
    try:
        while seen.count("---\n") < 2:
            seen.append(process.stdout.readline())
            assert seen[-1], "it ended"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return list(yaml.safe_load_all("".join(seen)))[0]


@pytest.mark.parametrize("words, member", [
    (["rules"], "listeners"), (["rules", "https"], "listeners"), (["objects"], "objects"),
    (["objects", "listeners"], "objects"), (["objects", "show", "listeners/https"], "settings"),
    (["history"], "versions"), (["trust"], "trust_stores"), (["certs"], "certificates"), (["groups"], "target_groups")])
def test_lists_can_be_watched(std, words, member):
    assert member in first_words(std, *words)


@pytest.mark.parametrize("words", [["rules"], ["objects"], ["history"], ["trust"], ["policies"], ["connections"],
                                   ["certs"], ["desync"], ["deny", "list"], ["top", "sources"], ["export"]], ids=" ".join)
def test_lists_in_every_form(std, words):
    """JSON and YAML are the same document, tables are for people."""
    as_json, as_yaml = (std.ctl(*words, "-o", form)[1] for form in ("json", "yaml"))
    assert json.loads(as_json).keys() == yaml.safe_load(as_yaml).keys()
    for form in ("table", "wide"):
        assert std.ctl(*words, "-o", form)[1].strip() and not std.ctl(*words, "-o", form)[1].startswith("{")


def test_what_is_not_shown_is_not_watched(std):
    for words in (["rules", "test", "--url", "/"], ["objects", "delete", "rules", "web/x"], ["trust", "delete", "x"],
                  ["rollback"], ["drain"], ["deny", "add", "192.0.2.1"]):
        assert std.ctl(*words, "--watch", check=False)[0] == 2, words


def test_names_as_answers_have_them(std, tmp_path):
    """KIND/NAME is as good as KIND NAME, YAML as JSON, and a file that is neither is called that."""
    assert std.ctl("objects", "show", "listeners/https") == std.ctl("objects", "show", "listeners", "https")
    file = tmp_path / "rule"
    file.write_text('{"priority": 5, "target_group": "web"}')
    assert "add rules/https/new" in std.ctl("objects", "put", "--dry-run", "rules/https/new", file)[1]
    assert "there is no object rules/https/new" in std.ctl("objects", "delete", "rules/https/new", check=False)[2]
    for words in (["objects", "put", "rules/https/new"], ["objects", "show", "listeners"], ["objects", "delete", "/"]):
        assert std.ctl(*words, check=False)[0] == 2, words
    file.write_text("priority: 5\ntarget_group: web\n")
    assert "add rules/https/new" in std.ctl("objects", "put", "--dry-run", "rules/https/new", file)[1]
    file.write_text("priority 5\n")
    assert f"{file}:1:1: this is not settings" in std.ctl("objects", "put", "rules/https/new", file, check=False)[2]


def test_help_of_one_command(std):
    whole = std.ctl("help")[1]
    for words in (["help", "rules"], ["rules", "--help"], ["--help", "rules"]):
        out = std.ctl(*words)[1]
        assert out.startswith("usage: sluicectl [options] rules [LISTENER | test]\n") and out != whole
        assert "--url" in out and "--socket" in out and "--cert" not in out
    assert std.ctl("--help")[1] == whole
    code, _, error = std.ctl("help", "nonsense", check=False)
    assert code == 2 and 'there is no such command "nonsense"' in error
    assert '"target": is it targets?' in std.ctl("target", check=False)[2]


def test_support_dump(net, launch, tmp_path):
    """What is needed, and nothing that is secret: of the file, of objects made at run time, of their
    history, and of what was refused."""
    one = launch(config(net) | secret_words.settings(net))
    rule = {"priority": 9, "target_group": "web", "conditions": [{"header": {"name": "X", "values": ["SECRET"]}}]}
    for number in range(2):
        one.change("PUT", f"/v1/objects/rules/web/r{number}", rule | {"priority": 9 + number})
    one.write(config(net) | secret_words.settings(net) | {"alerts": {"webhook": "ftp://198.18.2.11:9/SECRET"}})
    assert one.ctl("reload", check=False)[0] == 1
    path = tmp_path / "dump.tar"
    assert str(path) in one.ctl("support-dump", str(path))[1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        files = {name.split("/")[1]: archive.extractfile(name).read() for name in archive.getnames()}
    assert {"status.json", "configuration.json", "metrics.txt", "host.txt", "history.json"} <= files.keys()
    assert json.loads(files["status.json"])["pid"] == one.process.pid
    assert b"sluice_requests_total" in files["metrics.txt"]
    assert "REDACTED" in json.loads(files["configuration.json"])["yaml"]
    found = [(name, content[max(0, content.index(word) - 80):][:160]) for name, content in files.items()
             for word in (b"SECRET", b"PRIVATE KEY") if word in content]
    assert found == []
    assert one.ctl("support-dump", str(path), check=False)[0] == 1, "nothing is overwritten"
    assert "SECRET" not in one.log(), "nor does the log have any"
