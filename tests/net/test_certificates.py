"""Certificates that come, change and go while clients are served: without a reload, without an
interruption, and never a pair that does not belong together."""
import os
import shutil
import ssl
import subprocess
import time

import pytest

from counts import count
from load import Load
from standard import CHECK, group, listener
from wire import TlsConnection, client_context, until

ALL = ["healthy"] * 3


@pytest.fixture
def folder(net):
    """A directory of certificates: empty, and gone after the test."""
    path = net.folder / "pairs"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    yield path
    os.system(f"chmod -R u+rwx '{path}'")
    shutil.rmtree(path)


def config(net, folder, **settings):
    return {"certificates": net.certificates("default") + [{"name": "many", "directory": str(folder)}],
            "target_groups": [group("web", "http", net.target_list(8080), CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default", "many"])]} | settings


def issue(net, *names, stem="new"):
    """A new pair with these names, outside of any directory that is looked at."""
    return net.ca.issue(f"aside/{stem}", *names)


@pytest.fixture(autouse=True)
def aside(net):
    (net.folder / "tls/aside").mkdir(exist_ok=True)


def put(pair, crt, key):
    """Both files into place by rename, as careful programs do."""
    for source, place in zip(pair, (crt, key)):
        new = place.with_name("." + place.name)
        shutil.copy(source, new)
        new.rename(place)


def served(net, name):
    """(names, serial number) of the certificate that a client with this server name gets."""
    with TlsConnection((net.v4, 443), name) as client:
        assert client.request().status == 200
        return client.names()[0], client.tls.getpeercert()["serialNumber"]


def is_served(net, name, pair_or_names):
    return lambda: served(net, name)[0] == pair_or_names


def directory(one):
    return one.api("/v1/certificates")["directories"][0]


def test_pairs_of_every_kind(net, launch, folder):
    """NAME.crt with NAME.key, one file with both, certbot's and Kubernetes' folders."""
    put(issue(net, "a.test"), folder / "a.crt", folder / "a.key")
    cert, key = issue(net, "both.test")
    (folder / "both.pem").write_bytes(key.read_bytes() + cert.read_bytes())
    (folder / "live/x").mkdir(parents=True)
    put(issue(net, "certbot.test"), folder / "live/x/fullchain.pem", folder / "live/x/privkey.pem")
    (folder / "k8s/..1").mkdir(parents=True)
    put(issue(net, "k8s.test", "*.k8s.test"), folder / "k8s/..1/tls.crt", folder / "k8s/..1/tls.key")
    (folder / "k8s/..data").symlink_to("..1")
    for file in ("tls.crt", "tls.key"):
        (folder / "k8s" / file).symlink_to(f"..data/{file}")
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    for name in ("a.test", "both.test", "certbot.test"):
        assert served(net, name)[0] == [name]
    assert served(net, "x.k8s.test")[0] == ["*.k8s.test", "k8s.test"]
    assert served(net, "unknown.test")[0] == ["default.sluice.test"]
    until(lambda: directory(one)["unchecked"] == 0, "all keys are looked at")
    row = directory(one)
    assert (row["pairs"], row["bad"], row["faulty"], row["listeners"]) == (4, 0, 0, ["web"])
    assert "many/live/x/fullchain" in one.ctl("certs")[1]


def test_come_change_and_go(net, launch, folder):
    """Without a reload: another generation each time, and only what changed is other than before."""
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    assert served(net, "a.test")[0] == ["default.sluice.test"]
    put(issue(net, "a.test"), folder / "a.crt", folder / "a.key")
    until(is_served(net, "a.test", ["a.test"]), "the new pair is served")
    with TlsConnection((net.v4, 443), "a.test") as old:
        serial = old.tls.getpeercert()["serialNumber"]
        put(issue(net, "a.test", "b.test"), folder / "a.crt", folder / "a.key")
        until(is_served(net, "b.test", ["a.test", "b.test"]), "the pair has another name")
        assert served(net, "a.test")[1] != serial
        (folder / "a.crt").unlink()
        (folder / "a.key").unlink()
        until(is_served(net, "a.test", ["default.sluice.test"]), "the pair is gone")
        assert old.request().status == 200
    (folder / "sub").mkdir()
    put(issue(net, "sub.test"), folder / "sub/x.crt", folder / "sub/x.key")
    until(is_served(net, "sub.test", ["sub.test"]), "a new folder is looked into")
    put(issue(net, "sub2.test"), folder / "sub/y.crt", folder / "sub/y.key")
    until(is_served(net, "sub2.test", ["sub2.test"]), "and watched from then on")
    shutil.rmtree(folder / "sub")
    until(is_served(net, "sub.test", ["default.sluice.test"]), "the folder is gone")
    assert directory(one)["pairs"] == 0 and one.api("/v1/certificates")["renewal"]["changes"] >= 5


def test_default_is_replaced(net, launch, folder):
    """A single pair of files, which is the default certificate."""
    cert, key = net.ca.issue("aside/moving", "one.test")
    net.certs["moving"] = (cert, key)
    one = launch(config(net, folder, certificates=net.certificates("moving"),
                        listeners=[listener("web", "https", 443, "web", certificates="moving")]))
    one.wait_states("web", ALL)
    assert served(net, "other.test")[0] == ["one.test"]
    put(issue(net, "two.test"), cert, key)
    until(is_served(net, "other.test", ["two.test"]), "the default certificate is another")


def test_kubernetes_swap(net, launch, folder):
    """Everything behind "..data" changes at once."""
    def generation(number, *names):
        (folder / f"k/..{number}").mkdir(parents=True)
        put(issue(net, *names), folder / f"k/..{number}/tls.crt", folder / f"k/..{number}/tls.key")
        (folder / "k/..tmp").symlink_to(f"..{number}")
        (folder / "k/..tmp").rename(folder / "k/..data")
    generation(1, "k.test")
    for file in ("tls.crt", "tls.key"):
        (folder / "k" / file).symlink_to(f"..data/{file}")
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    assert served(net, "k.test")[0] == ["k.test"]
    generation(2, "k.test", "k2.test")
    shutil.rmtree(folder / "k/..1")
    until(is_served(net, "k.test", ["k.test", "k2.test"]), "the new generation is served")
    assert directory(one)["faulty"] == 0


def test_half_a_pair(net, launch, folder):
    """A new certificate with the old key: the last good pair is served, with one clear line, until
    the key has come, too."""
    put(issue(net, "a.test"), folder / "a.crt", folder / "a.key")
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    _, serial = served(net, "a.test")
    cert, key = issue(net, "a.test")
    shutil.copy(cert, folder / "a.crt")
    until(lambda: directory(one)["faulty"] == 1, "the fault is reported", 10)
    fault = directory(one)["faults"][0]
    assert fault["file"] == "a.crt" and fault["last_good_served"]
    assert "does not belong to the certificate" in fault["fault"]
    assert served(net, "a.test")[1] == serial
    one.ctl("reload")
    assert served(net, "a.test")[1] == serial
    assert one.log().count("does not belong to the certificate") == 1
    shutil.copy(key, folder / "a.key")
    until(lambda: served(net, "a.test")[1] != serial, "the new pair is served")
    assert directory(one)["faulty"] == 0


BROKEN = {
    "truncated": lambda cert, key, stem: (stem.with_suffix(".crt").write_bytes(cert[:100]),
                                          stem.with_suffix(".key").write_bytes(key)),
    "no-key": lambda cert, key, stem: stem.with_suffix(".crt").write_bytes(cert),
    "swapped": lambda cert, key, stem: (stem.with_suffix(".crt").write_bytes(key),
                                        stem.with_suffix(".key").write_bytes(cert)),
    "der": lambda cert, key, stem: (stem.with_suffix(".crt").write_bytes(ssl.PEM_cert_to_DER_cert(cert.decode())),
                                    stem.with_suffix(".key").write_bytes(key)),
    "empty": lambda cert, key, stem: stem.with_suffix(".pem").touch(),
    "large": lambda cert, key, stem: os.truncate(os.open(stem.with_suffix(".pem"), os.O_CREAT | os.O_WRONLY), 10 << 20),
    "self": lambda cert, key, stem: stem.with_suffix(".crt").symlink_to(stem.with_suffix(".crt").name),
    "lonely": lambda cert, key, stem: stem.with_suffix(".key").write_bytes(key),
    "loop": lambda cert, key, stem: stem.symlink_to("."),
    "mismatch": lambda cert, key, stem: (stem.with_suffix(".crt").write_bytes(cert),
                                         stem.with_suffix(".key").write_bytes(OTHER_KEY[0])),
}
OTHER_KEY = []


def test_a_thousand_broken_files(net, launch, folder):
    """Of every kind: they are counted, the first hundred named, and the good ones served."""
    OTHER_KEY[:] = [net.certs["www"][1].read_bytes()]
    cert, key = (path.read_bytes() for path in issue(net, "broken.test"))
    for number in range(1000):
        kind = list(BROKEN)[number % len(BROKEN)]
        BROKEN[kind](cert, key, folder / f"{kind}-{number}")
    for number in range(20):
        (folder / f"fine-{number}.crt").write_bytes(cert)
        (folder / f"fine-{number}.key").write_bytes(key)
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    until(lambda: directory(one)["unchecked"] == 0, "all keys are looked at")
    assert served(net, "broken.test")[0] == ["broken.test"]
    row = directory(one)
    assert row["faulty"] == 900 and row["bad"] == 100 and row["pairs"] == 120
    assert len(row["faults"]) == 100
    lines = [line for line in one.log().splitlines() if " certificates: many: " in line]
    assert len(lines) == 101 and "800 more pairs are bad" in lines[-1], lines[-3:]
    one.ctl("reload")
    lines = [line for line in one.log().splitlines() if " certificates: many: " in line]
    assert len(lines) <= 101 + 1, "the same faults are not told twice"
    assert served(net, "broken.test")[0] == ["broken.test"]


def test_unreadable_and_vanishing(net, launch, folder):
    """A directory that goes away leaves what was good in force; a configuration without it is refused."""
    put(issue(net, "a.test"), folder / "a.crt", folder / "a.key")
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    away = folder.with_name("pairs-away")
    folder.rename(away)
    status, out, err = one.ctl("reload", check=False)
    assert status != 0 and "cannot read the directory" in out + err
    assert served(net, "a.test")[0] == ["a.test"]
    away.rename(folder)
    put(issue(net, "a.test", "b.test"), folder / "a.crt", folder / "a.key")
    until(is_served(net, "b.test", ["a.test", "b.test"]), "it is back and watched")
    one.ctl("reload")


def self_signed(name, start, end, crt, key):
    """A pair with these dates (seconds from now), into place key first."""
    dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + at)) for at in (start, end)]
    new = [path.with_name("." + path.name) for path in (crt, key)]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-not_before", dates[0],
                    "-not_after", dates[1], "-out", str(new[0]), "-keyout", str(new[1])],
                   check=True, capture_output=True)
    new[1].rename(key)
    new[0].rename(crt)


