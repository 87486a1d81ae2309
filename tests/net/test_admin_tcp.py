"""The admin interface over TCP: TLS, clients by certificate and by token, what each role may do."""
import base64
import datetime
import hashlib
import http.client
import json
import re
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import client_pki
import netns
import secret_words
import server_pki
from standard import group, listener
from wire import TIMEOUT, patience, until

PORT = 9443
TOKENS = {"read": "token-of-who-may-read-1", "operate": "token-of-who-may-operate", "admin": "token-of-who-may-do-all"}
ROLES = ("read", "operate", "admin")
API = netns.TOP / "userspace/control/api.def"
DAY = datetime.timedelta(days=1)


class Staff:
    """CA, server's certificate, and clients: the names say what they may do."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = client_pki.Identity("staff-ca")
        self.ca.write(folder)
        self.crl = folder / "staff.crl"
        self.revoke()
        self.server = server_pki.issue(self.ca, "lb.sluice.test")
        server_pki.write(self.server, folder / "lb.crt", folder / "lb.key")
        for name in ("reader", "operator", "boss", "nobody"):
            self.ca.client(name).write(folder)
        client_pki.Identity("else-ca").client("boss-of-others").write(folder)
        self.with_san("robot", x509.UniformResourceIdentifier("spiffe://sluice.test/robot"))
        for role, token in TOKENS.items():
            (folder / f"{role}.token").write_text(token + "\n")
            (folder / f"{role}.token").chmod(0o600)

    def revoke(self, *serials):
        now = client_pki.now()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.ca.subject)
                   .last_update(now - DAY).next_update(now + DAY))
        for serial in serials:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY).build())
        aside = self.crl.with_suffix(".new")
        aside.write_bytes(builder.sign(self.ca.key, hashes.SHA256()).public_bytes(client_pki.serialization.Encoding.PEM))
        aside.rename(self.crl)

    def with_san(self, name, *names):
        key = ec.generate_private_key(ec.SECP256R1())
        cert = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(self.ca.subject)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(client_pki.now() - DAY).not_valid_after(client_pki.now() + DAY)
                .add_extension(x509.SubjectAlternativeName(names), critical=True)
                .sign(self.ca.key, hashes.SHA256()))
        server_pki.write((cert, key), self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def serial(self, name):
        return x509.load_pem_x509_certificate((self.folder / f"{name}.pem").read_bytes()).serial_number

    def context(self, name=None):
        context = ssl.create_default_context(cafile=self.folder / "staff-ca.pem")
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the CA is a simple one
        if name:
            context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def ctl(self, name=None, token=None):
        """Options of sluicectl."""
        words = ["--address", f"lb.sluice.test:{PORT}", "--server-ca", str(self.folder / "staff-ca.pem")]
        if name:
            words += ["--client-cert", str(self.folder / f"{name}.pem"), "--client-key", str(self.folder / f"{name}.key")]
        return words + (["--token-file", str(self.folder / f"{token}.token")] if token else [])


@pytest.fixture(scope="module")
def staff(tmp_path_factory):
    return Staff(tmp_path_factory.mktemp("staff"))


def admin(staff, socket_path, **settings):
    return {"socket": str(socket_path), "listen": [f"0.0.0.0:{PORT}"], "certificate": "lb", "trust_store": "staff",
            "clients": [{"role": "read", "subject": "CN=reader"}, {"role": "operate", "subject": "CN=operator"},
                        {"role": "admin", "subject": "CN=boss"},
                        {"role": "operate", "san": "uri:spiffe://sluice.test/robot"}],
            "tokens": [{"name": role, "role": role, "file": str(staff.folder / f"{role}.token")}
                       if role != "admin" else
                       {"name": role, "role": role, "sha256": hashlib.sha256(TOKENS[role].encode()).hexdigest().upper()}
                       for role in ROLES]} | settings


def config(net, staff, **settings):
    return {"admin": admin(staff, net.folder / "sluiced.sock", **settings),
            "certificates": [{"name": "lb", "cert": str(staff.folder / "lb.crt"), "key": str(staff.folder / "lb.key")}],
            "trust_stores": [{"name": "staff", "ca": str(staff.folder / "staff-ca.pem"), "crls": [str(staff.crl)]}],
            "target_groups": [group("raw", "tcp", net.target_list(9000, 1))],
            "listeners": [listener("raw", "tcp", 81, "raw")]}


@pytest.fixture(scope="module")
def daemon(net, staff):
    """One for all tests here: what they change they put back."""
    net.heal()
    yield net.launch(config(net, staff))
    net.halt()


class Client(http.client.HTTPSConnection):
    """To lb.sluice.test, wherever that is."""

    def __init__(self, net, context):
        super().__init__("lb.sluice.test", PORT, timeout=TIMEOUT, context=context)
        self.address = net.v4

    def connect(self):
        self.sock = self._context.wrap_socket(socket.create_connection((self.address, PORT), TIMEOUT),
                                              server_hostname=self.host)

    def ask(self, method, path, body=None, **headers):
        self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = self.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else text, answer


def ask(net, context, method, path, body=None, **headers):
    client = Client(net, context)
    try:
        return client.ask(method, path, body, **headers)
    finally:
        client.close()


def bearer(role):
    return {"Authorization": "Bearer " + TOKENS[role]}


def rows():
    """(method, path, role) of every command."""
    for line in API.read_text().splitlines():
        if found := re.match(r'VIEW\("([^"]+)"', line):
            yield "GET", found[1], "read"
        elif found := re.match(r'CALL\((\w+), "([^"]+)", \w+, (\w+),', line):
            yield found[1], found[2], found[3].lower()


def test_certificates(daemon, net, staff):
    """Each client has the role of the first row that its certificate fits; without one there is nothing."""
    for name, role in (("reader", 0), ("operator", 1), ("robot", 1), ("boss", 2)):
        context = staff.context(name)
        assert ask(net, context, "GET", "/v1/status")[0] == 200
        assert ask(net, context, "POST", "/v1/deny", '{"add": ["192.0.2.1"]}')[0] == (200 if role >= 1 else 403)
        status, answer, _ = ask(net, context, "PUT", "/v1/objects/trust_stores/x", "{}")
        assert status == (422 if role >= 2 else 403), answer
    status, answer, reply = ask(net, staff.context("nobody"), "GET", "/v1/status")
    assert status == 401 and answer["error"]["code"] == "unauthenticated"
    assert "Basic" in reply.getheader("www-authenticate")
    assert ask(net, staff.context(), "GET", "/v1/status")[0] == 401
    stranger = staff.context("boss-of-others")
    with pytest.raises((ssl.SSLError, OSError)):
        ask(net, stranger, "GET", "/v1/status")


def test_every_row_has_its_role(daemon, net, staff):
    """Who may not, learns nothing; and what the table says is what is asked for."""
    table = list(rows())
    assert len(table) > 35 and {role for _, _, role in table} == set(ROLES)
    nobody = Client(net, staff.context())
    for method, path, needed in table + [("GET", "/nothing", "read"), ("OPTIONS", "/v1/status", "read")]:
        path = path.replace("{}", "x")
        status, answer, _ = nobody.ask(method, path, "" if method != "GET" else None)
        assert (status, answer["error"]["code"]) == (401, "unauthenticated"), (method, path)
        for role in ROLES[:ROLES.index(needed)]:
            status, answer, _ = nobody.ask(method, path, "" if method != "GET" else None, **bearer(role))
            assert (status, answer["error"]["code"]) == (403, "forbidden"), (method, path, role)
            assert needed in answer["error"]["message"]
        nobody.close()


def answers(net, staff, objects, role):
    """What a role gets from everything that only shows: the text by what was asked for."""
    targets = [path for method, path, _ in rows() if method == "GET" and "{}" not in path]
    targets += [f"/v1/objects/{one['kind']}/{one['name']}" for one in objects] + ["/v1/diff?from=0", "/v1/export?redact=0"]
    for target in targets:
        client = Client(net, staff.context())
        client.request("GET", target, headers=bearer(role))
        answer = client.getresponse()
        is_endless = target in ("/v1/events", "/v1/watch/drops")
        yield target, b"" if target == "/v1/watch/drops" else answer.read1() if is_endless else answer.read()
        client.close()
    for url in ("/a", "/?key=SECRET", "/c"):
        body = json.dumps({"listener": "web", "url": url, "headers": [["X", "SECRET"], ["Cookie", "c=SECRET"]]})
        yield f"test {url}", json.dumps(ask(net, staff.context(), "POST", "/v1/rules/test", body, **bearer(role))[1]).encode()


def test_secrets_are_for_admins(daemon, net, staff):
    """Who may not change what is configured does not see what may be a secret in it."""
    settings, secret = config(net, staff), secret_words.settings(net)
    settings = settings | secret | {name: settings[name] + secret[name] for name in ("target_groups", "listeners")}
    daemon.reload(settings)
    try:
        rule = {"priority": 9, "target_group": "web", "conditions": [{"header": {"name": "X", "values": ["SECRET"]}}]}
        daemon.change("PUT", "/v1/objects/rules/web/late", rule)
        daemon.change("PATCH", "/v1/objects/settings/alerts", {"webhook": "http://198.18.2.11:9/SECRET/2"})
        objects = daemon.api("/v1/objects")["objects"]
        for role in ("read", "operate"):
            shown = dict(answers(net, staff, objects, role))
            assert {target for target, text in shown.items() if b"SECRET" in text} == set(), role
            assert b"http" in shown["/v1/config"] and b"REDACTED" in shown["/v1/rules"], "the rest is there"
            assert b"Authorization" in shown["/v1/objects/listeners/web"] and b"REDACTED" in shown["test /a"]
        shown = {target for target, text in answers(net, staff, objects, "admin") if b"SECRET" in text}
        assert {"/v1/config", "/v1/export", "/v1/diff", "/v1/rules", "/v1/objects/listeners/web", "/v1/objects/rules/web/late",
                "/v1/objects/settings/alerts", "/v1/objects/target_groups/web", "test /a", "test /c"} <= shown
        assert "SECRET" in daemon.ctl("export")[1], "by the unix socket, too"
    finally:
        daemon.api("/v1/rollback?to=0", "POST")
        daemon.reload(config(net, staff))


def test_tokens(daemon, net, staff):
    """Bearer, or the password of Basic; from a file, or known by a digest; a wrong one is none."""
    plain = staff.context()
    for role in ROLES:
        assert ask(net, plain, "GET", "/v1/status", **bearer(role))[0] == 200
        basic = base64.b64encode(f"anybody:{TOKENS[role]}".encode()).decode()
        assert ask(net, plain, "GET", "/v1/status", Authorization="basic " + basic)[0] == 200
    digest = hashlib.sha256(TOKENS["admin"].encode()).hexdigest()
    for wrong in ("", "Bearer", "Bearer ", "Bearer x", "Bearer " + TOKENS["read"][:-1], "Bearer " + digest,
                  "Bearer " + TOKENS["read"] + "x", "Basic " + TOKENS["read"], "Basic ====",
                  "Basic " + base64.b64encode(TOKENS["read"].encode()).decode(), "Bearer " + "x" * 600,
                  "Basic " + "A" * 4000, "Digest " + TOKENS["read"]):
        assert ask(net, plain, "GET", "/v1/status", Authorization=wrong)[0] == 401, wrong
    # A token stands above the certificate.
    assert ask(net, staff.context("boss"), "POST", "/v1/drain", **bearer("read"))[0] == 403


def test_big_body_is_refused_first(daemon, net, staff):
    """By its head, before megabytes are taken of somebody who may not send them."""
    with staff.context("reader").wrap_socket(socket.create_connection((net.v4, PORT), TIMEOUT),
                                             server_hostname="lb.sluice.test") as client:
        client.sendall(b"POST /v1/deny/import HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 403 ")


def test_other_sites(daemon, net, staff):
    """A browser that has the certificate does not do what another site's page tells it."""
    boss = staff.context("boss")
    own = {"Origin": f"https://lb.sluice.test:{PORT}", "Sec_Fetch_Site": "same-origin"}
    assert ask(net, boss, "POST", "/v1/deny/hits?on=0", **own)[0] in (200, 501)
    for headers in ({"Origin": "https://evil.test"}, {"Sec_Fetch_Site": "cross-site"}, {"Origin": "null"},
                    {"Sec_Fetch_Site": "same-site"}):
        status, answer, _ = ask(net, boss, "POST", "/v1/drain", **headers)
        assert (status, answer["error"]["code"]) == (403, "cross_site"), headers
    assert daemon.ask("GET", "/v1/status", Host="evil.test")[0] == 403
    for host in ("localhost:8080", "127.0.0.1", "[::1]:1", "sluice"):
        assert daemon.ask("GET", "/v1/status", Host=host)[0] == 200


