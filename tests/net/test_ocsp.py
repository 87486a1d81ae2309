"""Stapled OCSP responses: from files, and fetched from a real responder (openssl ocsp); what a client
that asks for one gets, and that nothing bad or out of date is ever stapled."""
import contextlib
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

import netns
import server_pki
from client_pki import Identity, now, pem
from server_pki import DAY, key_pem
from standard import group, listener
from test_expiry import metrics
from wire import patience, until

RESPONDER = ("198.18.1.1", 7081)
URL = f"http://{RESPONDER[0]}:{RESPONDER[1]}/"


@pytest.fixture
def folder(net):
    path = net.folder / "stapled"
    shutil.rmtree(path, ignore_errors=True)
    (path / "many").mkdir(parents=True)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ca():
    return Identity("staples")


def response(ca, cert, signer=None, status=ocsp.OCSPCertStatus.GOOD, start=-DAY, end=DAY):
    """DER, signed by the CA, or by an Identity that it let sign."""
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=cert, issuer=ca.cert, algorithm=hashes.SHA256(), cert_status=status,
        this_update=now() + start, next_update=end and now() + end,
        revocation_time=now() - DAY if revoked else None, revocation_reason=None)
    by = signer or ca
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, by.cert)
    if signer:
        builder = builder.certificates([signer.cert])
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


class Signer(Identity):
    """A responder with a certificate of its own (RFC 6960 4.2.2.2)."""

    def __init__(self, name, issuer, usages):
        super().__init__(name, issuer, ca=False)
        builder = (x509.CertificateBuilder().subject_name(self.subject).issuer_name(issuer.subject)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now() - DAY).not_valid_after(now() + DAY)
                   .add_extension(x509.ExtendedKeyUsage(usages), critical=False))
        self.cert = builder.sign(issuer.key, hashes.SHA256())


@contextlib.contextmanager
def responding(folder, ca, *rows):
    """openssl ocsp, which knows of (certificate, "V" or "R")."""
    index = folder / "index.txt"
    lines = [f"{state}\t{cert.not_valid_after_utc:%y%m%d%H%M%SZ}\t"
             f"{format(now() - DAY, '%y%m%d%H%M%SZ') if state == 'R' else ''}\t"
             f"{cert.serial_number:032X}\tunknown\t/CN={cert.serial_number}\n" for cert, state in rows]
    index.write_text("".join(lines))
    (folder / "ca.pem").write_bytes(pem(ca.cert))
    (folder / "ca.key").write_bytes(key_pem(ca.key))
    log = folder / "responder.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["openssl", "ocsp", "-index", index, "-port", str(RESPONDER[1]), "-CA", folder / "ca.pem",
             "-rsigner", folder / "ca.pem", "-rkey", folder / "ca.key", "-ndays", "2"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=netns.die_with_parent)
    try:
        # A connection to find that out, without a request, would make it wait for one.
        until(lambda: process.poll() is not None or "waiting for" in log.read_text(), "it listens")
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def config(net, *certificates):
    return {"certificates": list(certificates),
            "target_groups": [group("web", "http", net.target_list(8080))],
            "listeners": [listener("web", "https", 443, "web",
                                   certificates=[c["name"] for c in certificates])]}


def pair(ca, folder, name, **options):
    """Files of a certificate with its CA behind it: (settings, certificate)."""
    cert, key = server_pki.issue(ca, f"{name}.test", **options)
    server_pki.write((cert, key), folder / f"{name}.crt", folder / f"{name}.key", ca.cert)
    return {"name": name, "cert": str(folder / f"{name}.crt"), "key": str(folder / f"{name}.key")}, cert


