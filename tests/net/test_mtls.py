"""Mutual TLS with real clients: every mode, every verdict, what targets are told, resumption, changes
at run time, the connection log."""
import datetime
import json
import re
import select
import signal
import ssl
import subprocess
from urllib.parse import unquote_to_bytes

import pytest
from cryptography import x509

import client_pki
import standard
from client_pki import DAY, Identity
from test_expiry import metrics
from wire import Connection, TlsConnection, client_context, milliseconds, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
VERIFY, OPTIONAL, PASSTHROUGH, OFF, DEPTH, LENIENT, TLS_VERIFY, RENAMED = range(9443, 9451)
NAME = "www.sluice.test"
PREFIX = "x-amzn-mtls-clientcert"


class People:
    """The CAs, and clients of every kind; files in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.root = Identity("Root")
        self.middle = Identity("Middle", self.root)
        self.second = Identity("Second", self.middle)
        self.other = Identity("Other Root")
        self.good = self.middle.client("good")
        self.expired = self.middle.client("expired", start=-9 * DAY, end=-DAY)
        self.young = self.middle.client("young", start=DAY, end=9 * DAY)
        self.revoked = self.root.client("revoked", serial=666)
        self.stranger = self.other.client("stranger")
        self.deep = self.second.client("deep")
        self.large = self.root.client("large", fill=20000)
        self.files = {who.name: who.write(folder) for who in (
            self.good, self.expired, self.young, self.revoked, self.stranger, self.deep, self.large)}
        self.trust(self.root)
        self.revoke(666)

    def trust(self, *cas):
        (self.folder / "cas.pem").write_bytes(client_pki.pem(*[ca.cert for ca in cas]))

    def revoke(self, *serials, **options):
        (self.folder / "root.crl").write_bytes(self.root.crl(*serials, **options))

    def store(self, name="clients", crls=("root.crl",)):
        return {"name": name, "ca": str(self.folder / "cas.pem"),
                "crls": [str(self.folder / crl) for crl in crls]}

    def context(self, who, version=None):
        context = client_context(version)
        if who:
            cert, key = self.files[who.name]
            context.load_cert_chain(cert, key)
        return context


def config(net, people, **extra):
    def secure(name, protocol, port, group, **auth):
        settings = {"client_auth": auth} if auth else {}
        return standard.listener(name, protocol, port, group, certificates=["www"], **settings)
    listeners = [
        secure("verify", "https", VERIFY, "one", mode="verify", trust_store="clients"),
        secure("optional", "https", OPTIONAL, "one", mode="optional", trust_store="clients",
               advertise_ca_names=True),
        secure("passthrough", "https", PASSTHROUGH, "one", mode="passthrough"),
        secure("off", "https", OFF, "one") | {"gate": {"mode": "off"}},
        secure("depth", "https", DEPTH, "one", mode="verify", trust_store="clients", max_depth=2),
        secure("lenient", "https", LENIENT, "one", mode="verify", trust_store="clients",
               ignore_expiry=True),
        secure("tls-verify", "tls", TLS_VERIFY, "raw", mode="verify", trust_store="clients"),
        secure("renamed", "https", RENAMED, "one", mode="verify", trust_store="clients",
               headers={"subject": "X-Client-Name", "leaf": "off"})
        | {"tls_headers": {"version": "X-Amzn-Tls-Version", "cipher_suite": "X-Tls-Suite"}},
    ]
    return {"certificates": net.certificates("www"), "trust_stores": [people.store()],
            "log": {"level": "info", "connections": str(people.folder / "connections.log")},
            "target_groups": [g for g in standard.groups(net) if g["name"] in ("one", "raw")],
            "listeners": listeners} | extra


@pytest.fixture(scope="module")
def people(net):
    return People(net.folder / "clients")


@pytest.fixture
def mtls(net, targets, people):
    """The sluiced of this file; a test that changes what it trusts puts it back."""
    people.trust(people.root)
    people.revoke(666)
    if net.current is None or net.current.role != "mtls":
        net.launch(config(net, people), "mtls").role = "mtls"
    else:
        net.current.reload(config(net, people))
    net.current.log_mark = len(net.current.log())
    yield net.current
    assert net.current.is_alive()


def ask(net, people, port, who, version=None, headers=(), session=None):
    """The headers that the target saw, by lower-case name."""
    with TlsConnection((net.v4, port), NAME, people.context(who, version), session=session) as client:
        answer = client.request("/echo", headers=headers)
        assert answer.status == 200, answer
        return headers_of(answer)


def headers_of(answer):
    seen = {}
    for name, value in answer.json()["headers"]:
        assert name.lower() not in seen, f"{name} came twice"
        seen[name.lower()] = value
    return seen


def refusal(net, people, port, who, version):
    """The alert with which a client is turned away, in OpenSSL's words."""
    try:
        with TlsConnection((net.v4, port), NAME, people.context(who, version)) as client:
            client.request("/echo")
    except ssl.SSLError as error:
        return error.reason
    raise AssertionError("was let in")


