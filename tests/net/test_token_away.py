"""Tokens that are away, that hang, or refuse the PIN: the rest is served, and they come back by themselves."""
import socket
import ssl
import subprocess
import time

import pytest

from sluiced import BUILD, STOP_S
from test_keys import config, served
from tokens import SOFTHSM, STALLING, Token, needs_token, state
from wire import patience, until

ANSWER_S = 5  # after which a token counts as away


@pytest.fixture
def token(net, monkeypatch):
    (net.folder / "tls/aside").mkdir(exist_ok=True)
    made = Token(net.folder / "token", monkeypatch)
    yield made
    made.stall()


@pytest.fixture
def ecdsa(net, token):
    pair = net.ca.issue("aside/token-ec", "token.test")
    token.put(pair[1], "ec")
    return pair


def hello(net, name):
    """A client that says hello, and waits for nothing."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    sock = socket.create_connection((net.v4, 443))
    sock.sendall(outgoing.read())
    return sock


@needs_token
def test_token_hangs(net, launch, token, ecdsa):
    """A token whose calls do not come back when keys are opened holds up nobody: not the start, handshakes,
    reloads nor the end. One that hangs while it signs does not keep us from ending."""
    token.stall("open")
    rows = [token.row("ec", ecdsa)]
    one = launch(config(net, *rows, pkcs11_module=STALLING, workers=1))
    assert state(one, "ec") == "bad" and f"has not answered for {ANSWER_S} seconds" in one.log()
    assert served(net, "default")[0]
    before = time.monotonic()
    one.reload(config(net, *rows, pkcs11_module=STALLING, workers=1, log={"level": "debug"}))
    one.write(config(net, *rows, token.row("new", ecdsa), pkcs11_module=STALLING, workers=1))
    status, _, errors = one.ctl("reload", check=False)  # it is known by now that there is no answer
    assert status and "certificates[new]" in errors and "has not answered" in errors
    assert time.monotonic() - before < patience(ANSWER_S)

    token.stall()
    until(lambda: state(one, "ec") == "good", "it is opened when the token answers")
    assert served(net, "token.test")[0] == ["token.test"]
    until(lambda: "certificate ec is served again" in one.log(), "the log says so")

    token.stall("sign")
    with hello(net, "token.test"):
        until(lambda: token.hangs("sign"), "the worker waits for the token")
        one.process.terminate()
        until(lambda: "stopping" in one.log(), "it has heard it")
        one.process.terminate()
        assert one.process.wait(STOP_S) == 1
        assert "a worker is held up" in one.log()
    one.discard()




@needs_token
def test_token_hangs_at_the_end(net, launch, token, ecdsa):
    """Nobody waits for a token that hangs while it is asked again."""
    one = launch(config(net, token.row("ec", ecdsa), pkcs11_module=STALLING))
    assert served(net, "token.test")[0] == ["token.test"]
    token.drop("ec")
    token.stall("open")
    with pytest.raises((OSError, ssl.SSLError)):
        served(net, "token.test")
    until(lambda: token.hangs("open"), "it is asked again")
    one.stop()


@needs_token
def test_token_away_at_start(net, launch, token):
    """What is away at the start is served later; the rest at once. A new one in a change, or for --check, is
    refused."""
    pair = net.ca.issue("aside/token-ec", "token.test")
    wanted = config(net, token.row("ec", pair), pkcs11_module=SOFTHSM)
    one = launch(wanted)
    assert state(one, "ec") == "bad" and "certificate ec is served to nobody until its token signs" in one.log()
    done = subprocess.run([BUILD / "sluiced", "--check", one.file], capture_output=True, text=True,
                          timeout=patience(20))
    assert done.returncode and "certificates[ec]" in done.stderr
    one.write(config(net, token.row("ec", pair), token.row("other", pair), pkcs11_module=SOFTHSM))
    status, _, errors = one.ctl("reload", check=False)
    assert status and "certificates[other]" in errors and "certificates[ec]" not in errors
    token.put(pair[1], "ec")
    until(lambda: state(one, "ec") == "good", "the token is asked again")
    assert served(net, "token.test")[0] == ["token.test"]


@needs_token
def test_pin_refused(net, launch, token, ecdsa):
    """A PIN that the token refuses is tried once, however often it is looked at; a corrected file is seen."""
    one = launch(config(net, token.row("ec", ecdsa, "wrong"), pkcs11_module=STALLING))
    assert state(one, "ec") == "bad"
    until(lambda: one.log().count("the token refuses the PIN") >= 2, "it is looked at again")
    assert one.ctl("reload")[0] == 0
    assert token.logins() == 1 and "9999" not in one.log()
    (token.folder / "wrong").write_text("1234\n")
    until(lambda: state(one, "ec") == "good", "the corrected file is seen")
    assert served(net, "token.test")[0] == ["token.test"] and token.logins() == 2
