#!/usr/bin/env python3
"""make bench: sluice, nginx, haproxy and the floor side by side in one run, in short rounds taken
in turn. Prints tables, writes build/bench/latest.json (and every round to rounds.json). Status 1
when a row failed. Runs in a network namespace of its own; everything it starts ends with it."""

import argparse
import dataclasses
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import certs
import measure
import rows as shown
import veth
from peers import Product, Site, has_kind, other_target, remove_all_pins, version
from proc import BenchError, Process, read
from rows import PRODUCTS, ROWS, Cell

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT_SECONDS = 540  # of the whole bench
ROUNDS_SECONDS = 240  # then no new rounds of the first table: a loaded machine gets fewer
LEAST_ROUNDS = 3     # whatever the time
DEFAULT_ROUNDS = 6   # of the second table


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run (default: all)")
    parser.add_argument("--products", default=",".join(PRODUCTS),
                        help="of these only: " + ",".join(PRODUCTS))
    parser.add_argument("--rounds", type=int, help="rounds of every row instead of its own number")
    parser.add_argument("--seconds", type=float, help="length of a round instead of its own")
    parser.add_argument("--no-defaults", action="store_true", help="without the second table")
    parser.add_argument("--build", default=os.path.join(TOP, "build/release"),
                        help="folder of sluiced and bench/")
    parser.add_argument("--out", default=os.path.join(TOP, "build/bench"),
                        help="folder for the results")
    options = parser.parse_args()
    known = [row.id for row in ROWS]
    for name in options.rows:
        if name not in known:
            parser.error(f"there is no row {name}; rows: {', '.join(known)}")
    options.products = options.products.split(",")
    for name in options.products:
        if name not in PRODUCTS:
            parser.error(f"there is no product {name}; products: {', '.join(PRODUCTS)}")
    return options


def chosen_rows(options):
    rows = [row for row in ROWS if not options.rows or row.id in options.rows]
    if "sluice" not in options.products:
        rows = [row for row in rows if not row.is_xdp and not row.is_outside]
    if options.rounds:
        rows = [dataclasses.replace(row, rounds=options.rounds) for row in rows]
    if options.seconds:
        rows = [dataclasses.replace(row, seconds=options.seconds) if row.seconds else row
                for row in rows]
    return rows


def attempt(cell, action, *args):
    """Runs a round; what goes wrong fails the row of this product and is shown."""
    if cell.failure:
        return
    try:
        action(*args)
    except BenchError as error:
        cell.failure = str(error)
        say(f"FAILED: {error}")


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_loads(site, names, rows, table, deadline, kind="tuned"):
    """Rounds outermost, so that each row's rounds are spread over the run: what disturbs the
    machine for a while disturbs one round of every row, and the median leaves it out."""
    if not rows or not names:
        return
    products = [Product(site, name, kind) for name in names]
    last = max(row.rounds for row in rows)
    try:
        for row in rows:
            if row.is_paced:
                site.half_rate = measure.half_rate(site, products, row)
                say(f"{row.id}: {site.half_rate:.0f} requests a second")
        for turn in range(last):
            if time.monotonic() > deadline and turn >= LEAST_ROUNDS:
                say(f"{kind}: the time is used up")
                break
            say(f"{kind}: round {turn + 1} of {last}")
            for row in (row for row in rows if turn < row.rounds):
                for product in products:
                    if row.is_h2 and product.name == "floor":
                        continue  # has HTTP/1.1 only
                    cell = table[row.id].setdefault(product.name, Cell())
                    attempt(cell, measure.load_round, site, product, row, cell, kind == "default")
    finally:
        for product in products:
            product.stop()
    for row in rows:
        shown.level(table[row.id])


def run_kinds(site, rows, table):
    """Each row with a sluice that has what it is about and one that has not, in turns."""
    for row in rows:
        products = {"sluice": Product(site, "sluice", row.kind),
                    "off": Product(site, "sluice")}
        try:
            for turn in range(row.rounds):
                say(f"{row.id}: round {turn + 1} of {row.rounds}")
                for name, product in products.items():
                    cell = table[row.id].setdefault(name, Cell())
                    attempt(cell, measure.load_round, site, product, row, cell)
        finally:
            for product in products.values():
                product.stop()
        shown.level(table[row.id])


def run_memory(site, names, rows, table):
    for row in rows:
        measured = measure.idle_round if row.is_idle else measure.held_round
        for turn in range(row.rounds):
            say(f"{row.id}: round {turn + 1} of {row.rounds}")
            for name in names:
                if row.is_h2 and name == "floor":
                    continue
                cell = table[row.id].setdefault(name, Cell())
                attempt(cell, measured, site, name, row, cell)


def run_others(site, names, rows, table, deadline):
    """Rows for which all products are of another kind, and some have none."""
    for kind in sorted({row.all_kind for row in rows}):
        able = [name for name in names if has_kind(name, kind)]
        with other_target(site, kind):
            run_loads(site, able, [row for row in rows if row.all_kind == kind], table, deadline, kind)


def xdp_turn(site, rows, table):
    results = measure.xdp_round(site, rows[0].program, rows)
    for row in rows:
        figures = results.get(row.id)
        if figures is None:
            table[row.id]["sluice"].failure = f"{row.program} has no such figure"
            continue
        for name, value in figures.items():
            if value is not None:
                table[row.id][name].samples.append(value)


