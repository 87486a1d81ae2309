"""One round of one row for one product, and the XDP rows."""

import dataclasses
import json
import select
import subprocess
import time

from h2load import H2Load
from held import Held, established
from peers import Product
from proc import BenchError, Process, cpu_busy_seconds, settled
from rows import NS_BYTE

CIPHER = "TLS_AES_128_GCM_SHA256"
KEYS = {"ecdsa": "EC-256", "rsa": "RSA-2048"}
TICKETS = 1
# Connections that make a product allocate what it allocates once: as many as the load opens at a
# time (32), twice, or the memory of the handshakes in flight is counted as that of idle connections.
IDLE_WARM = 64
HELD_WARM = 16  # a share: it is missing in what is measured, of every product alike
REPLY_SECONDS = 25  # the generator bounds its own steps; this is for one that hangs
XDP_SECONDS = 60


class Load:
    """The load generator, driven step by step (load.c)."""

    def __init__(self, site, product, row, conns, defaults=False):
        argv = [site.binary("load"), *self.options(product.ports[row.key], row, conns, defaults)]
        if row.is_paced:
            argv += ["--rate", f"{site.half_rate:.0f}"]
        self.process = Process("load", site.generator_cpu, argv, pipes=True)
        self.opened = self.reply()

    @staticmethod
    def options(port, row, conns=None, defaults=False):
        argv = ["--mode", row.mode, "--port", str(port), "--conns", str(conns or row.conns),
                "--seconds", str(row.seconds), "--path", row.path]
        if not defaults:
            argv += ["--group", row.group, "--cipher", CIPHER]
        if row.resume:
            argv.append("--resume")
        if row.names:
            argv += ["--names", row.names]
        return argv

    def reply(self):
        """The next JSON line. Raises for errors that the generator counted."""
        stdout = self.process.popen.stdout
        ready, _, _ = select.select([stdout], [], [], REPLY_SECONDS)
        line = stdout.readline() if ready else ""
        if not line:
            raise BenchError("the load generator " + ("ended" if ready else "hangs"))
        result = json.loads(line)
        if result["errors"]:
            raise BenchError(f"{result['errors']} errors, the first: {result['error']}")
        return result

    def go(self):
        stdin = self.process.popen.stdin
        stdin.write("\n")
        stdin.flush()
        return self.reply()

    def close(self):
        self.process.stop()


def check_negotiated(row, opened):
    """All products must do the same work, or their figures do not compare."""
    wanted = {"version": "TLSv1.3", "cipher": CIPHER, "group": row.group.lower(),
              "key": KEYS[row.key], "tickets": TICKETS}
    for name, value in wanted.items():
        got = opened[name].lower() if name == "group" else opened[name]
        if got != value:
            raise BenchError(f"{name} is {got} instead of {value}")


def load_round(site, product, row, cell, defaults=False):
    """Adds one round of handshakes or requests to `cell`."""
    load = H2Load(site, product, row, row.conns) if row.is_h2 else Load(
        site, product, row, row.conns, defaults)
    try:
        opened = load.opened
        if not defaults:
            check_negotiated(row, opened)
        cell.negotiated = (f"{opened['cipher'].removeprefix('TLS_')} {opened['group']} "
                           f"{opened['tickets']} ticket{'s' if opened['tickets'] != 1 else ''}")
        settled(product.process.cpu_seconds, 0.3, 0.01, 0)  # the set-up has left the product
        product.empty_log()
        generator_busy = cpu_busy_seconds(site.generator_cpu)
        product_busy = cpu_busy_seconds(site.product_cpu)
        cpu = product.process.cpu_seconds()
        result = load.go()
        # What the product still does for the last operation counts as well.
        product.wait_log(result["ops"])
        cpu = settled(product.process.cpu_seconds, 0.3, 0.01, 0) - cpu
        generator_busy = cpu_busy_seconds(site.generator_cpu) - generator_busy
        product_busy = cpu_busy_seconds(site.product_cpu) - product_busy
    finally:
        load.close()
    product.process.check()
    if not result["ops"]:
        raise BenchError("not one operation was completed")
    elapsed = result["elapsed"]
    cell.samples.append(row.scale(cpu, result))
    cell.generator.append(row.per_operation(result["cpu"], result))
    cell.rates.append((result["bytes"] / 1e6 if row.unit == NS_BYTE else result["ops"]) / elapsed)
    cell.busy.append(min(generator_busy / elapsed, 1))
    cell.foreign.append(max(product_busy - cpu, 0) / elapsed)


def half_rate(site, products, row):
    """Half of what the slowest of them answers in a second, here and now."""
    rates = []
    for product in products:
        load = Load(site, product, dataclasses.replace(row, mode="request", seconds=0.5),
                    row.conns)
        try:
            result = load.go()
            rates.append(result["ops"] / result["elapsed"])
        finally:
            load.close()
    return min(rates) / 2


def idle_round(site, name, row, cell):
    """Adds the memory of one idle connection: a fresh process, one request per connection, what
    the process grew by once it has settled."""
    product = Product(site, name)
    try:
        Load(site, product, row, IDLE_WARM).close()
        before = settled(product.process.anonymous_kib)
        load = Load(site, product, row, row.conns)
        try:
            check_negotiated(row, load.opened)
            grown = settled(product.process.anonymous_kib) - before
            load.go()  # raises when a connection did not survive
        finally:
            load.close()
        cell.samples.append(grown / row.conns)
    finally:
        product.stop()


def held_round(site, name, row, cell):
    """Adds the memory of one connection with requests under way: a fresh process, `streams` on each of
    the connections, answered by nobody, and what the process grew by since it had a few."""
    product = Product(site, name)
    try:
        hold = (product.ports[row.key], row.path, row.streams, row.is_h2)
        with Held(max(row.conns // HELD_WARM, 1), *hold) as held:
            wait_for_requests(site, held, product)
        before = settled(product.process.anonymous_kib)
        with Held(row.conns, *hold) as held:
            wait_for_requests(site, held, product)
            grown = settled(product.process.anonymous_kib) - before
        cell.samples.append(grown / row.conns)
    finally:
        product.stop()


def wait_for_requests(site, held, product):
    """Each has a connection of its own to the target, which speaks HTTP/1.1."""
    deadline = time.monotonic() + REPLY_SECONDS
    while (have := established(site.target_port)) < held.requests:
        product.process.check()
        if time.monotonic() > deadline:
            raise BenchError(f"{have} of {held.requests} requests have come to the target")
        time.sleep(0.02)


def xdp_round(site, program, rows):
    """Results by row id, from one run of a program: nanoseconds of sluice and of the floor (None:
    there is none)."""
    argv = ["taskset", "-c", str(site.product_cpu), site.binary(program)]
    try:
        done = subprocess.run(argv + [row.id for row in rows], capture_output=True, text=True,
                              timeout=XDP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{program} runs longer than {XDP_SECONDS} s") from error
    if done.returncode:
        raise BenchError(f"{program} ended with status {done.returncode}: {done.stderr.strip()}")
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {result["id"]: {"sluice": result["ns"], "floor": result["floor_ns"]}
            for result in results if "ns" in result}
