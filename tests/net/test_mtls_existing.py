"""What becomes of connections that are there when a listener's terms are tightened: kept, drained,
closed; over HTTP and through tunnels, by configuration and for one reload."""
import pytest

import standard
from test_mtls import (NAME, OFF, OPTIONAL, PREFIX, TLS_VERIFY, VERIFY, config, headers_of,
                       mtls, people, revoking_good)  # noqa: F401 (fixtures)
from wire import TlsConnection, until


def reload(mtls, changed, how):
    mtls.write(changed)
    mtls.ctl("reload", "--existing", how)


def dial(net, people, port, who):
    return TlsConnection((net.v4, port), NAME, people.context(who))


def with_delay(config, delay):
    for group in config["target_groups"]:
        group["deregistration_delay"] = delay
    return config


def test_keep_and_close(mtls, net, people):
    """A revoked client's connection, kept by one reload; another revocation's closed by the next."""
    with dial(net, people, VERIFY, people.good) as client, \
            dial(net, people, TLS_VERIFY, people.good) as tunnel:
        tunnel.send(b"hold\n")
        assert tunnel.line() == "held"
        assert client.request("/echo").status == 200
        reload(mtls, revoking_good(net, people), "keep")
        assert client.request("/echo").status == 200
        people.revoke(666, 667)
        mtls.ctl("reload", "--existing", "close")
        for gone in (client, tunnel):
            assert gone.is_ended()


def test_a_tunnel_is_drained(mtls, net, people):
    """Drained, the tunnel has the time that one to a removed target has."""
    mtls.reload(with_delay(config(net, people), "1s"))
    with dial(net, people, TLS_VERIFY, people.good) as tunnel:
        tunnel.send(b"echo\nabc")
        assert tunnel.take(3) == b"abc"
        mtls.reload(with_delay(revoking_good(net, people), "1s"))
        tunnel.send(b"def")
        assert tunnel.take(3) == b"def"
        assert tunnel.is_ended()


@pytest.mark.parametrize("how", ["keep", "drain"])
def test_nobody_gets_to_another_group(mtls, net, people, how):
    """A listener of everybody's becomes one of few, and leads elsewhere: whoever is connected never
    gets there, however it was reloaded."""
    def asked(client):
        answer = client.request("/echo")
        return answer.json()["target"], answer.get("connection")
    changed = config(net, people)
    changed["target_groups"] += [standard.group("private", "http", net.target_list(8080, 2))]
    changed["listeners"][3] |= {"target_group": "private",
                                "client_auth": {"mode": "verify", "trust_store": "clients"}}
    with dial(net, people, OFF, None) as used, dial(net, people, OFF, None) as unused:
        assert asked(used)[1] is None
        reload(mtls, changed, how)
        assert used.rest() == b""
        assert asked(unused) == ("t1", "close")
        assert unused.rest() == b""
    until(lambda: mtls.states("private") == ["healthy"], "the target is there")
    with dial(net, people, OFF, people.good) as client:
        assert asked(client)[0] == "t2"


def test_an_identity_is_not_told_by_another_trust_store(mtls, net, people):
    """Switched off, then on again with other CAs: a client that those before had believed goes on,
    as one that has shown nothing."""
    def told(client):
        return headers_of(client.request("/echo")).get(f"{PREFIX}-subject")
    changed = config(net, people, trust_stores=[people.store(crls=())])
    auth = changed["listeners"][1].pop("client_auth")
    with dial(net, people, OPTIONAL, people.good) as client:
        assert told(client) == "CN=good"
        mtls.reload(changed)
        assert told(client) is None
        people.trust(people.other)
        changed["listeners"][1]["client_auth"] = auth
        mtls.reload(changed)
        assert told(client) is None
        with dial(net, people, OPTIONAL, people.stranger) as another:
            assert told(another) == "CN=stranger"


def test_a_word_that_is_none(mtls, net, people):
    status, _, err = mtls.ctl("reload", "--existing", "perhaps", check=False)
    assert status != 0 and "existing is keep, drain or close" in err