def run_xdp(site, rows, table):
    for row in rows:
        table[row.id] = {"sluice": Cell(), "floor": Cell()}
    for program in sorted({row.program for row in rows}):
        run_program(site, program, [row for row in rows if row.program == program], table)


def run_program(site, program, rows, table):
    for turn in range(max(row.rounds for row in rows)):
        say(f"{program}: round {turn + 1}")
        try:
            xdp_turn(site, [row for row in rows if turn < row.rounds], table)
        except BenchError as error:
            say(f"FAILED: {error}")
            for row in rows:
                table[row.id]["sluice"].failure = str(error)
            return


def machine(site, names):
    cpuinfo = read("/proc/cpuinfo").splitlines()
    model = next((line.split(":")[1].strip() for line in cpuinfo
                  if line.startswith("model name")), platform.machine())
    openssl = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=False)
    parts = [f"{model}, {os.cpu_count()} CPUs", f"Linux {platform.release()}",
             " ".join(openssl.stdout.split()[:2])]
    return "; ".join(parts + [version(site, name) for name in names if name != "floor"])


def prepare_process():
    """Room for connections, and a network namespace that goes with the last process in it."""
    if os.geteuid():
        raise BenchError("needs root, for a network namespace and BPF: run it as root")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.unshare(os.CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def write_json(path, value):
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(path + ".new", path)


def report(options, site, rows, table, defaults):
    about = machine(site, options.products)
    results = [shown.as_json(row, table[row.id]) for row in rows]
    rounds = {row_id: {name: dataclasses.asdict(cell) for name, cell in cells.items()}
              for row_id, cells in table.items()}
    write_json(os.path.join(options.out, "rounds.json"), rounds)
    write_json(os.path.join(options.out, "latest.json"), {"machine": about, "rows": results})
    print(f"\n{about}\n")
    shown.print_plan(rows, table)
    shown.print_limits(rows, table)
    second = [row for row in rows if row.id in defaults]
    if second:
        shown.print_results("With the defaults of each product, for a client with the defaults of "
                            "OpenSSL: CPU, median (minimum)", second, defaults, goals=False)
        shown.print_limits(second, defaults)
    shown.print_results("Tuned alike: CPU, memory and packet cost, median (minimum)",
                        [row for row in rows if not (row.is_gate or row.is_certs or row.kind)],
                        table)
    many = [row for row in rows if row.is_certs]
    if many:
        shown.print_certs(many, table, certs.COUNT, certs.PEERS_COUNT)
    gates = [row for row in rows if row.is_gate]
    if gates:
        shown.print_switched("The gate, on and off in one sluice, clients behind a veth: median "
                             "(minimum)", "gate", gates, table)
    kinds = [row for row in rows if row.kind]
    if kinds:
        shown.print_switched("Rules of which the last one is met; a line of the access log for each "
                             "request: median (minimum)", "it", kinds, table)
    failed = shown.failures(table) + [f"defaults: {f}" for f in shown.failures(defaults)]
    for failure in failed:
        print(f"FAILED: {failure}")
    return bool(failed)


def run(options, runtime):
    start = time.monotonic()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchError("needs two CPUs: one for the products, one for generator and target")
    prepare_process()
    os.sched_setaffinity(0, cpus[:1])
    site = Site(options.build, options.out, runtime, cpus[:2])
    rows = chosen_rows(options)
    table = {row.id: {} for row in rows}
    load_rows = [row for row in rows if row.is_load and not row.all_kind]
    run_loads(site, options.products, load_rows, table, start + ROUNDS_SECONDS)
    run_others(site, options.products, [row for row in rows if row.all_kind], table, start + ROUNDS_SECONDS)
    run_memory(site, options.products, [row for row in rows if row.is_memory], table)
    run_kinds(site, [row for row in rows if row.kind], table)
    run_xdp(site, [row for row in rows if row.is_xdp], table)
    veth.run(site, [row for row in rows if row.is_flood or row.is_gate], table, attempt, say)
    certs.run(site, [row for row in rows if row.is_certs], options.products, table, attempt, say)
    for row in (row for row in rows if row.is_gate):
        shown.level(table[row.id])
    second = [dataclasses.replace(row, rounds=min(row.rounds, DEFAULT_ROUNDS))
              for row in load_rows if row.defaults]
    defaults = {row.id: {} for row in second}
    if not options.no_defaults:
        names = [name for name in options.products if name != "floor"]
        run_loads(site, names, second, defaults, start + ROUNDS_SECONDS, "default")
    return report(options, site, rows, table, {} if options.no_defaults else defaults)


def stop_on_signal(number, _frame):
    if number == signal.SIGALRM:
        raise SystemExit(f"bench: not finished after {LIMIT_SECONDS} s")
    raise SystemExit(128 + number)


def main():
    options = arguments()
    os.makedirs(options.out, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop_on_signal)
    signal.alarm(LIMIT_SECONDS)
    start = time.monotonic()
    runtime = tempfile.mkdtemp(prefix="sluice-bench-")
    try:
        failed = run(options, runtime)
        print(f"{time.monotonic() - start:.0f} s; {os.path.join(options.out, 'latest.json')}")
        return 1 if failed else 0
    except BenchError as error:
        say(str(error))
        return 1
    finally:
        Process.stop_all()
        remove_all_pins()
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
