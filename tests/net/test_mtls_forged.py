"""Nobody tells a target who he is but sluice: headers and trailers, in every spelling, through every
listener that leads to the target, and no way around them."""
import pytest

import standard
from test_mtls import (NAME, OFF, OPTIONAL, PASSTHROUGH, PREFIX, VERIFY, config, headers_of,
                       mtls, mtls_headers, people)  # noqa: F401 (fixtures)
from wire import Connection, TlsConnection, until

PLAIN, NEAR, ALONE = 9480, 9481, 9482
NAMES = ["X-Amzn-Mtls-Clientcert-Subject", "x_amzn_mtls_clientcert_subject",
         "X.Amzn.Mtls.Clientcert.Subject"]
SPELLINGS = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def doors(mtls, net, people):
    """Plain listeners: to the same group, to another one with the same server, to another server."""
    changed = config(net, people)
    changed["target_groups"] += [standard.group("near", "http", net.target_list(8080, 1)),
                                 standard.group("alone", "http", net.target_list(8080, 2))]
    changed["listeners"] += [standard.listener("plain", "http", PLAIN, "one"),
                             standard.listener("near", "http", NEAR, "near"),
                             standard.listener("alone", "http", ALONE, "alone")]
    mtls.reload(changed)
    return mtls


def post_chunked(client, trailers):
    """What the target saw: headers, trailers."""
    client.send(b"POST /echo HTTP/1.1\r\nHost: www.sluice.test\r\nTransfer-Encoding: chunked\r\n"
                b"Trailer: X-End\r\n\r\n3\r\nabc\r\n0\r\n"
                + b"".join(f"{name}: CN=admin\r\n".encode() for name in trailers)
                + b"X-End: yes\r\n\r\n")
    answer = client.response()
    assert answer.status == 200
    return headers_of(answer), [line.lower() for line in answer.json()["trailers"]]


@SPELLINGS
@pytest.mark.parametrize("port", [VERIFY, OPTIONAL, PASSTHROUGH, OFF])
def test_trailers(mtls, net, people, port, name):
    who = people.good if port == VERIFY else None
    with TlsConnection((net.v4, port), NAME, people.context(who)) as client:
        seen, trailers = post_chunked(client, [name, NAMES[0]])
        assert trailers == ["x-end: yes"]
        assert bool(mtls_headers(seen)) == (port == VERIFY)


@SPELLINGS
def test_other_doors(doors, net, name):
    for port in (PLAIN, NEAR):
        with Connection((net.v4, port)) as client:
            seen = headers_of(client.request("/echo", headers=[(name, "CN=admin"), ("X-Other", "kept")]))
            assert "CN=admin" not in seen.values() and seen["x-other"] == "kept"
            assert post_chunked(client, [name])[1] == ["x-end: yes"]
    with Connection((net.v4, ALONE)) as client: # nobody tells that server anything
        seen = headers_of(client.request("/echo", headers=[(name, "CN=upstream")]))
        assert seen[name.lower()] == "CN=upstream"
        assert post_chunked(client, [name])[1] == [f"{name.lower()}: cn=admin", "x-end: yes"]


def test_switched_off(mtls, net, people):
    """While the mode is off, a target still believes what it was told before."""
    changed = config(net, people)
    for listener in changed["listeners"]:
        if "client_auth" in listener:
            listener["client_auth"] = {"mode": "off"}
    mtls.reload(changed)
    with TlsConnection((net.v4, VERIFY), NAME, people.context(None)) as client:
        assert not mtls_headers(headers_of(client.request("/echo", headers=[(NAMES[0], "CN=admin")])))
        assert post_chunked(client, NAMES)[1] == ["x-end: yes"]


@pytest.mark.parametrize("upgrade", ["h2c", "websocket, h2c", "HTTP/2.0", "TLS/1.2"])
def test_no_tunnel_to_another_http(doors, net, upgrade):
    """A target that is lax would speak HTTP/2 in a tunnel, where nobody looks at headers."""
    with Connection((net.v4, PLAIN)) as client:
        seen = headers_of(client.request("/echo", headers=[
            ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", upgrade), ("HTTP2-Settings", "AAMAAABk")]))
        assert not {"upgrade", "http2-settings"} & set(seen)
        assert client.request("/echo").status == 200


def test_a_way_around_is_told(mtls, net, people):
    """A listener that does not read HTTP hands forged headers on: whoever configures it is told."""
    changed = config(net, people)
    changed["target_groups"] += [standard.group("around", "tcp", net.target_list(8080, 1))]
    changed["listeners"] += [standard.listener("around", "tcp", PLAIN, "around")]
    mtls.reload(changed)
    with Connection((net.v4, PLAIN)) as client:
        assert "CN=admin" in headers_of(client.request("/echo", headers=[(NAMES[0], "CN=admin")])).values()
    until(lambda: "listener around: what clients send goes to targets of group around untouched"
          in mtls.log()[mtls.log_mark:], "the warning is in the log")
    said = mtls.log()[mtls.log_mark:]
    assert "believe headers of listener verify (X-Amzn-Mtls-Clientcert-Serial-Number)" in said
    assert "listener tls-verify: what clients send" not in said
