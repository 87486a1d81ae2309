"""Every listener type over IPv4 and IPv6 with real clients; certificates, versions, resumption,
re-encryption, the PROXY protocol in and out."""
import json
import socket
import ssl
import struct
import subprocess

import pytest

import standard as std_ports
from wire import Connection, TlsConnection, client_context, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
WWW = "www.sluice.test"


def curl(net, url, *options):
    """curl that resolves every name of the tests to the load balancer; returns what it prints."""
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "--cacert", net.ca.pem, *options, url],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"curl {url}: {done.returncode}: {done.stderr}"
    return done.stdout


def resolve(address, name, port):
    return ["--resolve", f"{name}:{port}:{f'[{address}]' if ':' in address else address}"]


def s_client(net, address, port, *options, data="", check=True):
    """openssl s_client; the connection ends when `data` is sent and an answer line has come."""
    host = f"[{address}]" if ":" in address else address
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-CAfile", net.ca.pem,
                           *options], input=data, capture_output=True, text=True, timeout=20)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_http_curl(std, net, address):
    host = f"[{address}]" if ":" in address else address
    assert curl(net, f"http://{host}:{std_ports.HTTP}/").startswith("hello from t")


def test_https_curl(std, net, address):
    out = curl(net, f"https://{WWW}/", *resolve(address, WWW, 443), "-w", "%{http_code} %{ssl_verify_result}")
    assert out.startswith("hello from t") and out.endswith("200 0")


def test_tls_s_client(std, net, address):
    """The tls listener takes the encryption off and forwards the bytes."""
    with TlsConnection((address, std_ports.TLS), WWW) as client:
        client.send(b"echo\nabc")
        client.finish()
        assert client.rest() == b"abc"
    out = s_client(net, address, std_ports.TLS, "-servername", WWW, "-quiet", "-verify_return_error",
                   "-verify_hostname", WWW, "-ign_eof", "-nocommands", data="proxy\n", check=False)
    assert "null" in out


def test_tcp(std, net, address):
    with Connection((address, std_ports.TCP)) as client:
        client.send(b"echo\nabc")
        client.finish()
        assert client.rest() == b"abc"


@pytest.mark.parametrize("name,expected", [
    (WWW, ["www.sluice.test"]),
    ("a.wild.sluice.test", ["*.wild.sluice.test"]),
    ("A.Wild.Sluice.TEST", ["*.wild.sluice.test"]),
    ("exact.wild.sluice.test", ["exact.wild.sluice.test"]),
    ("a.b.wild.sluice.test", ["default.sluice.test"]),
    ("wild.sluice.test", ["default.sluice.test"]),
    ("unknown.test", ["default.sluice.test"]),
    (None, ["default.sluice.test"]),
])
def test_certificate_by_name(std, net, name, expected):
    for version in (V12, V13):
        with TlsConnection((net.v4, 443), name, client_context(version)) as client:
            assert client.names() == (expected, "ecdsa")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_rsa_half_of_the_dual_pair(std, net, version):
    out = s_client(net, net.v4, 443, version, "-servername", WWW, "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256",
                   "-verify_return_error", "-verify_hostname", WWW)
    assert "Peer signature type: rsa_pss_rsae_sha256" in out or "RSA-PSS" in out.upper()
    out = s_client(net, net.v4, 443, version, "-servername", WWW, "-verify_return_error")
    assert "ecdsa" in out.lower()


@pytest.mark.parametrize("version,name", [(V12, "TLSv1.2"), (V13, "TLSv1.3")])
def test_versions(std, net, address, version, name):
    with TlsConnection((address, 443), WWW, client_context(version)) as client:
        assert client.tls.version() == name
        assert client.request().status == 200


