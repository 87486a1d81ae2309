"""What is counted goes on from process to process: complete, with what the one before counts until it ends."""
import ssl

import pytest

from gated import STRICT, UNKNOWN, WWW
from standard import listener
from test_metrics import scrape
from test_upgrade import config, has_ended, old, take_over  # noqa: F401 (a fixture)
from wire import TlsConnection, client_context, until


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