def mtls_headers(seen):
    return {name: value for name, value in seen.items() if name.startswith(PREFIX)}


def decode(value):
    assert re.fullmatch(r"[!-~]+", value)
    return x509.load_pem_x509_certificates(unquote_to_bytes(value))


# --- verdicts

@VERSIONS
def test_verify(mtls, net, people, version):
    """A good certificate is let in, and each bad one turned away by the alert for it."""
    missing = "TLSV13_ALERT_CERTIFICATE_REQUIRED" if version == V13 else "SSLV3_ALERT_HANDSHAKE_FAILURE"
    assert mtls_headers(ask(net, people, VERIFY, people.good, version))
    assert mtls_headers(ask(net, people, VERIFY, people.deep, version))
    for who, alert in ((None, missing), (people.expired, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
                       (people.young, "SSLV3_ALERT_BAD_CERTIFICATE"),
                       (people.revoked, "SSLV3_ALERT_CERTIFICATE_REVOKED"),
                       (people.stranger, "TLSV1_ALERT_UNKNOWN_CA")):
        assert refusal(net, people, VERIFY, who, version) == alert


@VERSIONS
def test_optional(mtls, net, people, version):
    assert not mtls_headers(ask(net, people, OPTIONAL, None, version))
    assert mtls_headers(ask(net, people, OPTIONAL, people.good, version))
    assert refusal(net, people, OPTIONAL, people.expired, version) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


@VERSIONS
def test_depth(mtls, net, people, version):
    assert mtls_headers(ask(net, people, DEPTH, people.good, version))
    assert refusal(net, people, DEPTH, people.deep, version) == "TLSV1_ALERT_UNKNOWN_CA"


@VERSIONS
def test_ignore_expiry(mtls, net, people, version):
    assert mtls_headers(ask(net, people, LENIENT, people.expired, version))
    assert mtls_headers(ask(net, people, LENIENT, people.young, version))
    assert refusal(net, people, LENIENT, people.revoked, version) == "SSLV3_ALERT_CERTIFICATE_REVOKED"


@VERSIONS
def test_passthrough(mtls, net, people, version):
    """Whatever comes is handed on, with everything that came with it."""
    assert not mtls_headers(ask(net, people, PASSTHROUGH, None, version))
    for who in (people.deep, people.expired, people.stranger, people.large):
        seen = mtls_headers(ask(net, people, PASSTHROUGH, who, version))
        assert list(seen) == [PREFIX]
        assert decode(seen[PREFIX]) == who.chain()


def test_tls_listener(mtls, net, people):
    with TlsConnection((net.v4, TLS_VERIFY), NAME, people.context(people.good)) as client:
        client.send(b"echo\nabc")
        client.finish()
        assert client.rest() == b"abc"
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        with TlsConnection((net.v4, TLS_VERIFY), NAME, people.context(people.stranger)) as client:
            client.send(b"echo\nabc")
            client.rest()


def test_the_alert_survives_data_on_its_way(mtls, net, people):
    """A TLS 1.3 client may have sent a lot before it reads that its certificate is not taken."""
    for _ in range(5):
        with TlsConnection((net.v4, VERIFY), NAME, people.context(people.expired, V13)) as client:
            assert select.select([client.sock], [], [], 10)[0], "the alert has come"
            for _ in range(200):
                client.send(b"x" * 100)
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_EXPIRED"):
                client.recv()


@pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
def test_openssl_client(mtls, net, people, tls):
    def run(port, who, *options):
        files = people.files[who.name]
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"{net.v4}:{port}", "-CAfile", net.ca.pem, tls,
             "-cert", files[0], "-key", files[1], "-cert_chain", files[0], "-ign_eof", *options],
            input=f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n",
            capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr
    assert "hello from t1" in run(VERIFY, people.good)
    assert "alert certificate revoked" in run(VERIFY, people.revoked)
    assert "alert unknown ca" in run(VERIFY, people.stranger)
    assert "CN=Root" in run(OPTIONAL, people.good) # advertised
    assert "No client certificate CA names sent" in run(VERIFY, people.good)


