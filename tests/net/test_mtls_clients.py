"""Certificates of every kind shown by several TLS libraries: each client is let in, or told why not."""
import ssl
import subprocess

import pytest

from test_mtls import DEPTH, NAME, V12, V13, VERIFY, mtls, people  # noqa: F401 (fixtures)
from wire import TlsConnection, patience

# What shows which certificate, and the number and OpenSSL's words of the alert it gets; None: it is let in.
ROWS = [("good", VERIFY, None), ("expired", VERIFY, (45, "certificate expired")),
        ("revoked", VERIFY, (44, "certificate revoked")), ("stranger", VERIFY, (48, "unknown ca")),
        ("deep", DEPTH, (48, "unknown ca")), ("deep", VERIFY, None),
        (None, VERIFY, {V12: (40, "handshake failure"), V13: (116, "certificate required")})]
REQUEST = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
HELLO = "hello from t1"


def said(*command, text=None):
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True,
                          errors="replace", timeout=patience(20))
    return done.stdout + done.stderr


def by_curl(net, port, files, version):
    shown = ["--cert", files[0], "--key", files[1]] if files else []
    number = {V12: "1.2", V13: "1.3"}[version]
    return said("curl", "-sS", "--max-time", patience(10), "--cacert", net.ca.pem, "--resolve",
                f"{NAME}:{port}:{net.v4}", f"--tlsv{number}", "--tls-max", number, *shown,
                f"https://{NAME}:{port}/")


def by_openssl(net, port, files, version):
    shown = ["-cert", files[0], "-key", files[1], "-cert_chain", files[0]] if files else []
    return said("openssl", "s_client", "-connect", f"{net.v4}:{port}", "-servername", NAME, "-CAfile", net.ca.pem,
                "-verify_return_error", {V12: "-tls1_2", V13: "-tls1_3"}[version], *shown, "-ign_eof", text=REQUEST)


def by_gnutls(net, port, files, version):
    shown = ["--x509certfile", files[0], "--x509keyfile", files[1]] if files else []
    number = {V12: "1.2", V13: "1.3"}[version]
    return said("gnutls-cli", "--x509cafile", net.ca.pem, "--sni-hostname", NAME, "--verify-hostname", NAME,
                "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{number}", *shown, "-p", port, net.v4, text=REQUEST)


def by_python(net, port, files, version):
    context = ssl.create_default_context(cafile=net.ca.pem)
    context.minimum_version = context.maximum_version = version
    if files:
        context.load_cert_chain(*files)
    try:
        with TlsConnection((net.v4, port), NAME, context) as client:
            return client.request().body.decode()
    except ssl.SSLError as error:
        return error.reason.replace("_", " ").lower()


@pytest.mark.parametrize("version", [V12, V13], ids=["1.2", "1.3"])
@pytest.mark.parametrize("client", [by_curl, by_openssl, by_gnutls, by_python],
                         ids=["curl", "openssl", "gnutls", "python"])
def test_each_certificate(mtls, net, people, client, version):
    for who, port, alert in ROWS:
        number, words = (alert[version] if isinstance(alert, dict) else alert) or (None, HELLO)
        out = client(net, port, people.files[who] if who else None, version)
        wanted = f"[{number}]" if number and client is by_gnutls else words
        if (client, version, who) == (by_curl, V12, "expired"):
            wanted = "SSL certificate verification failed"  # what curl makes of this alert
        assert wanted in out and (HELLO in out) == (number is None), f"{who} at {port}: {out}"
