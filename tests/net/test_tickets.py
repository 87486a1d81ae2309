"""Session tickets: keys of a file that nodes share, for how long and under which names a session goes on,
and what is counted."""
import os
import ssl
import subprocess

import pytest

import standard
from test_expiry import metrics
from wire import TlsConnection, client_context, patience, until

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3  # both in all of it: tests/unit/tls/test_resumption.c
PORT, NAME = 9460, "www.sluice.test"


class Keys:
    """The file of the keys; letters stand for keys."""

    def __init__(self, folder):
        self.path = folder / "tickets.keys"
        self.random = {letter: os.urandom(80) for letter in "abc"}

    def write(self, letters, cut=0):
        aside = self.path.with_suffix(".new")
        with open(os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as out:
            out.write(b"".join(self.random[letter] for letter in letters)[cut:])
        aside.rename(self.path)


def config(net, keys=None, **tickets):
    if keys:
        tickets["keys_file"] = str(keys.path)
    return {"certificates": net.certificates("www", "exact"),
            "session_tickets": tickets,
            "target_groups": [g for g in standard.groups(net) if g["name"] == "one"],
            "listeners": [standard.listener("web", "https", PORT, "one", certificates=["www", "exact"])]}


class Visitor:
    """A client that keeps its session."""

    def __init__(self, net, version):
        self.net, self.context, self.session = net, client_context(version), None

    def visit(self, name=NAME):
        """Was it resumed?"""
        with TlsConnection((self.net.v4, PORT), name, self.context, session=self.session) as client:
            assert client.request().status == 200
            self.session = client.tls.session
            return client.tls.session_reused


@pytest.fixture
def keys(net):
    keys = Keys(net.folder)
    keys.write("a")
    return keys


def counts(daemon):
    return daemon.api("/v1/listeners")["listeners"][0]["handshakes"]


def test_keys_of_a_file(net, targets, keys):
    """Another node, or the same one after a restart, takes the tickets; a change of the file is in
    force without a reload, and what cannot be taken leaves the keys that were good."""
    daemon = net.launch(config(net, keys), "tickets")
    visitor = Visitor(net, V13)
    assert not visitor.visit()
    net.launch(config(net, keys), "tickets")
    daemon = net.current
    assert visitor.visit()
    keys.write("ba")
    until(lambda: daemon.api("/v1/status")["session_tickets"]["keys"] == 2, "both keys are in force")
    assert visitor.visit() and visitor.visit()
    keys.write("bc", cut=1)
    until(lambda: daemon.api("/v1/status")["session_tickets"]["fault"], "the fault is told")
    assert "has 159 bytes: one to 8 keys of 80 bytes" in daemon.log()
    assert "the keys stay as they were" in daemon.ctl("status")[1]
    assert visitor.visit()
    keys.write("c")
    until(lambda: daemon.api("/v1/status")["session_tickets"]["keys"] == 1, "the new key is in force")
    before = counts(daemon)
    assert not visitor.visit()
    assert visitor.visit()
    after = counts(daemon)
    assert {name: after[name] - before[name] for name in after} == {
        "full": 1, "resumed": 1, "failed": 0, "ticket_refused": 1}
    assert metrics(daemon)["sluice_tickets_refused_total"] == {'listener="web"': 1}
    assert "1 tickets refused" in daemon.ctl("status")[1]
    os.chmod(keys.path, 0o644)
    status, _, err = daemon.ctl("reload", check=False)
    assert status != 0 and "session_tickets.keys_file" in err and "chmod 600" in err
    assert visitor.visit()


def test_a_session_has_an_end(net, targets):
    """However often the client comes back; nor is it good for a name of another certificate."""
    net.launch(config(net, session_age=f"{int(patience(4))}s"), "tickets")
    visitor = Visitor(net, V12)
    assert not visitor.visit()
    assert visitor.visit()
    until(lambda: not visitor.visit(), "a full handshake")
    assert visitor.visit()
    net.current.reload(config(net, rotation="1m"))
    assert not visitor.visit("exact.wild.sluice.test")
    assert visitor.visit("exact.wild.sluice.test")
    assert not visitor.visit()


@pytest.mark.parametrize("priority", ["-VERS-ALL:+VERS-TLS1.2", "-VERS-ALL:+VERS-TLS1.3"], ids=["1.2", "1.3"])
def test_gnutls_resumes(net, targets, priority):
    """Another TLS library: gnutls-cli connects, connects again, and says that the session went on."""
    daemon = net.launch(config(net), "tickets")
    before = counts(daemon)
    request = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
    done = subprocess.run(["gnutls-cli", "--resume", "--x509cafile", str(net.ca.pem), "--waitresumption",
                           f"--priority=NORMAL:{priority}", "--sni-hostname", NAME, "--verify-hostname", NAME,
                           "-p", str(PORT), net.v4], input=request, capture_output=True, text=True,
                          timeout=patience(30))
    assert "*** This is a resumed session" in done.stdout, done.stdout + done.stderr
    assert "HTTP/1.1 200" in done.stdout, done.stdout
    after = counts(daemon)
    assert (after["full"] - before["full"], after["resumed"] - before["resumed"]) == (1, 1)