def test_author(daemon, net, staff):
    """History and log name who it was."""
    body = json.dumps({"ca": {"content": (staff.folder / "staff-ca.pem").read_text()}})
    assert ask(net, staff.context("boss"), "PUT", "/v1/objects/trust_stores/more", body)[0] == 200
    assert ask(net, staff.context(), "DELETE", "/v1/objects/trust_stores/more", **bearer("admin"))[0] == 200
    newest, before = daemon.api("/v1/history")["versions"][:2]
    assert before["who"].startswith("CN=boss from ") and newest["who"].startswith("admin from ")
    assert newest["pid"] == 0
    assert "by admin from " in daemon.ctl("history")[1]
    until(lambda: "admin.listen: CN=boss from" in daemon.log() and "PUT /v1/objects/trust_stores/more" in daemon.log(),
          "the log has it")


def test_sluicectl(daemon, net, staff, monkeypatch):
    """--address with a certificate and with a token; what goes wrong is said."""
    hosts = net.folder / "hosts"
    hosts.write_text(f"{net.v4} lb.sluice.test\n")
    address = f"{net.v4}:{PORT}"

    def ctl(*words, **options):
        where = staff.ctl(**options)
        where[1] = address
        return daemon.ctl(*where, *words, check=False)
    # By its address the server has another name than its certificate.
    code, _, error = ctl("status", name="reader")
    assert code == 3 and "certificate" in error and "mismatch" in error
    server_pki.write(with_address(staff, net.v4), staff.folder / "lb.crt", staff.folder / "lb.key")
    until(lambda: ctl("status", name="reader")[0] == 0, "the certificate is renewed")
    assert "raw" in ctl("listeners", token="read")[1]
    assert json.loads(ctl("-o", "json", "status", token="read")[1])["pid"] == daemon.process.pid
    code, out, error = ctl("reload", name="reader")
    assert code == 1 and "operate" in out + error
    assert ctl("reload", name="operator")[0] == 0
    code, _, error = ctl("status")
    assert code == 1
    code, _, error = daemon.ctl("--address", address, "status", check=False)
    assert code == 3 and "certificate" in error
    code, _, error = daemon.ctl("--address", f"{net.v4}:1", "status", check=False)
    assert code == 3 and "refused" in error
    assert daemon.ctl("--token-file", "x", "status", check=False)[0] == 2
    server_pki.write(staff.server, staff.folder / "lb.crt", staff.folder / "lb.key")


