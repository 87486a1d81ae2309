"""Objects made through the admin API while clients are served: certificates put, listeners changed,
versions kept over restarts and crashes, rolled back."""
import concurrent.futures
import os
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import yaml

from client_pki import Identity, pem
from counts import count
from load import Load
from sluiced import BUILD
from standard import CHECK, group, listener
from wire import TlsConnection, client_context, until

ALL = ["healthy"] * 3


def config(net, **settings):
    return {"certificates": net.certificates("default", "www"),
            "target_groups": [group("web", "http", net.target_list(8080), CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default"])]} | settings


@pytest.fixture
def one(net, launch):
    one = launch(config(net))
    one.wait_states("web", ALL)
    return one


def pair(net, *names, stem="put"):
    """A new pair as the body of a request."""
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    cert, key = net.ca.issue(f"aside/{stem}", *names)
    return {"certificate": cert.read_text(), "key": key.read_text()}


def served(net, name, context=None):
    with TlsConnection((net.v4, 443), name, context or client_context()) as client:
        assert client.request().status == 200
        return client.names()[0]


def objects(one):
    return {(o["kind"], o["name"]): o["origin"] for o in one.api("/v1/objects")["objects"]}


def kept(one, folder):
    return sorted(os.listdir(Path(one.base["state_dir"]) / "objects" / folder))


def test_certificate_comes_and_goes(net, one):
    """Put, associated, made the default, replaced, removed, deleted; each at once, on one kept-alive
    connection that nothing touches."""
    with TlsConnection((net.v4, 443), "x.test") as old:
        answer = one.change("PUT", "/v1/certificates/shop", pair(net, "shop.test"))
        assert answer["result"] == "applied" and answer["version"] == 1
        assert [c["op"] for c in answer["changes"]] == ["add"] and answer["changes"][0]["fingerprint"]
        assert served(net, "shop.test") == ["default.sluice.test"]
        one.change("POST", "/v1/listeners/web/certificates", {"add": ["shop"]})
        assert served(net, "shop.test") == ["shop.test"]
        one.change("PUT", "/v1/certificates/shop", pair(net, "shop.test", "more.test"))
        assert served(net, "more.test") == ["more.test", "shop.test"]
        one.change("POST", "/v1/listeners/web/certificates", {"default": "shop"})
        assert served(net, "unknown.test") == ["more.test", "shop.test"]
        status, answer, _ = one.ask("DELETE", "/v1/certificates/shop")
        assert status == 422 and "object listeners/web:" in answer["error"]["errors"][0]
        status, answer, _ = one.ask("POST", "/v1/listeners/web/certificates", {"remove": ["shop"]})
        assert status == 409 and answer["error"]["code"] == "is_default"
        one.change("POST", "/v1/listeners/web/certificates", {"remove": ["shop"], "default": "default"})
        assert served(net, "more.test") == ["default.sluice.test"]
        assert one.change("DELETE", "/v1/certificates/shop")["changes"][0]["op"] == "delete"
        assert old.request().status == 200
    assert objects(one)["certificates", "www"] == "file"
    assert objects(one)["listeners", "web"] == "both"


def test_nothing_bad_is_taken(net, one):
    """What is refused leaves no trace: on disk, in the history, in what is served."""
    good, other = pair(net, "a.test"), pair(net, "b.test", stem="other")
    one.change("PUT", "/v1/certificates/www", good)
    one.change("POST", "/v1/listeners/web/certificates", {"add": ["www"]})
    blobs, versions = kept(one, "blobs"), kept(one, "versions")
    for body, code, text in (
            (good | {"key": other["key"]}, 422, "does not belong to the certificate"),
            (good | {"certificate": good["certificate"][:200]}, 422, "object certificates/www:"),
            ({"certificate": good["certificate"]}, 400, "PEM"),
            ({"key": 1, "certificate": 2}, 400, "PEM")):
        status, answer, _ = one.ask("PUT", "/v1/certificates/www", body)
        assert status == code and text in str(answer), answer
        assert good["key"][60:100] not in str(answer)
    for method, path, body, code, text in (
            ("PUT", "/v1/objects/listeners/web", {"tls": {"policy": "none"}}, 422,
             "object listeners/web:3:15: listeners[web].tls.policy"),
            ("PUT", "/v1/objects/listeners/web", {"tls": {"polcy": "default"}}, 422, "did you mean"),
            ("PUT", "/v1/objects/trust_stores/x", {"ca": {"content": "no PEM"}}, 422, "trust_stores[x]"),
            ("PUT", "/v1/objects/trust_stores/x", {"ca": {"content": 5}}, 422, "content"),
            ("PUT", "/v1/objects/trust_stores/x", {"ca": {"blob": "a" * 64}}, 422, "blob"),
            ("PUT", "/v1/objects/things/x", {}, 404, "no objects of kind"),
            ("PATCH", "/v1/objects/certificates/none", {}, 404, "put it whole"),
            ("DELETE", "/v1/objects/certificates/none", None, 404, "there is no object"),
            ("DELETE", "/v1/objects/certificates/default", None, 409, "sluiced.yaml"),
            ("POST", "/v1/listeners/none/certificates", {"add": ["www"]}, 404, "no listener"),
            ("POST", "/v1/listeners/web/certificates", {"remove": ["x"]}, 404, "no certificate"),
            ("POST", "/v1/rollback?to=9", None, 404, "no version 9"),
            ("POST", "/v1/objects", {"changes": [
                {"op": "put", "kind": "certificates", "name": "fine", "settings": {
                    "cert": {"content": other["certificate"]}, "key": {"content": other["key"]}}},
                {"op": "delete", "kind": "certificates", "name": "none"}]}, 404, "no object")):
        status, answer, _ = one.ask(method, path, body)
        assert status == code and text in str(answer), (path, answer)
    _, answer, _ = one.ask("PUT", "/v1/objects/listeners/web", {"tls": {"policy": "none"}})
    assert answer["status"] == 422 and answer["code"] == "config_invalid"
    assert answer["errors"][0] == {"detail": answer["errors"][0]["detail"], "field": "listeners[web].tls.policy",
                                   "source": "object listeners/web", "line": 3, "column": 15}
    deep = "[" * 100000
    status, _, _ = one.ask("PUT", "/v1/objects/listeners/web", {"tls": deep})
    assert status == 422
    assert (kept(one, "blobs"), kept(one, "versions")) == (blobs, versions)
    assert one.api("/v1/history")["version"] == 2
    assert served(net, "a.test") == ["a.test"]


def test_dry_run(net, one):
    answer = one.change("PUT", "/v1/certificates/www?dry_run=1", pair(net, "a.test"))
    assert answer["result"] == "valid" and answer["changes"][0]["name"] == "www"
    assert kept(one, "blobs") == [] and one.api("/v1/history")["versions"] == []
    body = pair(net, "a.test")
    status, _, _ = one.ask("PUT", "/v1/certificates/www?dry_run=1", body | {"key": "x"})
    assert status == 422 and objects(one)["certificates", "www"] == "file"


def test_etags(net, one):
    """Of two who change the same object, the second one hears of the first."""
    status, _, etag = one.ask("GET", "/v1/objects/certificates/www")
    assert status == 200 and etag
    body = pair(net, "a.test")
    status, _, fresh = one.ask("PUT", "/v1/certificates/www", body, If_Match=etag)
    assert status == 200 and fresh != etag
    status, answer, _ = one.ask("PUT", "/v1/certificates/www", body, If_Match=etag)
    assert status == 412 and fresh.strip('"') in answer["error"]["message"]
    assert one.ask("PUT", "/v1/certificates/www", body, If_Match=fresh)[1]["result"] == "unchanged"
    assert one.ask("PUT", "/v1/certificates/www", body, If_None_Match="*")[0] == 412
    assert one.ask("PUT", "/v1/certificates/new", body, If_Match="*")[0] == 412
    assert one.ask("PUT", "/v1/certificates/new", body, If_None_Match="*")[0] == 200
    version = one.ask("GET", "/v1/objects")[2]
    batch = {"changes": [{"op": "delete", "kind": "certificates", "name": "new"}]}
    assert one.ask("POST", "/v1/objects", batch, If_Match='"v1"')[0] == 412
    assert one.ask("POST", "/v1/objects", batch, If_Match=version)[0] == 200
    assert one.ask("PUT", "/v1/certificates/www", body, If_Match="bare")[0] == 400


def test_history_and_rollback(net, one):
    for name in ("a.test", "b.test", "c.test"):
        one.change("PUT", "/v1/certificates/default", pair(net, name))
    assert served(net, "x.test") == ["c.test"]
    history = one.api("/v1/history")["versions"]
    assert [v["version"] for v in history] == [3, 2, 1] and history[0]["in_force"]
    assert history[0]["uid"] == os.getuid() and history[0]["pid"] == os.getpid()
    assert history[2]["changes"][0]["op"] == "add" and history[0]["changes"][0]["op"] == "change"
    assert len({v["changes"][0]["fingerprint"] for v in history}) == 3
    assert one.change("POST", "/v1/rollback")["version"] == 4
    assert served(net, "x.test") == ["b.test"]
    one.change("POST", "/v1/rollback?to=1")
    assert served(net, "x.test") == ["a.test"]
    assert one.api("/v1/history")["versions"][0]["rollback_to"] == 1
    one.change("POST", "/v1/rollback?to=0")
    assert served(net, "x.test") == ["default.sluice.test"]


def test_restart_keeps_them(net, one, launch):
    """An orderly one, and after kill -9; and a reload of a changed file keeps them on top."""
    one.change("PUT", "/v1/certificates/default", pair(net, "a.test"))
    one.change("PUT", "/v1/objects/target_groups/extra",
               {"protocol": "http", "targets": [], "health_check": {"protocol": "off"}})
    for _ in range(2):
        one.kill9()
        one.start()
        one.wait_states("web", ALL)
        assert served(net, "x.test") == ["a.test"]
        assert objects(one)["target_groups", "extra"] == "api"
    one.reload(config(net, listeners=[
        listener("web", "https", 443, "web", certificates=["default", "www"])]))
    assert served(net, "x.test") == ["a.test"]
    assert served(net, "www.sluice.test") == ["www.sluice.test"]
    one.change("DELETE", "/v1/objects/certificates/default")
    assert served(net, "x.test") == ["default.sluice.test"]
    assert one.api("/v1/history")["version"] == 3


def test_unfinished_file_is_not_read(net, one):
    """A change is laid over the file in force, not over what an editor is writing there."""
    one.file.write_text("listeners: [")
    one.change("PUT", "/v1/certificates/default", pair(net, "a.test"))
    assert served(net, "x.test") == ["a.test"]
    status, _, err = one.ctl("reload", check=False)
    assert status == 1 and "sluiced.yaml" in err
    assert served(net, "x.test") == ["a.test"]


def test_old_versions_go(net, launch):
    one = launch(config(net, history=3))
    one.wait_states("web", ALL)
    for number in range(5):
        one.change("PUT", "/v1/certificates/default", pair(net, f"n{number}.test"))
    assert [v["version"] for v in one.api("/v1/history")["versions"]] == [5, 4, 3]
    assert len(kept(one, "versions")) == 3 and len(kept(one, "blobs")) == 6
    one.change("POST", "/v1/rollback?to=3")
    assert served(net, "x.test") == ["n2.test"]
    assert one.ask("POST", "/v1/rollback?to=2")[0] == 404


def test_disk_full(net, one):
    """No room for a version: refused, and what was in force stays, on disk, too."""
    state = Path(one.base["state_dir"])
    one.change("PUT", "/v1/certificates/default", pair(net, "a.test"))
    assert one.change("PUT", "/v1/certificates/default", pair(net, "b.test"))["version"] == 2
    one.stop()
    saved = state.with_suffix(".saved")
    shutil.rmtree(saved, ignore_errors=True)
    shutil.copytree(state, saved)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "none", state], check=True)
    try:
        shutil.copytree(saved, state, dirs_exist_ok=True)
        one.start()
        one.wait_states("web", ALL)
        last = ["b.test"]
        (state / "filler").write_bytes(b"x" * 4096)
        for number in range(20):
            status, answer, _ = one.ask("PUT", "/v1/certificates/default", pair(net, f"n{number}.test"))
            if status != 200:
                break
            last = [f"n{number}.test"]
        assert status == 507 and "No space left" in answer["error"]["message"]
        before = one.api("/v1/history")["version"]
        assert served(net, "x.test") == last
        one.kill9()
        one.start()
        assert served(net, "x.test") == last and one.api("/v1/history")["version"] == before
        (state / "filler").unlink()
        one.stop()
    finally:
        one.discard()
        subprocess.run(["umount", state], check=True)
        shutil.rmtree(saved)


def test_null_takes_a_setting_of_the_file_away(net, launch):
    """Whether the API has touched the listener before or not."""
    one = launch(config(net, listeners=[
        listener("web", "https", 443, "web", certificates=["default"],
                 tls={"policy": "TLS13-1-3-2021-06", "existing": "drain"})]))
    one.wait_states("web", ALL)

    def tls():
        return one.api("/v1/objects/listeners/web")["settings"].get("tls")

    one.change("POST", "/v1/listeners/web/certificates", {"add": ["www"]})
    assert tls() == {"policy": "TLS13-1-3-2021-06", "existing": "drain"}
    assert one.change("PATCH", "/v1/objects/listeners/web", {"tls": {"policy": None}})["result"] == "applied"
    assert tls() == {"existing": "drain"}
    one.change("PATCH", "/v1/objects/listeners/web", {"tls": None})
    assert tls() is None
    one.change("PUT", "/v1/objects/listeners/web", {"certificates": ["www"]})
    assert tls() == {"policy": "TLS13-1-3-2021-06", "existing": "drain"}


def test_head_cannot_be_written(net, one):
    """In force but not kept is said each time it is asked for, until it is kept."""
    head = Path(one.base["state_dir"]) / "objects/HEAD"
    one.change("PUT", "/v1/certificates/default", pair(net, "a.test"))
    head.rename(head.with_name("aside"))
    head.mkdir()  # no file can take its name
    body = pair(net, "b.test")
    for _ in range(2):
        status, answer, _ = one.ask("PUT", "/v1/certificates/default", body)
        assert status == 500 and answer["error"]["code"] == "not_kept", answer
        assert served(net, "x.test") == ["b.test"]
    head.rmdir()
    head.with_name("aside").rename(head)
    assert one.change("PUT", "/v1/certificates/default", body)["result"] == "unchanged"
    one.kill9()
    one.start()
    one.wait_states("web", ALL)
    assert served(net, "x.test") == ["b.test"]


def test_switches_under_load(net, one, tmp_path):
    """Default certificate, policy, trust stores and mode of client certificates, switched again and
    again: no handshake fails, no connection is closed, everybody sees a whole state."""
    root, other = Identity("Root"), Identity("Other Root")
    cert, key = root.client("good").write(tmp_path)
    bodies = [pair(net, f"d{n}.test", stem=f"d{n}") for n in range(3)]
    context = client_context()
    context.load_cert_chain(cert, key)
    kept_alive = Load((net.v4, 443), count("keep_alive_connections") // 4, count("load_interval_ms"),
                      context, "x.test")
    new = Load((net.v4, 443), 4, 20, context, "y.test", is_new_each=True)
    with kept_alive, new:
        for number in range(count("certificate_swaps")):
            cas = pem(root.cert, other.cert) if number % 2 else pem(root.cert)
            mode = "optional" if number % 2 else "verify"
            one.change("PUT", "/v1/certificates/default", bodies[number % len(bodies)])
            one.change("PUT", "/v1/objects/trust_stores/staff", {"ca": {"content": cas.decode()}})
            one.change("PATCH", "/v1/objects/listeners/web", {
                "client_auth": {"mode": mode, "trust_store": "staff"},
                "tls": {"policy": "TLS13-1-2-2021-06" if number % 2 else "sluice-tls13-2026-11"}})
            assert served(net, "x.test", context) == [f"d{number % len(bodies)}.test"]
        until(lambda: kept_alive.ok > 10 and new.ok > 10, "requests all the while")
    assert new.failures == [] and new.closed == 0
    plain = client_context()
    last_is_verify = count("certificate_swaps") % 2 == 1
    if last_is_verify:
        with pytest.raises((ssl.SSLError, OSError, EOFError)):
            served(net, "x.test", plain)


def test_reloads_wait_in_line(net, one):
    """As changes do: nobody is sent away because somebody else is being served."""
    def ask(number):
        if number % 2:
            return one.ask("POST", "/v1/reload")[0]
        return one.ask("PUT", f"/v1/objects/target_groups/g{number}", dict(group("x", "http", [], CHECK), name=f"g{number}"))[0]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [200] * 12
    assert one.generation() == 13 and one.api("/v1/history")["version"] == 6


def test_dry_run_is_not_logged(net, launch):
    """A bad file of a directory is told when a reload finds it, not by one that only looks."""
    folder = net.folder / "tls/many"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings = config(net)
    settings["certificates"].append({"name": "many", "directory": str(folder)})
    settings["listeners"][0]["certificates"].append("many")
    one = launch(config(net))
    (folder / "bad.crt").write_text("no certificate")
    (folder / "bad.key").write_text("no key")
    one.write(settings)
    assert one.ask("POST", "/v1/reload?dry_run=1")[0] == 200
    assert one.ask("POST", "/v1/reload")[0] == 200
    until(lambda: "bad.crt" in one.log(), "it is in the log")
    assert sum("bad.crt" in line for line in one.log().splitlines()) == 1
    cache = one.api("/v1/status")["certificate_cache"]
    assert cache["per_worker"] == 4096 and cache["hits"] + cache["misses"] == 0
    served(net, "www.sluice.test")
    cache = one.api("/v1/status")["certificate_cache"]
    assert cache["held"] == 1 and cache["misses"] == 1 and cache["hits"] in (0, 1)
    assert one.api("/v1/status")["memory"]["certificates_bytes"] > 1000


def check(one, *options):
    done = subprocess.run([BUILD / "sluiced", "--check", *options, one.file], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_check_looks_at_objects_too(net, one):
    """What a start would make of a file: with what was made through the API, beside a running daemon."""
    assert "admin API" not in check(one)[1]
    one.change("PUT", "/v1/certificates/shop", pair(net, "shop.test"))
    one.change("POST", "/v1/listeners/web/certificates", {"add": ["shop"]})
    status, out, err = check(one)
    assert status == 0, err
    assert out.splitlines()[1:] == ["with version 2 of the objects made through the admin API: 2",
                                    "  certificates/shop", "  listeners/web (over the file's)"]
    status, out, err = check(one, "--print")
    assert "#   certificates/shop" in out and yaml.safe_load(out)["listeners"][0]["certificates"] == ["default", "shop"]
    other = config(net)
    other["listeners"][0]["certificates"] = ["www"]
    del other["certificates"][0]  # the API's patch of the listener still names it
    one.write(other)
    status, out, err = check(one)
    assert status == 1 and "default" in err and "admin API" in err, (out, err)
    one.write(config(net))
    assert one.change("DELETE", "/v1/objects/listeners/web")["version"] == 3  # nothing was locked or removed


def test_other_daemon_keeps_off(net, one, launch):
    """The folder belongs to one process."""
    one.change("PUT", "/v1/certificates/default", pair(net, "a.test"))
    second = one.file.with_name("second.yaml")
    text = one.file.read_text().replace(str(one.socket), str(one.socket) + "2")
    second.write_text(text)
    import netns
    from sluiced import BUILD
    done = subprocess.run(netns.inside(net.lb, str(BUILD / "sluiced"), "--config", str(second)),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "another sluiced has the folder" in done.stderr
    assert served(net, "x.test") == ["a.test"]


def test_sluicectl(net, one, tmp_path):
    """The same from a shell: certificates, trust stores, any object, history, rollback."""
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    cert, key = (str(path) for path in net.ca.issue("aside/shell", "shop.test"))
    put = ["certs", "put", "shop", "--cert", cert, "--key", key]
    assert "would" in one.ctl(*put, "--dry-run")[1] and objects(one).get(("certificates", "shop")) is None
    assert "version 1 is in force" in one.ctl(*put)[1]
    assert "nothing to change" in one.ctl(*put)[1]
    one.ctl("certs", "add", "web", "shop")
    assert served(net, "shop.test") == ["shop.test"]
    assert "shop.test" in one.ctl("certs", "show", "shop")[1]
    assert "listeners      web" in one.ctl("certs", "show", "shop")[1]
    one.ctl("certs", "default", "web", "shop")
    assert served(net, "unknown.test") == ["shop.test"]
    status, _, err = one.ctl("certs", "remove", "web", "shop", check=False)
    assert status == 1 and "is the default" in err
    one.ctl("certs", "default", "web", "default")
    one.ctl("certs", "remove", "web", "shop", "--existing", "keep")
    one.ctl("certs", "delete", "shop")
    assert one.ctl("certs", "show", "shop", check=False)[0] == 1
    ca = Identity("Root")
    (tmp_path / "ca.pem").write_bytes(pem(ca.cert))
    one.ctl("trust", "put", "staff", "--ca", str(tmp_path / "ca.pem"))
    assert "CN=Root" in one.ctl("trust", "show", "staff")[1]
    (tmp_path / "web.json").write_text('{"client_auth": {"mode": "verify", "trust_store": "staf"}}')
    status, _, err = one.ctl("objects", "patch", "listeners", "web", str(tmp_path / "web.json"), check=False)
    line = next(line for line in err.splitlines() if line.startswith("object listeners/web:"))
    assert status == 1 and 'no "staf"' in line
    (tmp_path / "web.json").write_text('{"client_auth": {"mode": "optional", "trust_store": "staff"}}')
    one.ctl("objects", "patch", "listeners", "web", str(tmp_path / "web.json"))
    assert '"mode": "optional"' in one.ctl("objects", "show", "listeners", "web")[1]
    assert "both" in one.ctl("objects", "listeners")[1]
    assert one.ctl("trust", "delete", "staff", check=False)[0] == 1
    (tmp_path / "web.yaml").write_text("# as in the file\nclient_auth: {mode: verify, trust_store: staff}\n"
                                       "limits:\n  connections: 900\n")
    assert "would" in one.ctl("objects", "patch", "listeners", "web", str(tmp_path / "web.yaml"), "--dry-run")[1]
    for text, complaint in (("a: 1\nb: [1, 2\nc: 3\n", "web.yaml:"), ("- a\n", "web.yaml:1:1: this is not settings"),
                            ("", "web.yaml:1:1: this is not settings"), ('{"a": 1', "web.yaml:2:1: not valid YAML"), ("a\n", "web.yaml:1:1:"),
                            ("a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
                                f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n"
                                for i in range(6)), "too many values")):
        (tmp_path / "web.yaml").write_text(text)
        status, _, err = one.ctl("objects", "put", "listeners", "web", str(tmp_path / "web.yaml"), check=False)
        assert status == 1 and complaint in err and err.count("\n") == 1, err
    done = subprocess.run([BUILD / "sluicectl", "--socket", one.socket, "objects", "patch", "listeners/web", "-", "--dry-run"],
                          input="{limits: {connections: nine}, }", capture_output=True, text=True)
    assert done.returncode == 1 and "connections" in done.stderr and "nine" in done.stderr, done.stderr
    out = one.ctl("history")[1]
    assert out.startswith("version 8 (in force)") and "add trust_stores/staff" in out
    one.ctl("rollback", "2")
    assert served(net, "shop.test") == ["shop.test"]
    one.ctl("rollback", "0")
    assert served(net, "shop.test") == ["default.sluice.test"]
    gone = str(tmp_path / "gone.pem")
    for path, text in ((gone, "No such file or directory"), (str(tmp_path), "Is a directory")):
        status, _, err = one.ctl("certs", "put", "x", "--cert", cert, "--key", path, check=False)
        assert status != 0 and err == f"sluicectl: {path}: {text}\n"
    for words in (["certs", "put", "x"], ["certs", "what"], ["trust", "put", "x"], ["objects", "put"],
                  ["certs", "--dry-run"], ["status", "--cert", "x"], ["certs", "add", "web"]):
        assert one.ctl(*words, check=False)[0] == 2, words


def test_inventory_does_not_end(net, launch):
    """More than a page: sluicectl lists them all, each once."""
    folder = net.folder / "inventory"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    cert, key = net.ca.issue("aside/many", "many.test")
    both = cert.read_bytes() + key.read_bytes()
    for number in range(1100):
        (folder / f"n{number}.pem").write_bytes(both)
    one = launch(config(net, certificates=net.certificates("default", "www")
                        + [{"name": "many", "directory": str(folder)}]))
    page = one.api("/v1/certificates?limit=10&after=5")
    assert len(page["certificates"]) == 10 and page["total"] == 1102 and page["next"] == 15
    import json
    rows = json.loads(one.ctl("-o", "json", "certs")[1])["certificates"]
    assert len(rows) == 1102 and len({row["name"] for row in rows}) == 1102
    assert one.api("/v1/certificates?name=many/n7")["certificates"][0]["name"] == "many/n7"
    shutil.rmtree(folder)


def test_which_certificate(net, launch):
    """What is told is what is served: exact before wildcard before default, and by what the client
    can use."""
    names = ["default", "www", "www-rsa", "wild", "exact"]
    one = launch(config(net, certificates=net.certificates(*names), listeners=[
        listener("web", "https", 443, "web", certificates=names)]))
    one.wait_states("web", ALL)

    def told(host, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return one.api(f"/v1/certificate-choice?host={host}&{text}")["listeners"][0]

    for host in ("www.sluice.test", "a.wild.sluice.test", "exact.wild.sluice.test", "unknown.test"):
        row = next(r for r in one.api("/v1/certificates")["certificates"] if r["name"] == told(host)["chosen"])
        assert row["names"] == served(net, host), host
    www = told("www.sluice.test")
    assert [c["name"] for c in www["candidates"]][:2] == ["www", "www-rsa"]
    assert "ECDSA goes before" in www["candidates"][1]["why"]
    assert told("www.sluice.test", sigalgs="rsa_pss_rsae_sha256")["chosen"] == "www-rsa"
    assert told("www.sluice.test", tls="1.2", sigalgs="rsa_pkcs1_sha256")["chosen"] == "www-rsa"
    out = one.ctl("certs", "for", "www.sluice.test", "--listener", "web", "--sigalgs", "rsa_pss_rsae_sha256")[1]
    assert "the client cannot use its kind of key" in out and "served: it has the very name" in out
    assert one.ctl("certs", "for", "x", "--listener", "none", check=False)[0] == 1
    assert one.ctl("certs", "for", "x", "--sigalgs", "what", check=False)[0] == 1
