"""How much of everything the network tests do: one row per count, what `make test`, `make soak`
and `make test-vm` (a processor that is translated) take. tests/run prints the column in use before
it starts."""
import os

ROWS = {
    # name: (test, soak, vm)
    "idle_connections": (10000, 15000, 500),              # TLS connections open at once
    "keep_alive_connections": (200, 1000, 20),            # kept open across a reload under load
    "load_seconds": (2, 30, 2),                           # how long a load goes on around an event
    "load_interval_ms": (250, 250, 1000),                 # between two requests of one connection
    "reloads": (3, 50, 2),                                # in a row under load
    "any_exchanges": (20, 600, 3),                        # of each client that does anything at any time
    "any_reloads": (10, 1000, 3),                         # of any settings, under load
    "upgrades": (3, 10, 1),                               # in a row under load
    "upgrade_patience": (0, 1, 0),                        # wait for time-outs of an upgrade; 0: not tested
    "certificate_swaps": (4, 200, 2),                     # of a served pair and of the default, under load
    "changes_at_once": (3, 50, 1),                        # rounds of test_all_at_once.py
    "at_once_handshakes": (40, 500, 5),                   # full ones a second meanwhile
    "interruption_changes": (18, 1200, 12),               # of the default certificate, a third by each way
    "interruption_handshakes": (40, 300, 5),              # full ones a second meanwhile
    "interruption_connections": (40, 200, 10),            # kept alive meanwhile, a request a second each
    "interruption_downloads": (5, 20, 2),                 # long ones meanwhile
    "interruption_bytes": (5_000_000, 50_000_000, 500_000), # of each download
    "peer_changes": (3, 100, 2),                          # the same to nginx and haproxy
    "streamed_bytes": (20_000_000, 1 << 30, 4_000_000),   # a body each way, in memory that stays as it is
    "big_bytes": (10_000_000, 200_000_000, 2_000_000),    # upload and download with a checksum
    "slow_client_bytes": (100_000_000, 1_000_000_000, 20_000_000),# body that waits for a slow client
    "ktls_bytes": (20_000_000, 200_000_000, 100_000_000), # up and down at once, records in the kernel
    "ktls_idle_connections": (5000, 15000, 5000),         # whose records are the kernel's
    "tunnel_bytes": (10_000_000, 200_000_000, 2_000_000), # both ways at once
    "spread_requests": (120, 6000, 120),                  # requests of a balancing test
    "api_rounds": (2, 100, 1),                            # of requests made by the API's own document
    "api_transactions": (40, 200, 10),                    # under load, a rollback after every tenth
    "api_p99_percent": (300, 110, 1000),                  # of that at rest, at most; others may be busy beside it
    "api_windows": (3, 15, 1),                            # of requests while the API is busy, and while it is not
    "state_kills": (20, 500, 3),                          # at random points of changes of the state directory
    "kills": (1, 10, 1),                                  # kill -9 and restart in a row
    "restart_seconds": (3, 1, 60),                        # until TLS is served again; others may be busy beside it
    "data_less_connections": (10000, 100000, 1000),       # SYN, ACK and nothing else
    "unknown_names": (10000, 100000, 500),                # ClientHellos refused before a socket exists
    "stale_cookie_seconds": (0, 130, 0),                  # until a SYN cookie is too old; 0: not tested
    "calm_seconds": (0, 30, 0),                           # in which an attack is over; 0: not waited for
    "sslscan": (3, 1000, 1),                              # policies that it looks at, of all there are
    "testssl": (0, 8, 0),                                 # the same of testssl.sh
    "flaps": (2, 50, 1),                                  # of a target under load
    "shed_clients": (100, 2000, 60),                      # of a node that is short of descriptors
    "shed_stallers": (200, 2000, 60),                     # handshakes that use up a node's memory
    "slow_clients": (1000, 10000, 50),                     # that send or read as slowly as they can
    "flood_packets": (50000, 100000, 2000),               # a second, of each flood
    "flood_hellos": (3000, 3000, 300),                    # packets a second of handshakes in a flood
    "flood_seconds": (2, 15, 2),                          # of each flood
    "flood_handshakes": (100, 200, 5),                    # real ones a second meanwhile
}

COLUMNS = ("test", "soak", "vm")
COLUMN = COLUMNS.index(os.environ.get("SLUICE_COUNTS") or "test")


def count(name):
    return ROWS[name][COLUMN]


def table():
    """The rows as text, the column in use marked."""
    heads = [name + "*" * (number == COLUMN) for number, name in enumerate(COLUMNS)]
    rows = [("count", heads)] + list(ROWS.items())
    return "\n".join(f"{name:24}" + "".join(f" {value:>12}" for value in values) for name, values in rows)