def with_address(staff, address):
    import ipaddress
    key = ec.generate_private_key(ec.SECP256R1())
    cert = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(staff.ca.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(client_pki.now() - DAY).not_valid_after(client_pki.now() + 30 * DAY)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address)),
                                                        x509.DNSName("lb.sluice.test")]), critical=True)
            .sign(staff.ca.key, hashes.SHA256()))
    return cert, key


def watch(net, context, **headers):
    client = Client(net, context)
    client.request("GET", "/v1/watch/drops", headers=headers)
    answer = client.getresponse()
    assert answer.status == 200
    return client, answer


def is_over(client):
    client.sock.settimeout(0.2)
    try:
        return not client.sock.recv(100)
    except TimeoutError:
        return False
    except (ssl.SSLError, OSError):
        return True


def test_changes(daemon, net, staff):
    """Tokens, roles and revocations hold at once, also for who is connected; others notice nothing."""
    reader, boss = watch(net, staff.context("reader"))[0], watch(net, staff.context("boss"))[0]
    kept = Client(net, staff.context("operator"))
    assert kept.ask("GET", "/v1/status")[0] == 200
    # The file of a token changes.
    (staff.folder / "read.token").write_text("another-token-of-who-reads\n")
    until(lambda: ask(net, staff.context(), "GET", "/v1/status", **bearer("read"))[0] == 401, "the old token is none")
    assert ask(net, staff.context(), "GET", "/v1/status", Authorization="Bearer another-token-of-who-reads")[0] == 200
    # A file that cannot be: what was good stays.
    (staff.folder / "read.token").write_text("short\n")
    until(lambda: "stays as it was" in daemon.log(), "it is said", 20)
    assert ask(net, staff.context(), "GET", "/v1/status", Authorization="Bearer another-token-of-who-reads")[0] == 200
    (staff.folder / "read.token").write_text(TOKENS["read"] + "\n")
    until(lambda: ask(net, staff.context(), "GET", "/v1/status", **bearer("read"))[0] == 200, "the token is back")
    # A role that is taken away.
    settings = config(net, staff)
    settings["admin"]["clients"][0] = {"role": "read", "subject": "CN=reader-no-more"}
    daemon.reload(settings)
    until(lambda: is_over(reader), "the reader's stream has ended")
    assert not is_over(boss) and kept.ask("GET", "/v1/status")[0] == 200
    # A certificate that is revoked: all who came by one shake hands again.
    staff.revoke(staff.serial("operator"))
    try:
        until(lambda: is_over(boss), "the stream has ended", 20)
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            Client(net, staff.context("operator")).ask("GET", "/v1/status")
        assert ask(net, staff.context("boss"), "GET", "/v1/status")[0] == 200
    finally:
        staff.revoke()
        for one in (reader, boss, kept):
            one.close()
        daemon.reload(config(net, staff))


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_strangers(daemon, net, staff):
    """Connections that say nothing, and many of them, keep nobody out; they end by themselves."""
    silent = []
    try:
        for _ in range(60):
            silent.append(socket.create_connection((net.v4, PORT), TIMEOUT))
        for _ in range(3):
            assert ask(net, staff.context("boss"), "GET", "/v1/status")[0] == 200
        boss = Client(net, staff.context("boss"))
        assert boss.ask("GET", "/v1/status")[0] == 200
        for _ in range(40):  # one that is known does not make room
            silent.append(socket.create_connection((net.v4, PORT), TIMEOUT))
        until(lambda: daemon.open_files("socket:") > 0, "it goes on")
        assert boss.ask("GET", "/v1/status")[0] == 200
        boss.close()
        until(lambda: is_closed(silent[0]), "the first of them had to make room")
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize("change, message", [
    ({"certificate": None}, "admin.certificate: is required"),
    ({"clients": None, "tokens": None, "trust_store": None}, "nobody may come in"),
    ({"trust_store": None}, "admin.trust_store: is required for clients"),
    ({"clients": [{"role": "read", "san": "www"}]}, "begins with dns:"),
    ({"tokens": [{"name": "a", "role": "read"}]}, "is required (or sha256"),
    ({"tokens": [{"name": "a", "role": "read", "sha256": "z" * 64}]}, "is no SHA-256"),
    ({"tokens": [{"name": "a", "role": "boss", "sha256": "0" * 64}]}, "boss"),
    ({"tokens": [{"name": "a", "role": "read", "file": "/nowhere"}]}, "/nowhere"),
    ({"listen": ["0.0.0.0:81"]}, 'already served by listener "raw"'),
    ({"listen": ["127.0.0.1:9443", "0.0.0.0:9443"]}, "already served by another one of these"),
])
def test_check(net, staff, tmp_path, change, message):
    """What cannot be meant is said, with its place."""
    import subprocess
    import yaml
    from sluiced import BUILD
    settings = config(net, staff)
    settings["admin"] = {k: v for k, v in (settings["admin"] | change).items() if v is not None}
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(settings))
    done = subprocess.run([BUILD / "sluiced", "--check", "--config", path], capture_output=True, text=True,
                          timeout=patience(20))
    assert done.returncode and message in done.stdout + done.stderr, done.stdout + done.stderr
    assert f"{path}:" in done.stdout + done.stderr