def test_no_worse_replacement(net, launch, folder):
    """An expired certificate does not replace a good one; one that is not valid yet does when its time
    has come, without anybody touching it."""
    put(issue(net, "a.test"), folder / "a.crt", folder / "a.key")
    put(issue(net, "b.test"), folder / "b.crt", folder / "b.key")
    one = launch(config(net, folder))
    one.wait_states("web", ALL)
    before = served(net, "a.test")
    self_signed("a.test", -1000000, -1000, folder / "a.crt", folder / "a.key")
    self_signed("b.test", 5, 1000000, folder / "b.crt", folder / "b.key")
    until(lambda: directory(one)["faulty"] == 2, "both are faults", 10)
    faults = {fault["file"]: fault for fault in directory(one)["faults"]}
    assert "expired on" in faults["a.crt"]["fault"] and faults["a.crt"]["last_good_served"]
    assert "is not valid before" in faults["b.crt"]["fault"]
    assert served(net, "a.test") == before
    until(lambda: directory(one)["faulty"] == 1, "its time has come", 30)
    assert directory(one)["faults"][0]["file"] == "a.crt"
    assert one.log().count("is not valid before") == 1


def test_index(net, launch, folder, tmp_path):
    """A start with the index serves the same; a damaged one is ignored, with one warning."""
    index = net.folder / "certs.idx"
    index.unlink(missing_ok=True)
    for number in range(5):
        put(issue(net, f"n{number}.test"), folder / f"n{number}.crt", folder / f"n{number}.key")
    with_index = config(net, folder) | {"certificates_index": str(index)}
    one = launch(with_index)
    one.wait_states("web", ALL)
    until(index.exists, "the index is written")
    assert index.stat().st_mode & 0o777 == 0o600
    put(issue(net, "n0.test", "more.test"), folder / "n0.crt", folder / "n0.key")
    net.halt()
    put(issue(net, "n1.test", "changed.test"), folder / "n1.crt", folder / "n1.key")
    gone_pair = ssl.PEM_cert_to_DER_cert((folder / "n2.crt").read_text())
    assert gone_pair in index.read_bytes()
    (folder / "n2.crt").unlink()
    (folder / "n2.key").unlink()
    one = launch(with_index)
    one.wait_states("web", ALL)
    assert served(net, "more.test")[0] == ["more.test", "n0.test"]
    assert served(net, "changed.test")[0] == ["changed.test", "n1.test"]
    assert served(net, "n2.test")[0] == ["default.sluice.test"]
    assert served(net, "n4.test")[0] == ["n4.test"]
    until(lambda: gone_pair not in index.read_bytes(), "the pair that is gone is out of the index")
    net.halt()
    for damage in (lambda b: b[:len(b) // 2], lambda b: b[:300] + b"x" + b[301:], lambda b: b""):
        index.write_bytes(damage(index.read_bytes()))
        one = launch(with_index)
        one.wait_states("web", ALL)
        assert served(net, "n4.test")[0] == ["n4.test"]
        assert one.log().count("is not used, and made anew") == 1
        until(lambda: index.stat().st_size > 1000, "it is made anew")
        net.halt()
    one = launch(with_index)
    one.wait_states("web", ALL)
    without = with_index | {"certificates": net.certificates("default")}
    one.reload(without | {"listeners": [listener("web", "https", 443, "web", certificates="default")]})
    until(lambda: not index.exists(), "no directory, no index, no keys in it")


def test_swaps_under_load(net, launch, folder):
    """Kept-alive connections and new ones while the default and others are replaced again and again:
    nothing fails, nothing is closed."""
    cert, key = net.ca.issue("aside/moving", "default.test")
    net.certs["moving"] = (cert, key)
    pairs = [net.ca.issue(f"aside/swap{n}", "a.test", "*.w.test") for n in range(4)]
    defaults = [net.ca.issue(f"aside/default{n}", "default.test") for n in range(4)]
    put(pairs[0], folder / "a.crt", folder / "a.key")
    one = launch(config(net, folder, certificates=net.certificates("moving") +
                        [{"name": "many", "directory": str(folder)}],
                        listeners=[listener("web", "https", 443, "web", certificates=["moving", "many"])]))
    one.wait_states("web", ALL)
    before = one.api("/v1/certificates")["renewal"]["changes"]
    kept = Load((net.v4, 443), count("keep_alive_connections") // 4, count("load_interval_ms"),
                client_context(), "a.test")
    named = Load((net.v4, 443), 4, 20, client_context(), "x.w.test", is_new_each=True)
    unnamed = Load((net.v4, 443), 4, 20, client_context(), "unknown.test", is_new_each=True)
    with kept, named, unnamed:
        for number in range(count("certificate_swaps")):
            serial = served(net, "a.test")[1]
            put(pairs[(number + 1) % len(pairs)], folder / "a.crt", folder / "a.key")
            put(defaults[number % len(defaults)], cert, key)
            until(lambda: served(net, "a.test")[1] != serial, "the new pair is served")
        until(lambda: all(load.ok > 10 for load in (kept, named, unnamed)), "requests all the while")
    for load in (kept, named, unnamed):
        assert load.failures == [] and load.closed == 0
    assert one.api("/v1/certificates")["renewal"]["changes"] >= before + count("certificate_swaps")
