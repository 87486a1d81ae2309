"""The rows of the bench, one line each, and how their results are shown."""

from dataclasses import dataclass, field
from statistics import median

PRODUCTS = ("sluice", "nginx", "haproxy", "floor")
PEERS = ("nginx", "haproxy")

CPU_US = "CPU µs per operation"
NS_BYTE = "ns per byte"
KIB = "KiB per connection"
NS_PACKET = "ns per packet net of its base"
NS_REQUEST = "ns per request"
NS_SYN = "CPU ns per flood SYN net of XDP_DROP"
P99 = "µs, 99th percentile at half load"
FIRST_BYTE = "µs from connect to the first byte"
CPS = "connections per second"
LOAD_S = "CPU s from the start to the first handshake"
MIB = "MiB"
MORE_US = "CPU µs more per handshake"
MS = "ms"
SECONDS = "s"


@dataclass(frozen=True)
class Row:
    """One row. `goal`: the ratio to the better peer to reach, or the figure itself for rows that
    no peer has. `defaults`: also measured in the second table. `is_gate`: sluice through the gate
    against sluice without it ("off")."""
    id: str
    unit: str
    mode: str = ""
    conns: int = 0
    seconds: float = 0.0
    rounds: int = 0
    goal: float = 0.0
    key: str = "ecdsa"
    group: str = "X25519"
    path: str = "/small"
    resume: bool = False
    defaults: bool = False
    is_gate: bool = False
    program: str = "xdp_cost"  # that measures rows of NS_PACKET and NS_REQUEST
    names: str = ""  # server names of the load: first number, how many (pairs.c)
    is_certs: bool = False  # 100,000 certificates (certs.py)
    kind: str = ""  # sluice of that kind (peers.py) against the tuned one (off)
    all_kind: str = ""  # every product of that kind; those that have none are left out
    streams: int = 0  # requests under way on each connection

    @property
    def aim(self):
        return f"{'≥' if self.unit == CPS else '≤'} {self.goal:g}" if self.goal else "-"

    @property
    def is_flood(self):
        return self.unit == NS_SYN

    @property
    def is_outside(self):
        return self.is_flood or self.is_gate or self.is_certs or bool(self.kind)

    @property
    def is_load(self):
        return bool(self.mode) and not self.is_memory and not self.is_outside

    def is_reached(self, value):
        """Of rates more is better, of all else less."""
        return value >= self.goal if self.unit == CPS else value <= self.goal

    @property
    def is_xdp(self):
        return self.unit in (NS_PACKET, NS_REQUEST)

    @property
    def is_figure(self):
        """The goal is for the figure itself, not for a ratio."""
        return self.is_xdp or (self.is_certs and self.unit != CPU_US)

    @property
    def is_paced(self):
        return self.mode == "paced"

    @property
    def is_h2(self):
        return self.mode in ("h2", "held h2")

    @property
    def is_idle(self):
        return self.mode == "idle"

    @property
    def is_memory(self):
        return self.unit == KIB

    def scale(self, cpu_seconds, result):
        """A round's CPU time in the unit of the row."""
        if self.unit == P99:
            return result["first_byte_p99_us"]
        return self.per_operation(cpu_seconds, result)

    def per_operation(self, cpu_seconds, result):
        if self.unit == NS_BYTE:
            return cpu_seconds * 1e9 / result["bytes"]
        return cpu_seconds * 1e6 / result["ops"]