def test_versions_refused(std, net):
    """A listener limited to one version refuses the other, and everything refuses TLS 1.1."""
    for port, version in ((std_ports.HTTPS_13, V12), (std_ports.HTTPS_12, V13)):
        with pytest.raises(ssl.SSLError, match="(?i)version|alert"):
            TlsConnection((net.v4, port), WWW, client_context(version))
    with TlsConnection((net.v4, std_ports.HTTPS_13), WWW, client_context(V13)) as client:
        assert client.request().status == 200
    with TlsConnection((net.v4, std_ports.HTTPS_12), WWW, client_context(V12)) as client:
        assert client.request().status == 200
    out = s_client(net, net.v4, 443, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", check=False)
    assert "alert protocol version" in out


def test_aes_128_gcm_is_preferred(std, net):
    with TlsConnection((net.v4, 443), WWW, client_context(V13)) as client:
        assert client.tls.cipher()[0] == "TLS_AES_128_GCM_SHA256"
    with TlsConnection((net.v4, 443), WWW, client_context(V12)) as client:
        assert client.tls.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption_s_client(std, net, version, tmp_path):
    session = tmp_path / "session"
    before = std.api("/v1/status")["handshakes"]
    request = f"GET / HTTP/1.1\r\nHost: {WWW}\r\nConnection: close\r\n\r\n"
    common = (version, "-servername", WWW, "-ign_eof")
    first = s_client(net, net.v4, 443, *common, "-sess_out", str(session), data=request)
    assert "Reused," not in first and "hello from" in first
    for _ in range(4):  # any worker resumes what another one gave out
        assert "Reused," in s_client(net, net.v4, 443, *common, "-sess_in", str(session), data=request)
    after = std.api("/v1/status")["handshakes"]
    assert after["full"] == before["full"] + 1 and after["resumed"] == before["resumed"] + 4


def test_resumed_with_another_name(std, net):
    """A session is no way to a certificate of another name: the handshake is full."""
    context = client_context(V13)
    with TlsConnection((net.v4, 443), WWW, context) as client:
        client.request()
        session = client.tls.session
    with TlsConnection((net.v4, 443), "exact.wild.sluice.test", context, session=session) as client:
        assert client.request().status == 200
        assert client.names()[0] == ["exact.wild.sluice.test"] and not client.tls.session_reused


@pytest.mark.parametrize("offered,expected", [
    (["http/1.1"], "http/1.1"), (["http/1.1", "h2"], "h2"), (["http/1.0"], "http/1.0"), (None, None)])
def test_alpn_https(std, net, offered, expected):
    with TlsConnection((net.v4, 443), WWW, client_context(alpn=offered)) as client:
        assert client.tls.selected_alpn_protocol() == expected
        assert expected == "h2" or client.request().status == 200


def test_alpn_unknown_is_refused(std, net):
    """RFC 7301 section 3.2: no_application_protocol."""
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsConnection((net.v4, 443), WWW, client_context(alpn=["smtp"]))


@pytest.mark.parametrize("offered,expected", [
    (["echo/1", "echo/2"], "echo/2"), (["echo/1"], "echo/1"), (None, None)])
def test_alpn_tls_prefers_ours(std, net, offered, expected):
    with TlsConnection((net.v4, std_ports.TLS_ALPN), WWW, client_context(alpn=offered)) as client:
        assert client.tls.selected_alpn_protocol() == expected


def test_http_on_the_https_port(std, net):
    """Plain HTTP on a TLS port is refused and counted, and does not hang."""
    before = std.drops()
    with Connection((net.v4, 443)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            client.rest()
        except ConnectionError:
            pass
    until(lambda: sum(std.drops().values()) > sum(before.values()), "the refusal is counted")


# --- re-encryption

@pytest.mark.parametrize("port", [std_ports.HTTPS_REENCRYPT, std_ports.HTTPS_NAME])
def test_reencryption(std, net, port):
    with TlsConnection((net.v4, port), WWW) as client:
        for _ in range(3):
            answer = client.request("/echo")
            assert answer.status == 200 and answer.json()["tls"] in ("TLSv1.3", "TLSv1.2")


@pytest.mark.parametrize("port", [std_ports.HTTPS_UNTRUSTED, std_ports.HTTPS_WRONG_NAME])
def test_reencryption_refused(std, net, targets, port):
    """A target whose certificate cannot be verified gets no request: 502, counted."""
    before = std.drops()["target_tls_failed"]
    with TlsConnection((net.v4, port), WWW) as client:
        assert client.request("/echo").status == 502
    assert sum(t.stats()["requests"] for t in targets) == 0
    until(lambda: std.drops()["target_tls_failed"] > before, "the failure is counted")


def test_tls_to_tls(std, net):
    with TlsConnection((net.v4, std_ports.TLS_TLS), WWW) as client:
        client.send(b"echo\nabc")
        assert client.take(3) == b"abc"


# --- PROXY protocol in

V1 = b"PROXY TCP4 203.0.113.7 203.0.113.9 4711 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::7 2001:db8::9 4711 443\r\n"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=0x21, family=0x11, body=None, tlv=b""):
    if body is None:
        body = socket.inet_aton("203.0.113.7") + socket.inet_aton("203.0.113.9") + struct.pack("!HH", 4711, 443)
    body += tlv
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


V2_6 = v2(family=0x21, body=socket.inet_pton(socket.AF_INET6, "2001:db8::7")
          + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + struct.pack("!HH", 4711, 443))


def forwarded_for(client):
    return [v for k, v in client.request("/echo").json()["headers"] if k.lower() == "x-forwarded-for"]


@pytest.mark.parametrize("header,source", [
    (V1, "203.0.113.7"), (V1_6, "2001:db8::7"), (v2(), "203.0.113.7"), (V2_6, "2001:db8::7"),
    (v2(tlv=b"\xea\x00\x04abcd"), "203.0.113.7"),
    (V1_UNKNOWN, None), (v2(command=0x20, family=0, body=b""), None)],
    ids=["v1-4", "v1-6", "v2-4", "v2-6", "v2-tlv", "v1-unknown", "v2-local"])
@pytest.mark.parametrize("port", [std_ports.PP_ACCEPT, std_ports.PP_REQUIRE])
def test_proxy_header(std, net, port, header, source):
    """The address of the header is the client's; UNKNOWN and LOCAL keep the connection's own."""
    with Connection((net.v4, port)) as client:
        client.send(header)
        assert forwarded_for(client) == [source or "198.18.1.1"]


def test_proxy_header_trickled(std, net):
    """A byte a packet, and the request right behind the header in one packet."""
    for header in (V1, v2()):
        with Connection((net.v4, std_ports.PP_REQUIRE)) as client:
            for at in range(len(header)):
                client.send(header[at:at + 1])
            assert forwarded_for(client) == ["203.0.113.7"]
        with Connection((net.v4, std_ports.PP_REQUIRE)) as client:
            client.send(header + b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
            assert ["X-Forwarded-For", "203.0.113.7"] in client.response().json()["headers"]


def test_proxy_header_missing(std, net):
    with Connection((net.v4, std_ports.PP_ACCEPT)) as client:
        assert forwarded_for(client) == ["198.18.1.1"]
    before = std.drops()["proxy_header_missing"]
    with Connection((net.v4, std_ports.PP_REQUIRE)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.is_ended()
    until(lambda: std.drops()["proxy_header_missing"] > before, "the refusal is counted")


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 203.0.113.7\r\n", b"PROXY TCP4 203.0.113.999 203.0.113.9 1 2\r\n",
    b"PROXY TCP4 203.0.113.7 203.0.113.9 99999 443\r\n", b"PROXY " + b"x" * 120,
    SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
    SIGNATURE + b"\x25\x11\x00\x0c" + bytes(12)],
    ids=["short", "address", "port", "endless", "version", "length", "command"])
def test_proxy_header_malformed(std, net, header):
    """Refused, not taken for a request: the connection ends without an answer."""
    before = std.drops()["proxy_header_bad"]
    with Connection((net.v4, std_ports.PP_REQUIRE)) as client:
        client.send(header)
        assert client.is_ended()
    until(lambda: std.drops()["proxy_header_bad"] > before, "the refusal is counted")


def test_proxy_header_never_finished(std, net):
    """timeouts.handshake bounds the wait for the rest of the header."""
    with Connection((net.v4, std_ports.PP_REQUIRE)) as client:
        client.send(b"PROXY TCP4 203.0")
        assert client.is_ended(timeout=5)


def test_proxy_header_before_tls(std, net):
    for port in (std_ports.PP_HTTPS,):
        with TlsConnection((net.v4, port), WWW, before=V1) as client:
            assert forwarded_for(client) == ["203.0.113.7"]
        with TlsConnection((net.v4, port), WWW) as client:
            assert forwarded_for(client) == ["198.18.1.1"]


# --- PROXY protocol out

@pytest.mark.parametrize("port,version", [(std_ports.PP_OUT_V1, 1), (std_ports.PP_OUT_V2, 2)])
def test_proxy_header_to_http_targets(std, net, address, port, version):
    """Each target connection carries the address of the client whose request it serves."""
    for client_address in ("198.18.1.1", "198.18.1.22") if address == net.v4 else ("fd51:1::1",):
        with Connection((address, port), source=client_address) as client:
            proxy = client.request("/echo").json()["proxy"]
            assert proxy["version"] == version and proxy["source"] == client_address
            assert proxy["destination"] == address and proxy["destination_port"] == port
            assert proxy["source_port"] == client.sock.getsockname()[1]


@pytest.mark.parametrize("port,version", [(std_ports.PP_OUT_TCP_V1, 1), (std_ports.PP_OUT_TCP_V2, 2)])
def test_proxy_header_to_tcp_targets(std, net, address, port, version):
    with Connection((address, port)) as client:
        client.send(b"proxy\n")
        proxy = json.loads(client.rest())
    assert proxy["version"] == version and proxy["destination"] == address
    assert proxy["source"] == ("198.18.1.1" if address == net.v4 else "fd51:1::1")


def test_proxy_header_passed_on(std, net):
    """In by v1 or v2, out by the other: the target sees the first client."""
    with Connection((net.v4, std_ports.PP_TCP)) as client:
        client.send(V1 + b"proxy\n")
        proxy = json.loads(client.rest())
    assert (proxy["version"], proxy["source"], proxy["source_port"]) == (2, "203.0.113.7", 4711)
    with TlsConnection((net.v4, std_ports.PP_TLS), WWW, before=v2()) as client:
        client.send(b"proxy\n")
        proxy = json.loads(client.rest())
    assert (proxy["version"], proxy["source"], proxy["source_port"]) == (1, "203.0.113.7", 4711)
