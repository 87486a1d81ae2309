"""Everything that changes a running sluice, one after the other, with everybody there: full handshakes, kept
connections, WebSockets and downloads go on through reloads, transactions, rollbacks and upgrades."""
from counts import count
from sluiced import Foreign
from standard import CHECK, group, listener
from strain import Strain
from target import pattern_sha256
from test_api_strain import transaction
from test_upgrade import of_another_layout
from wire import patience, until

NAME = "www.sluice.test"
TRANSACTIONS = 4      # a round; one of so many is taken back
UPGRADE_EVERY = 5     # rounds; the first one has one
LAYOUT_EVERY = 4      # upgrades; the second of so many has a packet plane of another layout
TUNNELS = 10
STILL_ENDING_S = 30   # what was open at the end is let go by processes before


def config(net, number=0, workers=1):
    return {
        "workers": workers,
        "state_dir": str(net.folder / "at_once"),
        "xdp": {"mode": "native", "interfaces": [net.device], "pin_dir": str(net.pins)},
        "certificates": net.certificates("default", "www"),
        "target_groups": [group("web", "http", net.target_list(8080), CHECK)],
        "listeners": [listener("web", "https", 443, "web", certificates=["default", "www"],
                               response_headers={"set": [{"name": "x-round", "value": str(number)}]}),
                      listener("plain", "http", 80, "web")]}


class Counters:
    """What must never go back, whoever serves."""

    def __init__(self):
        self.seen = {}

    def look(self, one):
        status = one.api("/v1/status")
        now = {name: status[name] for name in ("accepted_total", "requests_total", "handshakes_total")
               if name in status}
        assert len(now) >= 2, status.keys()
        for name, value in now.items():
            assert value >= self.seen.get(name, 0), (name, value, self.seen)
        self.seen = now


def upgrade(one, before):
    """By command, as an SRE would; sluiced is started again as it is on disk."""
    pid = one.process.pid
    one.ctl("upgrade")
    other = one.api("/v1/status")["pid"]
    assert other != pid
    before.append(one.process)
    one.process = Foreign(other)


def change_all(net, one, number, counters, before):
    if number % UPGRADE_EVERY == 0:
        one.write(config(net, number, workers=1 + number // UPGRADE_EVERY % 2))
        if len(before) % LAYOUT_EVERY == 1:
            of_another_layout(one)
        upgrade(one, before)
        counters.look(one)
    for step in range(TRANSACTIONS):
        one.change("POST", "/v1/objects", transaction(number * TRANSACTIONS + step))
    version = one.api("/v1/history")["version"]
    one.change("POST", f"/v1/rollback?to={version - 1}")
    one.reload(config(net, number, workers=1 + number // UPGRADE_EVERY % 2))
    counters.look(one)


def test_all_at_once(net, targets, launch, capsys):
    size, rounds = count("interruption_bytes"), count("changes_at_once")
    one, before, counters = launch(config(net)), [], Counters()
    one.wait_states("web", ["healthy"] * 3)
    strain = Strain((net.v4, 443), net.ca.pem, [NAME], count("at_once_handshakes"),
                    count("interruption_connections"), count("interruption_downloads"), size,
                    pattern_sha256(size), tunnels=TUNNELS)
    try:
        with strain:
            for number in range(rounds):
                change_all(net, one, number, counters, before)
        with capsys.disabled():
            print(f"\n{rounds} reloads, {rounds * TRANSACTIONS} transactions, {rounds} rollbacks, {len(before)} "
                  f"upgrades: {strain.words()}")
        for kind, row in strain.results.items():
            assert row["failed"] == row["closed"] == row["hung"] == 0, (kind, row["told"])
            assert row["ok"] >= min(rounds, count("interruption_downloads")), kind
        until(lambda: all(process.poll() is not None for process in before), "those before have ended",
              STILL_ENDING_S)
    finally:
        for process in before:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=patience(10))