def test_curl(mtls, net, people):
    def run(who, *options):
        files = people.files[who.name]
        return subprocess.run(
            ["curl", "-sS", "--max-time", "10", "--cacert", net.ca.pem, "--cert", files[0], "--key", files[1],
             "--resolve", f"{NAME}:{VERIFY}:{net.v4}", *options, f"https://{NAME}:{VERIFY}/"],
            capture_output=True, text=True, timeout=20)
    done = run(people.good)
    assert done.returncode == 0 and done.stdout.startswith("hello from t1"), done.stderr
    done = run(people.expired)
    assert done.returncode != 0 and "alert certificate expired" in done.stderr


# --- what targets are told

def test_headers_of_verify(mtls, net, people):
    forged = [("X-Amzn-Mtls-Clientcert-Subject", "CN=admin"), ("x-amzn-mtls-clientcert-leaf", "a"),
              ("X_Amzn_Mtls_Clientcert_Serial_Number", "1"), ("X-Amzn-Mtls-Clientcert", "b"), ("X-Other", "kept")]
    seen = ask(net, people, VERIFY, people.good, headers=forged)
    cert = people.good.cert
    assert seen["x-other"] == "kept"
    assert set(mtls_headers(seen)) == {f"{PREFIX}-{part}" for part in (
        "serial-number", "issuer", "subject", "validity", "leaf")}
    assert not [name for name in seen if "_" in name]
    assert int(seen[f"{PREFIX}-serial-number"], 16) == cert.serial_number
    assert seen[f"{PREFIX}-issuer"] == "CN=Middle" and seen[f"{PREFIX}-subject"] == "CN=good"
    assert seen[f"{PREFIX}-validity"] == (
        f"NotBefore={cert.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ};"
        f"NotAfter={cert.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
    assert decode(seen[f"{PREFIX}-leaf"]) == [cert]


def test_forged_headers_without_a_certificate(mtls, net, people):
    forged = [("X-Amzn-Mtls-Clientcert-Subject", "CN=admin"), ("X-Amzn-Mtls-Clientcert", "b")]
    assert not mtls_headers(ask(net, people, OPTIONAL, None, headers=forged))
    assert not mtls_headers(ask(net, people, PASSTHROUGH, None, headers=forged))
    assert not mtls_headers(ask(net, people, OFF, None, headers=forged)) # leads to the same targets


def test_renamed_headers(mtls, net, people):
    seen = ask(net, people, RENAMED, people.good, V12, headers=[("X-Client-Name", "CN=admin"),
                                                                ("X-Tls-Suite", "NULL")])
    assert seen["x-client-name"] == "CN=good"
    assert f"{PREFIX}-subject" not in seen and f"{PREFIX}-leaf" not in seen
    assert seen["x-amzn-tls-version"] == "TLSv1.2"
    assert seen["x-tls-suite"] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    seen = ask(net, people, RENAMED, people.good, V13)
    assert seen["x-amzn-tls-version"] == "TLSv1.3" and seen["x-tls-suite"] == "TLS_AES_128_GCM_SHA256"


def test_every_request_of_a_connection(mtls, net, people):
    with TlsConnection((net.v4, VERIFY), NAME, people.context(people.good)) as client:
        for _ in range(3):
            assert headers_of(client.request("/echo"))[f"{PREFIX}-subject"] == "CN=good"


# --- resumption and changes

class Visitor:
    """A client that keeps its session."""

    def __init__(self, net, people, port, who, version):
        self.net, self.port = net, port
        self.context = people.context(who, version)
        self.session = None

    def visit(self):
        """(was it resumed, the subject that the target saw)"""
        with TlsConnection((self.net.v4, self.port), NAME, self.context, session=self.session) as client:
            seen = headers_of(client.request("/echo"))
            self.session = client.tls.session
            return client.tls.session_reused, seen.get(f"{PREFIX}-subject")


@VERSIONS
def test_resumption(mtls, net, people, version):
    visitor = Visitor(net, people, VERIFY, people.good, version)
    assert visitor.visit() == (False, "CN=good")
    assert visitor.visit() == (True, "CN=good")
    mtls.reload(config(net, people)) # nothing new
    assert visitor.visit() == (True, "CN=good")


@VERSIONS
def test_a_change_of_trust_ends_resumption(mtls, net, people, version):
    visitor = Visitor(net, people, VERIFY, people.good, version)
    visitor.visit()
    assert visitor.visit()[0]
    people.revoke(666, 667)
    mtls.ctl("reload")
    assert visitor.visit() == (False, "CN=good")
    assert visitor.visit()[0]
    people.trust(people.root, people.other)
    mtls.ctl("reload")
    assert visitor.visit() == (False, "CN=good")


def revoking_good(net, people):
    (people.folder / "middle.crl").write_bytes(people.middle.crl(people.good.cert.serial_number))
    people.trust(people.root, people.middle)
    return config(net, people, trust_stores=[people.store(crls=("root.crl", "middle.crl"))])


@VERSIONS
def test_revoked_at_run_time(mtls, net, people, version):
    """The connection that is there is closed; the next one is turned away, ticket or not."""
    visitor = Visitor(net, people, VERIFY, people.good, version)
    visitor.visit()
    with TlsConnection((net.v4, VERIFY), NAME, people.context(people.good, version)) as client:
        assert client.request("/echo").status == 200
        mtls.reload(revoking_good(net, people))
        assert client.rest() == b""
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        visitor.visit()


def test_mode_switched_at_run_time(mtls, net, people):
    """A session made without a certificate is none where one is required."""
    visitor = Visitor(net, people, OFF, None, V13)
    visitor.visit()
    assert visitor.visit() == (True, None)
    changed = config(net, people)
    changed["listeners"][3]["client_auth"] = {"mode": "verify", "trust_store": "clients"}
    mtls.reload(changed)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        visitor.visit()


def test_a_bad_trust_store_is_refused(mtls, net, people):
    """With the file, the line and the reason; what was in force stays."""
    old = Identity("Old", start=-9 * DAY, end=-DAY)
    for cas, crl, words in (
            ([people.root, people.good], None, "line 12: CN=good is not the certificate of a CA"),
            ([old], None, "line 1: CN=Old is expired"),
            ([people.root], people.other.crl(1), "which is none of the CAs"),
            ([], None, "has no certificate in PEM form")):
        people.trust(*cas)
        if crl:
            (people.folder / "root.crl").write_bytes(crl)
        status, _, err = mtls.ctl("reload", check=False)
        assert status != 0 and "trust_stores[clients]" in err, err
        assert re.sub("line [0-9]+:", "line 12:", words) in re.sub("line [0-9]+:", "line 12:", err), err
        people.trust(people.root)
        people.revoke(666)
        assert mtls_headers(ask(net, people, VERIFY, people.good))


def test_a_renewed_server_certificate_changes_nothing(mtls, net, people):
    """Certificates are watched and exchanged on their own: who may come in stays as it was."""
    def serial():
        with TlsConnection((net.v4, VERIFY), NAME, people.context(people.good)) as client:
            return client.tls.getpeercert()["serialNumber"]
    visitor = Visitor(net, people, VERIFY, people.good, V13)
    visitor.visit()
    before = serial()
    net.ca.issue("www", NAME)
    until(lambda: serial() != before, "the new certificate is served")
    assert refusal(net, people, VERIFY, None, V13) == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    assert refusal(net, people, VERIFY, people.revoked, V13) == "SSLV3_ALERT_CERTIFICATE_REVOKED"
    assert visitor.visit() == (True, "CN=good")


def test_a_stale_crl_is_a_warning(mtls, net, people):
    people.revoke(666, end=-DAY / 2)
    mtls.ctl("reload")
    until(lambda: "is out of date" in mtls.log()[mtls.log_mark:], "the warning is in the log")
    assert refusal(net, people, VERIFY, people.revoked, V13) == "SSLV3_ALERT_CERTIFICATE_REVOKED"
    assert mtls.api("/v1/trust")["trust_stores"][0]["crls"][0]["stale"] is True


# --- what is shown

def test_views(mtls, net, people):
    def refused():
        return {row["name"]: row["refused"] for row in
                mtls.api("/v1/trust?name=clients")["trust_stores"][0]["listeners"]}["verify"]
    before = refused()
    for who in (None, people.expired, people.revoked, people.stranger):
        refusal(net, people, VERIFY, who, V13)
    wanted = before | {reason: before[reason] + 1 for reason in ("missing", "expired", "revoked", "untrusted")}
    until(lambda: refused() == wanted, "each is counted once")
    after = refused()
    listener = next(row for row in mtls.api("/v1/listeners")["listeners"] if row["name"] == "verify")
    assert listener["client_auth"] == {"mode": "verify", "trust_store": "clients", "refused": after}
    out = mtls.ctl("trust")[1]
    assert "clients" in out and "verify (verify)" in out
    out = mtls.ctl("trust", "show", "clients")[1]
    assert "CN=Root" in out and "root.crl" in out and "revoked" in out
    assert "there is no trust store" in mtls.ctl("trust", "show", "nobody", check=False)[2]
    assert mtls.drops()["tls_client_cert_expired"] >= 1


# --- the connection log

def lines(people, path="connections.log"):
    file = people.folder / path
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture(autouse=True)
def begun(people):
    """Lines that are there already: ports are used again, by connections to other listeners."""
    people.begun = {file.name: len(lines(people, file.name)) for file in people.folder.glob("*.log")}


def logged(people, client, path="connections.log"):
    """The line of this test's connection from this port."""
    def line():
        written = lines(people, path)
        begun = people.begun.get(path, 0)  # a file that was renamed begins anew
        return next((l for l in written[begun if begun <= len(written) else 0:] if l["client_port"] == client), None)
    return until(line, f"the line of the client from port {client}")


def test_log_of_a_success(mtls, net, people):
    with TlsConnection((net.v4, VERIFY), NAME, people.context(people.good, V13)) as client:
        client.request("/echo")
        port = client.sock.getsockname()[1]
    line = logged(people, port)
    assert line["client_ip"] == "198.18.1.1" and line["listener_port"] == VERIFY
    assert (line["tls_protocol"], line["tls_cipher"]) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256")
    assert line["domain_name"] == NAME and line["chosen_cert"] == "www" and line["listener"] == "verify"
    assert line["leaf_client_cert_subject"] == "CN=good"
    assert int(line["leaf_client_cert_serial_number"], 16) == people.good.cert.serial_number
    assert line["tls_verify_status"] == "Success" and line["failure"] is None
    assert 0 < line["tls_handshake_latency"] < 10 and line["alpn"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])


