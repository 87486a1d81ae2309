"""A real VLAN device, which the host's kernel may lack: the program is attached to the parent, the
listener is reached through the tag, and what XDP decides holds for tagged packets."""
import pytest

import netns
from wire import until

TAGS = {"802.1Q": ["802.1Q"], "QinQ": ["802.1ad", "802.1Q"]}
CLIENT, LB, CLIENT_V6, LB_V6 = "198.18.7.1", "198.18.7.2", "fd51:7::1", "fd51:7::2"


def vlan_add(wire, protocols):
    """VLAN devices on both ends, one on top of the other, the last with addresses."""
    for namespace, v4, v6 in ((wire.client, CLIENT, CLIENT_V6), (wire.lb, LB, LB_V6)):
        # Tags are to stand in the frame, as on the wire, and not beside it.
        netns.run(netns.inside(namespace, "ethtool", "-K", wire.device, "txvlan", "off", "tx-vlan-stag-hw-insert",
                               "off"))
        parent = wire.device
        for number, protocol in enumerate(protocols):
            netns.ip(namespace, f"link add link {parent} name vlan{number} type vlan proto {protocol} "
                                f"id {100 + number}", f"link set vlan{number} up")
            parent = f"vlan{number}"
        netns.ip(namespace, f"addr add {v4}/24 dev {parent}", f"addr add {v6}/64 dev {parent} nodad")


@pytest.mark.parametrize("tags", TAGS)
def test_vlan(wire, tags):
    vlan_add(wire, TAGS[tags])
    one = wire.launch(wire.config())
    assert one.api("/v1/status")["xdp"]["interfaces"][0]["mode"].startswith("native")
    for address in (LB, LB_V6):
        before = seen(one)
        assert wire.get(address) == (0, "200")
        assert seen(one) > before, "XDP does not see the listener behind the tag"
    one.reload(wire.config(deny=[f"{CLIENT}/32", f"{CLIENT_V6}/128"]))
    for address, counter in ((LB, "deny_v4"), (LB_V6, "deny_v6")):
        assert wire.get(address, timeout=2) == (28, "000")  # 28: the time is up
        assert one.counter(counter) > 0
    one.reload(wire.config())
    until(lambda: wire.get(LB)[1] == "200", "the client is served again")


def seen(one):
    """SYNs of listeners that XDP took for such, whichever way it treats them."""
    return one.counter("syn") + one.counter("syn_cookie")
