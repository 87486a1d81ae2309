"""How much of everything the network tests do: one row per count, what `make test` takes and what
`make soak` takes. tests/run prints the column in use before it starts."""
import os

ROWS = {
    # name: (test, soak)
    "idle_connections": (10000, 15000),        # TLS connections open at once
    "keep_alive_connections": (200, 1000),     # kept open across a reload under load
    "load_seconds": (2, 30),                   # how long a load goes on around an event
    "load_interval_ms": (250, 250),            # between two requests of one connection
    "reloads": (3, 50),                        # in a row under load
    "big_bytes": (10_000_000, 200_000_000),    # upload and download with a checksum
    "slow_client_bytes": (100_000_000, 1_000_000_000),  # body that waits for a slow client
    "tunnel_bytes": (10_000_000, 200_000_000),  # both ways at once
    "spread_requests": (120, 6000),            # requests of a balancing test
    "kills": (1, 10),                          # kill -9 and restart in a row
    "data_less_connections": (10000, 100000),  # SYN, ACK and nothing else
    "unknown_names": (10000, 100000),          # ClientHellos refused before a socket exists
    "stale_cookie_seconds": (0, 130),          # until a SYN cookie is too old; 0: not tested
    "calm_seconds": (0, 30),                   # in which an attack is over; 0: not waited for
    "flood_packets": (50000, 100000),          # a second, of each flood
    "flood_seconds": (2, 15),                  # of each flood
    "flood_handshakes": (100, 200),            # real ones a second meanwhile
}

COLUMN = 1 if os.environ.get("SLUICE_COUNTS") == "soak" else 0


def count(name):
    return ROWS[name][COLUMN]


def table():
    """The rows as text, the column in use marked."""
    marks = ["", ""]
    marks[COLUMN] = "*"
    lines = [f"{'count':24} {'test' + marks[0]:>12} {'soak' + marks[1]:>12}"]
    lines += [f"{name:24} {test:>12} {soak:>12}" for name, (test, soak) in ROWS.items()]
    return "\n".join(lines)