@pytest.mark.parametrize("who,reason,alert", [
    (None, "UnmappedConnectionError", 116), ("expired", "ClientCertExpired", 45),
    ("young", "ClientCertNotYetValid", 42), ("revoked", "ClientCertCrlHit", 44),
    ("stranger", "ClientCertUntrusted", 48)])
def test_log_of_a_failure(mtls, net, people, who, reason, alert):
    client = Connection((net.v4, VERIFY))
    port = client.sock.getsockname()[1]
    context = people.context(who and getattr(people, who), V13)
    with pytest.raises(ssl.SSLError), context.wrap_socket(client.sock, server_hostname=NAME) as tls:
        tls.recv(1)
    line = logged(people, port)
    assert line["tls_verify_status"] == f"Failed:{reason}"
    assert (line["alert"], line["alert_from"]) == (alert, "server")
    assert line["leaf_client_cert_subject"] == (f"CN={who}" if who else None)
    assert line["tls_protocol"] == "TLSv1.3"


def test_log_of_other_failures(mtls, net, people):
    """A client that does not believe us, one that speaks no TLS, one that goes away."""
    with Connection((net.v4, OFF)) as client:
        port = client.sock.getsockname()[1]
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(client.sock, server_hostname=NAME)
        line = logged(people, port)
        assert (line["failure"], line["alert_from"]) == ("peer_alert", "client")
        assert line["failure_detail"] == "unknown CA"
    with Connection((net.v4, OFF)) as client:
        client.send("GET / HTTP/1.1\r\nHost: \x7f\"\xff\r\n\r\n")
        line = logged(people, client.sock.getsockname()[1])
        assert line["failure"] == "http_request" and line["domain_name"] is None


