"""Where keys come from: encrypted PEM and PKCS#12 with passwords of every kind, and a PKCS#11 token
(SoftHSM) that loses a key and gets it back."""
import base64
import json
import ssl
import subprocess
from pathlib import Path

import pytest

from sluiced import BUILD
from standard import group, listener
from tokens import PIN, SOFTHSM, Token, needs_token, run, state
from wire import TlsConnection, client_context, until

WORDS = "open sesame"


@pytest.fixture
def aside(net):
    path = net.folder / "tls/aside"
    path.mkdir(exist_ok=True)
    return path


def config(net, *certificates, **settings):
    return {"certificates": net.certificates("default") + list(certificates),
            "target_groups": [group("web", "http", net.target_list(8080))],
            "listeners": [listener("web", "https", 443, "web",
                                   certificates=["default"] + [row["name"] for row in certificates])]} | settings


def served(net, name, **options):
    """(names, serial number, kind of the key) of what a client with this server name gets."""
    with TlsConnection((net.v4, 443), name, client_context(**options)) as client:
        assert client.request().status == 200
        return client.names()[0], client.tls.getpeercert()["serialNumber"]


def encrypt(pair, to):
    run("openssl", "pkey", "-in", pair[1], "-aes256", "-passout", f"pass:{WORDS}", "-out", to)
    return {"cert": str(pair[0]), "key": str(to)}


def pack(pair, net, to, words=WORDS):
    """A .p12 with the CA in it, by rename."""
    new = to.with_suffix(".new")
    run("openssl", "pkcs12", "-export", "-in", pair[0], "-inkey", pair[1], "-certfile", net.ca.pem,
        "-passout", f"pass:{words}", "-out", new)
    new.rename(to)
    return {"pkcs12": str(to)}


def test_passwords(net, launch, aside, monkeypatch):
    """Encrypted PEM and PKCS#12, with the password from a file, the environment and a command; a PKCS#12
    file that is replaced is served without a reload; a command that fails refuses the configuration."""
    monkeypatch.setenv("SLUICE_TEST_PASSWORD", WORDS)
    (aside / "secret").mkdir(exist_ok=True)
    words = aside / "secret/words"  # in a folder of its own
    words.write_text(WORDS + "\n")
    pem = encrypt(net.ca.issue("aside/pem", "pem.test"), aside / "pem.enc")
    p12 = pack(net.ca.issue("aside/first", "p12.test"), net, aside / "one.p12")
    other = pack(net.ca.issue("aside/other", "other.test"), net, aside / "other.p12")
    rows = [pem | {"name": "pem", "key_password_command": ["/bin/cat", str(words)]},
            p12 | {"name": "p12", "key_password_file": str(words)},
            other | {"name": "other", "key_password_env": "SLUICE_TEST_PASSWORD"}]
    one = launch(config(net, *rows))
    for name in ("pem.test", "p12.test", "other.test"):
        assert served(net, name)[0] == [name]
    before = served(net, "p12.test")
    pack(net.ca.issue("aside/second", "p12.test"), net, aside / "one.p12")
    until(lambda: served(net, "p12.test")[1] != before[1], "the new one is served")
    before = served(net, "p12.test")
    pack(net.ca.issue("aside/third", "p12.test"), net, aside / "one.p12", "another")
    until(lambda: "the one that was good stays (certificates[p12])" in one.log(), "the password is the old one")
    assert served(net, "p12.test") == before
    words.write_text("another\n")
    until(lambda: served(net, "p12.test")[1] != before[1], "the new password is seen")
    words.write_text(WORDS + "\n")
    rows[0]["key_password_command"] = ["/bin/false"]
    one.write(config(net, *rows))
    status, _, errors = one.ctl("reload", check=False)
    assert status != 0 and "/bin/false ended with status 1" in errors
    assert served(net, "pem.test")[0] == ["pem.test"]
    assert WORDS not in one.log() + errors + one.ctl("config")[1]


def failures(one):
    return sum(n for reason, n in one.drops().items() if reason.endswith("token_failed"))


def fail_until_bad(net, one, name, server_name, **options):
    """Handshakes with a key that is gone: how many failed until the certificate was passed over."""
    failed = 0
    for _ in range(50):
        if state(one, name) == "bad":
            return failed
        try:
            served(net, server_name, **options)
        except (OSError, ssl.SSLError):
            failed += 1
        assert failed < 3
    raise AssertionError(f"{name} is served on and on")