ROWS = (
    Row("handshake_ecdsa_full", CPU_US, "handshake", 8, 0.3, 16, 0.9, defaults=True),
    Row("handshake_rsa_full", CPU_US, "handshake", 8, 0.3, 16, 0.9, key="rsa"),
    Row("handshake_mlkem_full", CPU_US, "handshake", 8, 0.3, 16, 0.9, group="X25519MLKEM768"),
    Row("handshake_resumed", CPU_US, "handshake", 8, 0.3, 16, 0.95, resume=True, defaults=True),
    Row("keepalive_h1", CPU_US, "request", 64, 0.3, 16, 0.6, defaults=True),
    Row("keepalive_h2", CPU_US, "h2", 4, 0.0, 12, 0.7),
    Row("bulk_1m", NS_BYTE, "request", 8, 0.3, 16, 0.8, path="/bytes/1000000", defaults=True),
    Row("bulk_100m", NS_BYTE, "request", 2, 0.3, 16, 0.8, path="/bytes/100000000"),
    Row("latency_p99", P99, "paced", 64, 1.0, 8, 1.0),
    Row("keepalive_h1_to_h2", CPU_US, "request", 64, 0.3, 8, 1.0, all_kind="to h2"),
    Row("idle_conn", KIB, "idle", 2000, 0.0, 2, 1.0),
    Row("active_conn_h1", KIB, "held", 800, 0.0, 1, 1.0, path="/hold", streams=1),
    Row("active_conn_h2", KIB, "held h2", 50, 0.0, 1, 1.0, path="/hold", streams=16),
    Row("flood_syn_cpu", NS_SYN, seconds=0.7, rounds=5, goal=0.25),
    Row("gate_ttfb", FIRST_BYTE, "handshake", 1, 0.15, 12, 1.05, is_gate=True),
    Row("gate_cps", CPS, "handshake", 32, 0.4, 8, 0.8, is_gate=True),
    Row("gate_bulk", NS_BYTE, "request", 2, 0.3, 12, 1.05, path="/bytes/100000000", is_gate=True),
    Row("keepalive_h1_rules_1", CPU_US, "request", 64, 0.3, 16, 1.05, kind="rules 1"),
    Row("keepalive_h1_rules_1k", CPU_US, "request", 64, 0.3, 16, 1.05, kind="rules 1000"),
    Row("keepalive_h1_log_json", CPU_US, "request", 64, 0.3, 16, 1.1, kind="access log json"),
    Row("keepalive_h1_log_alb", CPU_US, "request", 64, 0.3, 16, 1.1, kind="access log alb"),
    Row("certs_load_cpu", LOAD_S, rounds=2, goal=1, is_certs=True),
    Row("certs_rss", MIB, rounds=1, goal=300, is_certs=True),
    Row("certs_lookup", CPU_US, "handshake", 8, 0.4, 12, 1.03, is_certs=True),
    Row("certs_lookup_cold", MORE_US, "handshake", 8, 0.4, 12, 70, is_certs=True),
    Row("cert_swap", MS, rounds=8, goal=10, is_certs=True),
    Row("certs_reload", SECONDS, rounds=3, goal=1, is_certs=True),
    Row("xdp_established", NS_PACKET, rounds=2, goal=35),
    Row("xdp_syn_cookie", NS_PACKET, rounds=2, goal=165),
    Row("xdp_ack_drop", NS_PACKET, rounds=2, goal=115),
    Row("xdp_hello", NS_PACKET, rounds=2, goal=110),
    Row("xdp_deny_hit", NS_PACKET, rounds=2, goal=35),
    Row("xdp_source_bucket_random", NS_PACKET, rounds=2, goal=120),
    Row("xdp_deny_1m", NS_PACKET, rounds=1, goal=60, program="deny_cost"),
    Row("xdp_deny_1m_v6", NS_PACKET, rounds=1, program="deny_cost"),
    Row("rules_match_10k", NS_REQUEST, rounds=1, goal=2000, program="rules_cost"),
    Row("rules_match_10k_one_host", NS_REQUEST, rounds=1, goal=2000, program="rules_cost"),
    Row("rules_match_10k_wildcards", NS_REQUEST, rounds=1, goal=2000, program="rules_cost"),
    Row("rules_match_1", NS_REQUEST, rounds=1, program="rules_cost"),
)


@dataclass
class Cell:
    """What one product did in one row."""
    samples: list = field(default_factory=list)  # in the row's unit, one per round
    levelled: list = field(default_factory=list)  # the same at the run's median machine speed
    rates: list = field(default_factory=list)    # operations (or MB) per second
    generator: list = field(default_factory=list)  # CPU µs of the generator per operation
    busy: list = field(default_factory=list)     # share of the generator's CPU that was in use
    foreign: list = field(default_factory=list)  # share of the product's CPU used by others
    negotiated: str = ""
    failure: str = ""

    @property
    def value(self):
        samples = self.levelled or self.samples
        return median(samples) if samples and not self.failure else None


def level(cells):
    """Takes the machine's own drift out. CPU time per operation moves by a factor of two within a
    minute on a shared machine, for all products together: each round is scaled by how far its
    products were, in the median, from their own medians over the run."""
    whole = [cell for cell in cells.values() if cell.samples and not cell.failure]
    usual = [median(cell.samples) for cell in whole]
    turns = range(min((len(cell.samples) for cell in whole), default=0))
    drift = [median(cell.samples[turn] / middle for cell, middle in zip(whole, usual))
             for turn in turns]
    for cell in whole:
        cell.levelled = [cell.samples[turn] / drift[turn] for turn in turns]


def ratio_best(cells):
    """sluice against the better peer, or against itself without the gate; None where one of them is
    missing."""
    peers = [cells[name].value for name in (*PEERS, "off") if name in cells and cells[name].value]
    own = cells["sluice"].value if "sluice" in cells else None
    return own / min(peers) if own and peers else None


def as_json(row, cells):
    """The row as build/bench/latest.json holds it."""
    def rounded(value):
        return None if value is None else round(value, 4)
    values = {name: rounded(cells[name].value if name in cells else None) for name in PRODUCTS}
    if row.is_gate or "off" in cells:
        values["off"] = rounded(cells["off"].value)
    return {"id": row.id, "unit": row.unit, **values, "ratio_best": rounded(ratio_best(cells))}