def test_log_of_what_is_refused_early(launch, net, people):
    """Judged after accept: a version that is not served, and one who does not go on."""
    changed = config(net, people, xdp={"mode": "off"})
    changed["listeners"][0] |= {"tls": {"min_version": "1.3"},
                                "timeouts": {"handshake": milliseconds(300)}}
    launch(changed)
    with Connection((net.v4, VERIFY)) as client:
        port = client.sock.getsockname()[1]
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            client_context(V12).wrap_socket(client.sock, server_hostname=NAME)
        line = logged(people, port)
        assert (line["failure"], line["failure_detail"]) == ("gate_refused", "version_refused")
        assert (line["alert"], line["alert_from"]) == (70, "server")
        assert line["domain_name"] == NAME and line["tls_protocol"] is None
        assert line["tls_verify_status"] == "Failed:UnmappedConnectionError" and line["ja4"]
    with Connection((net.v4, VERIFY)) as client:
        client.send(b"\x16\x03\x01")
        line = logged(people, client.sock.getsockname()[1])
        assert line["failure"] == "handshake_timeout" and line["domain_name"] is None


def test_log_has_every_handshake(mtls, net, people):
    """One line each, whichever worker made it."""
    before = mtls.api("/v1/status")["connection_log"]["lines"]
    ports = []
    for _ in range(100):
        with TlsConnection((net.v4, OFF), NAME) as client:
            ports.append(client.sock.getsockname()[1])
    until(lambda: mtls.api("/v1/status")["connection_log"]["lines"] >= before + 100, "all are written")
    seen = [line["client_port"] for line in lines(people)[-100:]]
    assert sorted(seen) == sorted(ports)


