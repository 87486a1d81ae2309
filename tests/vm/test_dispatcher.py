"""Sharing the interface with another XDP program through libxdp's dispatcher, which needs a kernel
that replaces BPF functions: sluiced joins, survives its own end, leaves; the other one goes on."""
import ctypes
import json
from pathlib import Path

import pytest

import netns
from standard import group, listener
from wire import status

TOP = netns.TOP
NATIVE = 1  # enum xdp_attach_mode


class Neighbour:
    """Somebody else's program, attached as any tool would do it."""

    def __init__(self, net):
        self.net = net
        self.libxdp = ctypes.CDLL("libxdp.so.1")
        self.libxdp.xdp_program__open_file.restype = ctypes.c_void_p
        with netns.entered(net.lb):
            self.ifindex = ctypes.CDLL(None).if_nametoindex(net.device.encode())
            self.program = ctypes.c_void_p(self.libxdp.xdp_program__open_file(
                str(TOP / "build/gen/bpf/xdp_neighbour.bpf.o").encode(), None, None))
            assert self.libxdp.xdp_program__attach(self.program, self.ifindex, NATIVE, 0) == 0

    def saw(self):
        maps = json.loads(netns.run(["bpftool", "--json", "map", "dump", "name", "neighbour_seen"]))
        return maps[0]["formatted"]["value"] if "formatted" in maps[0] else maps[0]["value"]

    def detach(self):
        with netns.entered(self.net.lb):
            assert self.libxdp.xdp_program__detach(self.program, self.ifindex, NATIVE, 0) == 0


def members(net):
    """Names of the interface's own program and of those in the slots of the dispatcher it may be."""
    link = netns.ip_json("link", "show", net.device, namespace=net.lb)[0]
    own = link.get("xdp", {}).get("prog", {})
    pins = Path("/sys/fs/bpf/xdp") / f"dispatch-{link['ifindex']}-{own.get('id')}"
    programs = [json.loads(netns.run(["bpftool", "--json", "prog", "show", "pinned", pin]))
                for pin in pins.glob("prog*-prog")]
    return own.get("name"), sorted(program["name"] for program in programs)


def expect(net, *programs):
    assert members(net) == ("xdp_dispatcher" if programs else None, list(programs))


@pytest.fixture
def neighbour(net):
    net.halt()
    return Neighbour(net)


def test_joined(net, neighbour, launch):
    one = launch({"target_groups": [group("web", "http", net.target_list(8080))],
                  "listeners": [listener("web", "http", 80, "web")], "deny": ["198.18.1.9/32"]})
    row = one.api("/v1/status")["xdp"]["interfaces"][0]
    assert row["mode"] == "native (dispatcher)", row
    expect(net, "sluice_xdp", "xdp_neighbour")
    before = neighbour.saw()
    assert status(net.v4) == 200
    assert neighbour.saw() > before
    assert one.counter("syn") + one.counter("syn_cookie") > 0
    # A crash: both stay, and the next process takes the place of its predecessor.
    one.kill9()
    expect(net, "sluice_xdp", "xdp_neighbour")
    one.start()
    assert "XDP taken over, native (dispatcher)" in one.log()
    expect(net, "sluice_xdp", "xdp_neighbour")
    assert status(net.v4) == 200
    # An orderly stop takes away what is ours.
    one.stop()
    expect(net, "xdp_neighbour")
    neighbour.detach()
    expect(net)