@needs_token
def test_first_token_takes_a_restart(net, launch, aside, monkeypatch):
    """Workers that have begun without a token cannot run its library: the change is refused, not the key."""
    token = Token(net.folder / "token", monkeypatch)
    pair = net.ca.issue("aside/token-ec", "token.test")
    token.put(pair[1], "ec")
    one = launch(config(net, pkcs11_module=SOFTHSM))
    with_token = config(net, token.row("ec", pair), pkcs11_module=SOFTHSM)
    one.write(with_token)
    status, answer, _ = one.ask("POST", "/v1/reload")
    assert status == 422 and "restart sluiced" in str(answer), answer
    assert served(net, "default.test")
    one.stop()
    one.start()
    assert served(net, "token.test")[0] == ["token.test"]


@needs_token
def test_token(net, launch, aside, monkeypatch):
    """Keys in a token serve in TLS 1.2 and 1.3. One that is gone: the next certificate of the name serves,
    the log says why, and it is back when the token has it again."""
    token = Token(net.folder / "token", monkeypatch)
    ecdsa = net.ca.issue("aside/token-ec", "token.test")
    rsa = net.ca.issue("aside/token-rsa", "rsa.test", key="rsa")
    spare = net.ca.issue("aside/spare", "token.test", key="rsa")
    token.put(ecdsa[1], "ec")
    token.put(rsa[1], "rsa")
    rows = [token.row("ec", ecdsa), token.row("rsa", rsa),
            {"name": "spare", "cert": str(spare[0]), "key": str(spare[1])}]
    wanted = config(net, *rows, pkcs11_module=SOFTHSM, workers=1)
    one = launch(wanted)
    serials = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        serials["ec"] = served(net, "token.test", version=version)[1]
        assert served(net, "rsa.test", version=version)[0] == ["rsa.test"]
    assert state(one, "ec") == "good" and PIN + "\n" not in one.log()

    token.drop("ec")
    failed = fail_until_bad(net, one, "ec", "token.test")
    assert failed and served(net, "token.test")[1] != serials["ec"]
    assert "certificate ec is served to nobody until its token signs again" in one.log()
    assert served(net, "rsa.test")[0] == ["rsa.test"]
    until(lambda: failures(one) == failed, "they are counted")

    token.put(ecdsa[1], "ec")
    until(lambda: state(one, "ec") == "good", "the token is asked again")
    for _ in range(2):  # opened anew, and kept
        assert served(net, "token.test")[1] == serials["ec"]
    until(lambda: "certificate ec is served again" in one.log(), "the log says so")

    one.write(config(net, token.row("ec", ecdsa, "wrong"), *rows[1:], pkcs11_module=SOFTHSM))
    done = subprocess.run([BUILD / "sluiced", "--check", one.file], capture_output=True, text=True,
                          timeout=60)  # it has not logged in yet
    assert done.returncode != 0 and "certificates[ec]" in done.stderr and "9999" not in done.stderr, done.stderr
    rows[0]["key"] += "?pin-value=1234"
    one.write(config(net, *rows, pkcs11_module=SOFTHSM))
    status, _, errors = one.ctl("reload", check=False)
    assert status != 0 and "names a PIN" in errors


@needs_token
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_token_rsa(net, launch, aside, monkeypatch, version):
    """An RSA key, for which the token makes the hash as well: one that is gone is noticed by a worker that
    has it open as by one that has not, and its return by both."""
    token = Token(net.folder / "token", monkeypatch)
    spare = net.ca.issue("aside/rsa-spare", "rsa.test", key="rsa")  # ends before the other one
    rsa = net.ca.issue("aside/token-rsa", "rsa.test", key="rsa")
    token.put(rsa[1], "rsa")
    rows = [token.row("rsa", rsa), {"name": "spare", "cert": str(spare[0]), "key": str(spare[1])}]
    one = launch(config(net, *rows, pkcs11_module=SOFTHSM))
    serial = served(net, "rsa.test", version=version)[1]  # one worker has it, and maybe another
    token.drop("rsa")
    failed = fail_until_bad(net, one, "rsa", "rsa.test", version=version)
    assert served(net, "rsa.test", version=version)[1] != serial
    until(lambda: failures(one) == failed, "they are counted")
    assert "certificate rsa is served to nobody" in one.log()
    token.put(rsa[1], "rsa")
    until(lambda: state(one, "rsa") == "good", "the token is asked again")
    for _ in range(8):  # both workers open it anew
        assert served(net, "rsa.test", version=version)[1] == serial