def test_log_is_reopened(mtls, net, people):
    """After a rename, by sluicectl and by the signal."""
    file = people.folder / "connections.log"
    for number, reopen in enumerate((lambda: mtls.ctl("log", "reopen"), lambda: mtls.signal(signal.SIGUSR1))):
        old = people.folder / f"connections.{number}.log"
        with TlsConnection((net.v4, OFF), NAME) as client:
            before = client.sock.getsockname()[1]
        logged(people, before)
        file.rename(old)
        reopen()
        until(file.exists, "the file is there again")
        with TlsConnection((net.v4, OFF), NAME) as client:
            after = client.sock.getsockname()[1]
        logged(people, after)
        ports = [line["client_port"] for line in lines(people, old.name)]
        assert before in ports and after not in ports
    assert mtls.api("/v1/status")["connection_log"]["reopened"] >= 2


def test_log_follows_the_configuration(mtls, net, people):
    changed = config(net, people)
    changed["log"]["connections"] = str(people.folder / "elsewhere.log")
    mtls.reload(changed)
    with TlsConnection((net.v4, OFF), NAME) as client:
        logged(people, client.sock.getsockname()[1], "elsewhere.log")
    changed["log"] = {"level": "info"}
    mtls.reload(changed)
    assert mtls.api("/v1/status")["connection_log"] is None
    with TlsConnection((net.v4, OFF), NAME) as client:
        port = client.sock.getsockname()[1]
    status, _, err = mtls.ctl("log", "reopen", check=False)
    assert status != 0 and "log.connections" in err
    assert not [l for name in ("elsewhere.log", "connections.log") for l in lines(people, name)
                if l["client_port"] == port]
    changed["log"] = {"connections": str(people.folder / "no/such/folder/x.log")}
    mtls.write(changed)
    status, _, err = mtls.ctl("reload", check=False)
    assert status != 0 and "log.connections" in err and "No such file" in err


