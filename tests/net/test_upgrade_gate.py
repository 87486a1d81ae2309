"""The way of first flights while one process takes over from another: nothing of it is lost, whatever
state it is in, and nobody comes around the gate."""
import struct
import time

import pytest

import gated
from counts import count
from gated import GATED, WWW
from load import Load
from rawtcp import Hello
from standard import NO_CHECK, group, listener
from test_survive import map_ids
from test_upgrade import (COMMITTED, GIVEN, HELLO, PREPARED, failures, has_ended, hear,  # noqa: F401
                          of_another_layout, old, peer, say, successor, take_over)
from wire import client_context, until


def settings(net, workers=1, **more):
    plane = {"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins)}
    return {"workers": workers, "certificates": net.certificates("www", "wild"), "xdp": plane,
            "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
            "listeners": [listener("gated", "https", GATED, "web", certificates=["www", "wild"],
                                   gate={"mode": "on"})]} | more


def await_gate(one):
    until(lambda: one.api("/v1/status")["gate"]["active"], "the gate is there")


def counter(one, name):
    rows = one.dump_json("counters")[0]["formatted"]["values"]
    return sum(row["value"][name] for row in rows)


# How long the gate keeps half of a ClientHello. Where programs are verified by an emulated CPU, a process takes
# longer to take over.
FLIGHT_S = 10


class Knock:
    """A client that has come as far as it says when the process changes, and then goes on."""

    def __init__(self, link, address, kind):
        self.kind, self.came = kind, time.monotonic()
        self.raw, self.hello = link.client(address, GATED), Hello()
        self.half = len(self.hello.bytes) // 2
        self.raw.connect()
        if kind == "half":
            self.raw.send(0, self.hello.bytes[:self.half])
            self.raw.expect_ack(self.half)
        elif kind == "end":
            self.raw.send(self.half, self.hello.bytes[self.half:])

    def go_on(self):
        """What was acknowledged is not sent again, what is not lost neither."""
        if self.kind != "SYN" and time.monotonic() - self.came > FLIGHT_S - 1:
            return self.raw.abort()
        if self.kind == "SYN":
            gated.whole(self.raw, self.hello.bytes)
        elif self.kind == "half":
            self.raw.send(self.half, self.hello.bytes[self.half:])
        else:
            self.raw.send(0, self.hello.bytes[:self.half])
        assert self.hello.finish(self.raw).get(self.raw) == 200, self.kind
        return self.raw.abort()


KINDS = ("SYN", "half", "end")


@pytest.mark.parametrize("layout", ["same", "other"])
def test_who_is_in_the_gate(net, old, link, layout):
    """Who has a SYN-ACK, half of a ClientHello acknowledged, or its end before its beginning in the gate, is
    served by the next process, with another number of workers, and of a packet plane with other maps."""
    one = old(settings(net))
    await_gate(one)
    left = []
    with Load((net.v4, GATED), 6, 10, client_context(), WWW, is_new_each=True) as new:
        for number in range(count("upgrades")):
            knocks = [Knock(link, address, kind) for kind in KINDS for address in (net.v4, net.v6)]
            bypassed = counter(one, "gate_bypassed")
            if layout == "other":
                of_another_layout(one)
                bypassed = 0
            left.append(one)
            one = take_over(net, one, settings(net, 2 - number % 2))
            for knock in knocks:
                knock.go_on()
            await_gate(one)
            done = new.ok
            until(lambda: new.ok > done + 40, "the load goes on")
            assert counter(one, "gate_bypassed") == bypassed
            if layout == "same":
                assert "sockets of the process before" in one.log()
    assert new.failures == []
    print(f"{new.ok} connections, slowest {new.slowest_s * 1000:.0f} ms")
    for other in left:
        assert has_ended(other)


def test_other_layout_fails(net, old, link):
    """The one that takes over has loaded a plane of its own beside the one in force, and is killed: pins and
    programs are what they were, who knocked is served, and the next one takes all of it over."""
    one = old(settings(net))
    await_gate(one)
    of_another_layout(one)
    with Load((net.v4, GATED), 6, 10, client_context(), WWW, is_new_each=True) as new:
        pinned, bypassed = map_ids(one), counter(one, "gate_bypassed")
        knocks = [Knock(link, net.v4, kind) for kind in KINDS]
        said = len(one.log())
        next_one = successor(net, one)
        until(lambda: "pinned maps have layout" in one.log()[said:] and "capabilities: " in one.log()[said:],
              "it is on its way")
        next_one.process.kill()
        next_one.process.wait()
        until(lambda: failures(one) == 1, "it is told of")
        for knock in knocks:
            knock.go_on()
        assert map_ids(one) == pinned and counter(one, "gate_bypassed") == bypassed
        next_one = take_over(net, one)
        await_gate(next_one)
        assert not (one.pins / "maps_aside").exists() or not list((one.pins / "maps_aside").iterdir())
    assert new.failures == []
    assert has_ended(one)


def test_given_and_not_taken(net, old, link):
    """Who has got the gate, and serves it for all one knows, is gone: the one before makes it anew."""
    one = old(settings(net))
    await_gate(one)
    with Load((net.v4, GATED), 6, 10, client_context(), WWW, is_new_each=True) as new:
        knock = Knock(link, net.v4, "half")
        with peer(net, one) as sock:
            say(sock, HELLO, struct.pack("II", 1, 1))
            hear(sock, GIVEN)
            say(sock, PREPARED, struct.pack("II", 0, 1))
            assert hear(sock, COMMITTED) >= 5  # socket and memory, queue and link of the device, flights
        until(lambda: failures(one) == 1, "it is told of")
        await_gate(one)
        done, bypassed = new.ok, counter(one, "gate_bypassed")
        until(lambda: new.ok > done + 20, "the load goes on")
        assert counter(one, "gate_bypassed") == bypassed
        knock.raw.abort()
        next_one = take_over(net, one)
        await_gate(next_one)
    assert new.failures == []
    assert has_ended(one)
