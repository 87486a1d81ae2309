"""A real VLAN device, which the host's kernel may lack: the program is attached to the parent, the
listener is reached through the tag, and what XDP decides holds for tagged packets."""
import subprocess

import pytest

import netns
from sluiced import BUILD
from standard import group, listener
from wire import status, until

TAGS = {"802.1Q": ["802.1Q"], "QinQ": ["802.1ad", "802.1Q"]}
CLIENT, LB, CLIENT_V6, LB_V6 = "198.18.7.1", "198.18.7.2", "fd51:7::1", "fd51:7::2"
OFFLOADS = "txvlan", "tx-vlan-stag-hw-insert"


def offload(net, state):
    """Whether tags stand beside the frame or, as on the wire, in it."""
    for namespace in (net.client, net.lb):
        netns.run(netns.inside(namespace, "ethtool", "-K", net.device,
                               *[word for name in OFFLOADS for word in (name, state)]))


@pytest.fixture(params=TAGS)
def tagged(request, net):
    """VLAN devices on both ends, one on top of the other, the last with addresses."""
    offload(net, "off")
    for namespace, v4, v6 in ((net.client, CLIENT, CLIENT_V6), (net.lb, LB, LB_V6)):
        parent = net.device
        for number, protocol in enumerate(TAGS[request.param]):
            netns.ip(namespace, f"link add link {parent} name vlan{number} type vlan proto {protocol} "
                                f"id {100 + number}", f"link set vlan{number} up")
            parent = f"vlan{number}"
        netns.ip(namespace, f"addr add {v4}/24 dev {parent}", f"addr add {v6}/64 dev {parent} nodad")
    yield
    for namespace in (net.client, net.lb):
        netns.ip(namespace, "link del vlan0")  # and what is on top of it
    offload(net, "on")


def config(net, **settings):
    return {"target_groups": [group("web", "http", net.target_list(8080))],
            "listeners": [listener("web", "http", 80, "web")]} | settings


def test_vlan(net, launch, tagged):
    one = launch(config(net))
    assert one.api("/v1/status")["xdp"]["interfaces"][0]["mode"].startswith("native")
    for address in (LB, LB_V6):
        before = seen(one)
        assert status(address) == 200
        assert seen(one) > before, "XDP does not see the listener behind the tag"
    one.reload(config(net, deny=[f"{CLIENT}/32", f"{CLIENT_V6}/128"]))
    for address, counter in ((LB, "deny_v4"), (LB_V6, "deny_v6")):
        assert status(address, timeout=0.5) is None
        assert one.counter(counter) > 0
    one.reload(config(net))
    until(lambda: status(LB) == 200, "the client is served again")


def test_address_of_its_own(net, launch, tagged):
    """Frames for the MAC address of a VLAN device are ours, too."""
    devices = [link["ifname"] for link in netns.ip_json("link", "show", namespace=net.lb)]
    netns.ip(net.lb, f"link set {max(name for name in devices if name.startswith('vlan'))} "
                     "address 02:00:00:00:07:02")
    one = launch(config(net))
    before = seen(one)
    assert status(LB) == 200 and status(LB_V6) == 200
    assert seen(one) >= before + 2 and one.counter("other_host") == 0


def told(net, one):
    """What --check-host says of the offload that hides tags from XDP."""
    done = subprocess.run(netns.inside(net.lb, BUILD / "sluiced", "--check-host", one.file),
                          capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [row[1] for row in rows if row[0] == "rx_vlan_offload"]


def test_no_vlan_no_word_of_offload(net, launch):
    assert told(net, launch(config(net))) == []


def test_offload_is_told(net, launch, tagged):
    one = launch(config(net))
    try:
        for state, verdict in (("on", "no"), ("off", "ok")):
            netns.run(netns.inside(net.lb, "ethtool", "-K", net.device, "rxvlan", state))
            assert told(net, one) == [verdict]
    finally:
        netns.run(netns.inside(net.lb, "ethtool", "-K", net.device, "rxvlan", "on"))


def seen(one):
    """SYNs of listeners that XDP took for such, whichever way it treats them."""
    return one.counter("syn") + one.counter("syn_cookie")