def verdict(row, cells):
    """Whether the goal is reached: the ratio (or figure), or within 15 % of the floor."""
    own = cells["sluice"].value if "sluice" in cells else None
    floor = cells["floor"].value if "floor" in cells else None
    compared = own if row.is_figure else ratio_best(cells)
    if own is None or compared is None or not row.goal:
        return ""
    if row.is_reached(compared):
        return "reached"
    if floor and own <= 1.15 * floor:
        return "at the floor"
    return "missed"


def layout(lines):
    """Lines of cells in columns, the first one to the left, the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        rest = "  ".join(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))
        print(f"{line[0].ljust(widths[0])}  {rest}".rstrip())
    print()


def number(value):
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def shown(cell):
    """The median at the run's median machine speed (the least that was measured)."""
    if cell is None:
        return "-"
    if cell.failure:
        return "FAILED"
    return f"{number(cell.value)} ({number(min(cell.samples))})" if cell.samples else "-"


def print_results(title, rows, table, goals=True):
    print(title)
    head = ["row", "unit", *PRODUCTS, "ratio to best peer"]
    lines = [head + (["to floor", "goal", ""] if goals else [])]
    for row in rows:
        cells = table[row.id]
        line = [row.id, row.unit, *(shown(cells.get(name)) for name in PRODUCTS),
                number(ratio_best(cells))]
        if goals:
            own, floor = (cells[n].value if n in cells else None for n in ("sluice", "floor"))
            line += [number(own / floor if own and floor else None),
                     row.aim, verdict(row, cells)]
        lines.append(line)
    layout(lines)


def print_switched(title, what, rows, table):
    """sluice against itself, with something on and off: through the gate or with the kernel's own SYN
    handling; with rules or an access log, or without."""
    print(title)
    lines = [["row", "unit", f"{what} on", f"{what} off", "on to off", "goal", ""]]
    for row in rows:
        cells = table[row.id]
        lines.append([row.id, row.unit, shown(cells["sluice"]), shown(cells["off"]),
                      number(ratio_best(cells)), row.aim, verdict(row, cells)])
    layout(lines)


def print_certs(rows, table, count, peers_count):
    """100,000 certificates; what is measured of the others, with fewer."""
    print(f"{count:,} ECDSA certificates (the others: {peers_count:,}), 2 workers, tuned as above: "
          "median (least)")
    lines = [["row", "unit", "sluice", "one name", "nginx", "haproxy", "ratio", "goal", ""]]
    for row in rows:
        cells = table[row.id]
        ratio = ratio_best(cells) if "off" in cells else None
        lines.append([row.id, row.unit, shown(cells.get("sluice")), shown(cells.get("off")),
                      *(shown(cells.get(name)) for name in PEERS), number(ratio), row.aim,
                      verdict(row, cells)])
    layout(lines)


def print_plan(rows, table):
    print("Rounds: every row once per round, every product in turn. Figures are medians over "
          "rounds, with the\nmachine's drift taken out, and the least that was measured")
    layout([["row", "rounds", "seconds each", "connections", "key", "group", "path"]] +
           [[row.id, str(max((len(cell.samples) for cell in table[row.id].values()), default=0)),
             f"{row.seconds:g}" if row.seconds else "-",
             str(row.conns) if row.conns else "-", row.key if row.mode else "-", row.group if row.mode else "-",
             row.path if row.mode in ("request", "idle", "held", "held h2") else "-"]
            for row in rows])


def print_limits(rows, table):
    """The generator's own limit: where its CPU is full, rates say nothing about the product."""
    lines = [["row", "product", "per second", "generator CPU", "generator's CPU busy",
              "others on the product's CPU", "negotiated"]]
    for row in rows:
        for name in PRODUCTS:
            cell = table[row.id].get(name)
            if not cell or not cell.rates:
                continue
            per_byte = row.unit == NS_BYTE
            busy = median(cell.busy)
            lines.append([
                row.id, name, f"{median(cell.rates):,.0f} {'MB' if per_byte else 'ops'}",
                f"{median(cell.generator):.2f} {'ns/byte' if per_byte else 'µs/op'}",
                f"{busy:.0%}{' saturated' if busy > 0.95 else ''}",
                f"{median(cell.foreign):.0%}", cell.negotiated])
    if len(lines) > 1:
        print("The generator (it shares its CPU with the target): where that CPU is saturated the "
              "rates are its own,\nthe CPU per operation of the product is not touched by that")
        layout(lines)


def failures(table):
    return [f"{row_id}, {name}: {cell.failure}"
            for row_id, cells in table.items() for name, cell in cells.items() if cell.failure]