@needs_token
def test_token_lacks_mechanism(net, launch, aside, monkeypatch):
    """A token without PSS, which TLS 1.3 signs with: those who ask for it fail, nobody else."""
    token = Token(net.folder / "token", monkeypatch, "slots.mechanisms = -CKM_RSA_PKCS_PSS,"
                  "CKM_SHA256_RSA_PKCS_PSS,CKM_SHA384_RSA_PKCS_PSS,CKM_SHA512_RSA_PKCS_PSS")
    rsa = net.ca.issue("aside/token-rsa", "rsa.test", key="rsa")
    token.put(rsa[1], "rsa")
    one = launch(config(net, token.row("rsa", rsa), pkcs11_module=SOFTHSM))
    assert "certificate rsa: its token makes no RSA-PSS signatures" in one.log()
    for _ in range(2):
        with pytest.raises((OSError, ssl.SSLError)):
            served(net, "rsa.test", version=ssl.TLSVersion.TLSv1_3)
        assert state(one, "rsa") == "good"
        out = run("openssl", "s_client", "-connect", f"{net.v4}:443", "-servername", "rsa.test", "-tls1_2",
                  "-CAfile", net.ca.pem, "-sigalgs", "RSA+SHA256", stdin=subprocess.DEVNULL)
        assert "CN = rsa.test" in out or "CN=rsa.test" in out
    until(lambda: failures(one) == 2, "they are counted")
    assert "certificate rsa: its token lacks a mechanism that a client needs" in one.log()


@needs_token
def test_token_never_decrypts(net, launch, aside, monkeypatch):
    """RSA key transport is for keys in files alone: a token's answers would tell about the padding."""
    token = Token(net.folder / "token", monkeypatch)
    rsa = net.ca.issue("aside/token-rsa", "rsa.test", key="rsa")
    plain = net.ca.issue("aside/plain-rsa", "plain.test", key="rsa")
    token.put(rsa[1], "rsa")
    wanted = config(net, token.row("rsa", rsa), {"name": "plain", "cert": str(plain[0]), "key": str(plain[1])},
                    pkcs11_module=SOFTHSM)
    wanted["listeners"][0]["certificates"].remove("default")
    wanted["listeners"][0]["tls"] = {"policy": "ELBSecurityPolicy-2016-08"}
    one = launch(wanted)

    def agreed(name, ciphers):
        context = client_context(version=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
        with TlsConnection((net.v4, 443), name, context) as client:
            return client.names()[0], client.tls.cipher()[0]

    transport = "AES128-GCM-SHA256"
    for _ in range(2):
        assert agreed("plain.test", transport) == (["plain.test"], transport)
        assert agreed("rsa.test", "ECDHE-RSA-AES128-GCM-SHA256:" + transport)[0] == ["rsa.test"]
        try:  # whatever else there is serves, but not this one
            assert agreed("rsa.test", transport)[0] != ["rsa.test"]
        except (OSError, ssl.SSLError):
            pass
        assert state(one, "rsa") == "good"


@needs_token
def test_token_without_pin(net, launch, aside, monkeypatch):
    """Nobody is asked for a PIN on the terminal or standard input, and waited for."""
    token = Token(net.folder / "token", monkeypatch)
    ecdsa = net.ca.issue("aside/token-ec", "token.test")
    token.put(ecdsa[1], "ec")
    row = token.row("ec", ecdsa)
    del row["key_password_file"]
    one = launch(config(net))
    one.write(config(net, row, pkcs11_module=SOFTHSM))
    with subprocess.Popen([BUILD / "sluiced", "--check", one.file], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, start_new_session=True) as check:
        try:
            assert check.wait(30) != 0
        finally:
            check.kill()
        assert "certificates[ec]" in check.stderr.read()


def test_pkcs12_through_the_api(net, launch, aside):
    """Sent as base64 and kept as it is; what is no base64, or has another password, changes nothing."""
    first = Path(pack(net.ca.issue("aside/api", "api-p12.test"), net, aside / "api.p12")["pkcs12"])
    (aside / "words").write_text(WORDS + "\n")
    one = launch(config(net))
    packed = {"pkcs12": base64.b64encode(first.read_bytes()).decode()}
    for body, status, text in ((packed, 422, "password"), ({"pkcs12": "MIIK!"}, 422, "no base64"),
                               (packed | {"password": "another"}, 422, "password"),
                               (packed | {"key": "x"}, 400, "BASE64")):
        answer = one.ask("PUT", "/v1/certificates/shop", body)
        assert answer[0] == status and text in json.dumps(answer[1]), answer
    one.ctl("certs", "put", "shop", "--pkcs12", str(first), "--password-file", str(aside / "words"))
    one.ctl("certs", "add", "web", "shop")
    assert served(net, "api-p12.test")[0] == ["api-p12.test"]
    assert one.change("PUT", "/v1/certificates/shop", packed | {"password": WORDS})["result"] == "applied"
    assert one.ctl("certs", "put", "shop", "--pkcs12", str(first), "--key", "x", check=False)[0] == 2