def stapled(net, name, *options):
    """What a client gets that asks: "good", "revoked", or None."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{net.v4}:443", "-servername", f"{name}.test", "-status",
         *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience(20))
    assert "BEGIN CERTIFICATE" in done.stdout, done.stderr
    if "OCSP response: no response sent" in done.stdout:
        return None
    assert "OCSP Response Status: successful" in done.stdout
    return done.stdout.split("Cert Status: ")[1].split()[0]


def row(one, name):
    return next(c for c in one.api("/v1/certificates")["certificates"] if c["name"] == name)["ocsp"]


def replace(path, content):
    path.with_name("." + path.name).write_bytes(content)
    path.with_name("." + path.name).rename(path)


def test_from_files(net, launch, folder, ca):
    """Of a single pair and in a directory, by TLS 1.2 and 1.3; files that change and go."""
    settings, cert = pair(ca, folder, "one")
    _, other = pair(ca, folder / "many", "other")
    settings["ocsp_file"] = str(folder / "one.der")
    replace(folder / "one.der", response(ca, cert))
    replace(folder / "many/other.ocsp", response(ca, other, Signer("o", ca, [ExtendedKeyUsageOID.OCSP_SIGNING])))
    one = launch(config(net, settings, {"name": "many", "directory": str(folder / "many")}))
    until(lambda: stapled(net, "one") == "good", "it is stapled")
    assert stapled(net, "one", "-tls1_2") == "good" and stapled(net, "other") == "good"
    assert row(one, "one")["stapled"] and row(one, "many/other")["stapled"]
    # Another certificate, no response for it: nothing is stapled; then there is one.
    pair(ca, folder / "many", "third")
    until(lambda: "third.test" in str(one.api("/v1/certificates")), "a third one")
    assert stapled(net, "third") is None
    (folder / "many/other.ocsp").unlink()
    until(lambda: stapled(net, "other") is None, "the file is gone")


BAD = {
    "garbage": lambda ca, cert: b"\x30\x03\x0a\x01\x07",
    "text": lambda ca, cert: b"no response",
    "stale": lambda ca, cert: response(ca, cert, start=-3 * DAY, end=-DAY),
    "future": lambda ca, cert: response(ca, cert, start=DAY, end=2 * DAY),
    "endless": lambda ca, cert: response(ca, cert, end=None),
    "revoked": lambda ca, cert: response(ca, cert, status=ocsp.OCSPCertStatus.REVOKED),
    "unknown": lambda ca, cert: response(ca, cert, status=ocsp.OCSPCertStatus.UNKNOWN),
    "of another": lambda ca, cert: response(ca, server_pki.issue(ca, "x.test")[0]),
    "of another CA": lambda ca, cert: response(Identity("staples"), cert),
    "of nobody with the right": lambda ca, cert: response(
        ca, cert, Signer("o", ca, [ExtendedKeyUsageOID.CLIENT_AUTH])),
    "of a stranger": lambda ca, cert: response(
        ca, cert, Signer("o", Identity("staples"), [ExtendedKeyUsageOID.OCSP_SIGNING])),
}


def test_bad_files(net, launch, folder, ca):
    """Each is named in the log with its reason and never stapled; a good one then is."""
    certs = {}
    for number, kind in enumerate(BAD):
        _, certs[kind] = pair(ca, folder / "many", f"n{number}")
        replace(folder / f"many/n{number}.ocsp", BAD[kind](ca, certs[kind]))
    good, _ = pair(ca, folder, "good")
    one = launch(config(net, good, {"name": "many", "directory": str(folder / "many")}))
    for number, kind in enumerate(BAD):
        until(lambda: f"certificate many/n{number} has no OCSP response" in one.log(), kind)
        assert stapled(net, f"n{number}") is None, kind
    assert metrics(one)["sluice_ocsp_revoked"][None] == 1
    for number, kind in enumerate(BAD):
        replace(folder / f"many/n{number}.ocsp", response(ca, certs[kind]))
    until(lambda: metrics(one)["sluice_ocsp_stapled"][None] == len(BAD), "they are good now")
    assert all(stapled(net, f"n{number}") == "good" for number in range(len(BAD)))
    # A bad one in place of a good one: that one stays while it is good.
    replace(folder / "many/n0.ocsp", b"oops")
    until(lambda: "certificate many/n0 is not renewed yet" in one.log(), "it is told")
    assert stapled(net, "n0") == "good"


def test_fetched(net, launch, folder, ca):
    """Must-staple without a responder is told; it is fetched as soon as there is one; it is kept over
    a restart; others are fetched where the configuration says so, and else nobody is asked."""
    must, must_cert = pair(ca, folder, "must", ocsp=URL, must_staple=True)
    wanted, wanted_cert = pair(ca, folder, "wanted", ocsp=URL)
    silent, _ = pair(ca, folder, "silent", ocsp=URL)
    wanted["ocsp"] = "on"
    settings = config(net, must, wanted, silent)
    one = launch(settings)
    until(lambda: "certificate must must have an OCSP response and has none" in one.log(), "it is told")
    assert stapled(net, "must") is None
    until(lambda: metrics(one)["sluice_ocsp_must_missing"][None] == 1, "and counted")
    with responding(folder, ca, (must_cert, "V"), (wanted_cert, "V")):
        until(lambda: stapled(net, "must") == "good", "it is fetched", 20)
        until(lambda: stapled(net, "wanted") == "good", "so is the other", 20)
        assert stapled(net, "silent") is None
    found = metrics(one)
    assert found["sluice_ocsp_must_missing"][None] == 0 and found["sluice_ocsp_certificates"][None] == 2
    assert found["sluice_ocsp_fetches_total"]['result="good"'] == 2
    assert row(one, "must")["must_staple"] and row(one, "must")["stapled"]
    assert not row(one, "silent")["stapled"]
    one.stop()
    one.start()
    assert stapled(net, "must") == "good", "nobody need be asked after a restart"
    assert metrics(one)["sluice_ocsp_fetches_total"]['result="good"'] == 0


def test_replaced(net, launch, folder, ca):
    """A certificate that must be stapled is at no time served without its response: neither when its
    file changes, nor when another one comes together with a response."""
    must, cert = pair(ca, folder, "must", must_staple=True)
    must["ocsp_file"] = str(folder / "must.der")
    replace(folder / "must.der", response(ca, cert))
    one = launch(config(net, must))
    assert stapled(net, "must") == "good"
    for _ in range(3):
        before = one.log().count("files have changed: 1 certificates in")
        replace(folder / "must.crt", (folder / "must.crt").read_bytes() + pem(ca.cert))
        seen = []
        until(lambda: seen.append(stapled(net, "must"))
              or one.log().count("files have changed: 1 certificates in") > before, "it is in force")
        seen += [stapled(net, "must") for _ in range(4)]
        assert set(seen) == {"good"}
    late, cert = pair(ca, folder, "late", must_staple=True)
    late["ocsp_file"] = str(folder / "late.der")
    replace(folder / "late.der", response(ca, cert))
    one.write(config(net, must, late))
    assert one.api("/v1/reload", "POST")
    assert stapled(net, "late") == "good" and stapled(net, "must") == "good"


def test_revoked(net, launch, folder, ca):
    """What the responder says of a revoked certificate is told, and not stapled."""
    revoked, cert = pair(ca, folder, "revoked", ocsp=URL, must_staple=True)
    with responding(folder, ca, (cert, "R")):
        one = launch(config(net, revoked))
        until(lambda: "its CA has revoked the certificate" in one.log(), "it is told")
        assert stapled(net, "revoked") is None
        until(lambda: metrics(one)["sluice_ocsp_revoked"][None] == 1, "and counted")


def test_cannot_be_asked(net, launch, folder, ca):
    """No responder in the certificate; no issuer in the file."""
    nameless, _ = pair(ca, folder, "nameless", must_staple=True)
    orphan, _ = pair(ca, folder, "orphan", ocsp=URL, must_staple=True)
    leaf = (folder / "orphan.crt").read_bytes().split(b"-----END CERTIFICATE-----\n")[0]
    (folder / "orphan.crt").write_bytes(leaf + b"-----END CERTIFICATE-----\n")
    one = launch(config(net, nameless, orphan))
    until(lambda: "certificate nameless must have an OCSP response and has none: clients that look "
                  "refuse it: it names no OCSP responder" in one.log(), "no responder")
    until(lambda: "its issuer's certificate is missing" in one.log(), "no issuer")
