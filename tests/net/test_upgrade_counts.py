"""What is counted goes on from process to process: complete, with what the one before counts until it ends."""
import ssl

import pytest

from gated import STRICT, UNKNOWN, WWW
from standard import NO_CHECK, group, listener
from test_metrics import scrape
from test_upgrade import config, has_ended, old, take_over  # noqa: F401 (a fixture)
from wire import Connection, TlsConnection, client_context, until


def counted(one):
    """Of listeners, of the group, of its targets, and of all."""
    metrics = scrape(one)

    def total(name, **labels):
        wanted = set(labels.items())
        return sum(value for (sample, *has), value in metrics.items() if sample == name and wanted <= set(has))
    return {"all": one.api("/v1/status")["requests_total"],
            "listener": total("sluice_requests_total", listener="web"),
            "group": total("sluice_target_responses_total"),
            "targets": total("sluice_target_requests_total")}


def kept(net):
    client = TlsConnection((net.v4, 443), WWW, client_context()).__enter__()
    assert client.request().status == 200
    return client


def test_is_complete(net, old):
    """Connections of two processes before this one, one request each after they were handed over: the first
    ends by itself, the second is killed when it has told."""
    one = old(config(net))
    early, late = [kept(net) for _ in range(3)], []
    two = take_over(net, one)
    late = [kept(net) for _ in range(2)]
    until(lambda: set(counted(two).values()) == {5}, "all of it is counted")
    for client in early:
        assert client.request().status == 200
        client.close()
    assert has_ended(one)
    until(lambda: set(counted(two).values()) == {8}, "the first has told its last")
    three = take_over(net, two)
    until(lambda: set(counted(three).values()) == {8}, "the third has it all")
    assert late[0].request().status == 200
    until(lambda: set(counted(three).values()) == {9}, "it tells what it counts")
    two.kill9()
    until(lambda: not three.api("/v1/status")["upgrade"]["from_alive"], "its end is seen")
    assert set(counted(three).values()) == {9}
    for client in late:
        client.close()


def test_refusals_of_the_gate(net, old):
    """Those are counted per worker, and were lost with it."""
    settings = config(net)
    settings["listeners"].append(listener("gated", "https", STRICT, "web", certificates=["www"],
                                          gate={"mode": "on", "unknown_name": "refuse"}))
    one = old(settings)
    until(lambda: one.api("/v1/status")["gate"]["active"], "the gate is there")
    before = one.drops().get("name_unknown", 0)
    for number in range(3):
        with pytest.raises(ssl.SSLError):
            TlsConnection((net.v4, STRICT), UNKNOWN)
        until(lambda: one.drops()["name_unknown"] == before + number + 1, "it is counted")
        one, last = take_over(net, one), one
        assert one.drops()["name_unknown"] == before + number + 1
        assert has_ended(last)


def grown(before, after):
    """What has gone back, of samples that only grow: (name, before, after)."""
    kinds = ("_total", "_count", "_sum", "_bucket")
    return [(sample, value, after.get(sample)) for sample, value in before.items()
            if sample[0].endswith(kinds) and after.get(sample, 0) < value]


def test_nothing_goes_back(net, old):
    """Every counter of every kind there is, after requests, refusals, retries and failures of all sorts."""
    rules = [{"priority": 1, "name": "fixed", "conditions": [{"path": "/fixed"}],
              "actions": [{"fixed_response": {"status": 204}}]},
             {"priority": 2, "name": "slow", "conditions": [{"path": "/slow/1"}], "target_group": "web",
              "rate_limit": {"client": {"requests_per_second": 1, "requests_burst": 1}}}]
    settings = config(net)
    settings["listeners"][1]["rules"] = rules
    for name, port in (("secure", 81), ("no-tls", 82)):
        settings["target_groups"].append(
            group(name, "https", net.target_list(8443 if name == "secure" else 9001), NO_CHECK, tls={"verify": False}))
        settings["listeners"].append(listener(name, "http", port, name))
    one = old(settings)
    for port in (81, 82):
        with Connection((net.v4, port)) as client:
            assert client.request(headers=[("Connection", "close")]).status == (200 if port == 81 else 502)
    for path in ("/", "/fixed", "/slow/1", "/slow/1", "/drop", "/status/500", "/partial", "/garbage"):
        with Connection((net.v4, 80)) as client:
            client.request(path)
    with TlsConnection((net.v4, 443), WWW, client_context()) as client:
        client.request()
    with Connection((net.v4, 443)) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.is_ended()
    for _ in range(2):
        before = scrape(one)
        last, one = one, take_over(net, one)
        assert has_ended(last)
        until(lambda: not one.api("/v1/status")["upgrade"]["from_alive"], "its end is seen")
        assert not grown(before, scrape(one))