def test_log_on_a_full_disk(mtls, net, people):
    """Counted, said once; handshakes go on; written again when there is room."""
    small = people.folder / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        changed = config(net, people)
        changed["log"]["connections"] = str(small / "x.log")
        mtls.reload(changed)
        (small / "ballast").write_bytes(b"x" * 56 * 1024)

        def shake_hands():
            TlsConnection((net.v4, OFF), NAME).close()
            return mtls.api("/v1/status")["connection_log"]
        until(lambda: shake_hands()["dropped_error"] > 0, "lines are dropped", pause=0)
        for _ in range(20):
            shake_hands()
        state = until(lambda: (s := shake_hands())["error"] and s, "the error is shown")
        assert "No space left" in state["error"]
        assert mtls.log()[mtls.log_mark:].count("connection log: cannot write") == 1
        (small / "ballast").unlink()
        until(lambda: not shake_hands()["error"], "it is written again")
        for line in (small / "x.log").read_text().splitlines():
            if line.endswith("}"):
                json.loads(line)
        with TlsConnection((net.v4, OFF), NAME) as client:
            port = client.sock.getsockname()[1]
        until(lambda: f'"client_port":{port},' in (small / "x.log").read_text(), "the line is whole")
    finally:
        mtls.reload(config(net, people))
        until(lambda: subprocess.run(["umount", small]).returncode == 0, "nobody has it open")


@VERSIONS
def test_revoked_by_a_file(mtls, net, people, version):
    """A CRL that is renewed on the disk is in force without a reload, a ticket or not; one that cannot
    be taken is told, and what was good stays."""
    visitor = Visitor(net, people, VERIFY, people.good, version)
    visitor.visit()
    idle = TlsConnection((net.v4, VERIFY), NAME, people.context(people.good, version))
    assert idle.request("/echo").status == 200
    people.trust(people.root, people.middle)
    people.revoke(666, people.middle.cert.serial_number)

    def is_revoked():
        try:
            visitor.visit()
        except ssl.SSLError as error:
            return "CERTIFICATE_REVOKED" in str(error)
        return False

    def fault():
        return mtls.api("/v1/trust")["trust_stores"][0]["fault"]
    until(is_revoked, "the CRL of the file is in force")
    assert idle.rest() == b""  # an idle connection of before is closed
    idle.close()
    assert "the CA CN=Middle is revoked" in mtls.log()[mtls.log_mark:]
    (people.folder / "root.crl").write_bytes(people.other.crl(1))
    until(fault, "the fault is told")
    assert "which is none of the CAs" in fault()
    assert metrics(mtls)["sluice_trust_fault"] == {'trust_store="clients"': 1}
    assert "FAULT" in mtls.ctl("trust", "show", "clients")[1]
    assert is_revoked()
    people.trust(people.root)
    people.revoke(666)
    until(lambda: not fault(), "the fault is over")
    visitor.visit()


def test_a_crl_goes_out_of_date(mtls, net, people):
    """It is told when it happens, not only when the file is read; what it revokes stays revoked."""
    people.revoke(666, end=datetime.timedelta(seconds=3))
    until(lambda: "1 out of date" in mtls.ctl("trust")[1], "the CRL is out of date")
    assert metrics(mtls)["sluice_trust_out_of_date"] == {'trust_store="clients"': 1}
    until(lambda: "the CRL of CN=Root is out of date" in mtls.log()[mtls.log_mark:], "it is told")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
        ask(net, people, VERIFY, people.revoked)
