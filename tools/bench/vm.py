#!/usr/bin/env python3
"""make bench-vm: what proxying costs where the kernel has TLS, counted in instructions. Runs inside
a virtual machine whose clock counts them (tools/vm/run --icount): a nanosecond of CPU time is an
instruction, so figures do not move with the load of the host.

Instructions are not time. A round of AES on 16 bytes is one, an iteration of a string instruction
too: with fast string instructions (--strings, as real processors have them) every byte that is
copied or cleared counts one, without them an eighth. The one weighs copies as if they all came from
memory, the other as if they cost next to nothing; what holds in both holds.

Every variant does every job in turn. Counted are the instructions of the product's processes, as in
all other rows, and those of the whole machine (client and target too), where work is seen that the
kernel does for a product in a thread of its own. Prints tables and writes --json. Status 1 when
something failed or two rounds of a figure in a row differ by too much."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from statistics import median

import rows as shown
from bench import machine, prepare_process, write_json
from measure import Load, check_negotiated
from peers import Product, Site
from proc import BenchError, Process, cpu_queue_seconds, read, settled
from rows import Cell, Row

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROUNDS = 2
AGREE = 0.03  # two rounds of a row's figure differ by no more

PER_MB = "million instructions per MB"
PER_VISIT = "million instructions per visit"


# sluice: records by itself; the kernel's, by the rule; the kernel's from the first byte on.
BASIC = (("sluice", "ktls off"), ("sluice", "tuned"), ("sluice", "ktls require"),
         ("nginx", "tuned"), ("nginx", "ktls"))
NOT_REQUIRED = tuple(variant for variant in BASIC if variant[1] != "ktls require")  # which would refuse them
ALL = BASIC + (("nginx", "buffered"), ("nginx", "ktls buffered"), ("nginx", "ktls sendfile"),
               ("haproxy", "tuned"))
# With TLS to the target: what is received is opened, too.
TO_TLS = (("sluice", "to tls, ktls off"), ("sluice", "to tls"), ("sluice", "to tls, ktls require"),
          ("nginx", "to tls"), ("nginx", "to tls, ktls"))


@dataclass(frozen=True)
class Job:
    """What the client does, once on each connection. `visits`: it opens the connection and closes
    it, or else finds it open."""
    name: str
    about: str
    path: str
    conns: int
    variants: tuple
    requests: int = 1
    visits: bool = False
    small_records: bool = False

    @property
    def unit(self):
        return PER_VISIT if self.visits else PER_MB

    def row(self):
        return Row(self.name, self.unit, "handshake" if self.visits else "request", self.conns,
                   path=self.path)


def visit(name, about, path, requests=1, variants=BASIC, **more):
    return Job(name, about, path, 8, variants, requests, True, **more)


JOBS = (
    Job("length", "bodies of 12 MB with a length", "/bytes/12000000", 2, ALL),
    Job("chunked", "bodies of 12 MB in chunks, which no proxy can splice", "/chunked/12000000", 2, ALL),
    Job("length_to_tls", "bodies of 6 MB with a length from a target with TLS", "/bytes/6000000", 2, TO_TLS),
    Job("chunked_to_tls", "bodies of 6 MB in chunks from a target with TLS", "/chunked/6000000", 2, TO_TLS),
    visit("visit_small", "handshake, 20 requests for 100 bytes, close", "/small", 20),
    visit("visit_small_openssl", "the same by a client that wants small records: then sluice has "
          "OpenSSL make them", "/small", 20, NOT_REQUIRED, small_records=True),
    visit("visit_1m", "handshake, one body of 1 MB with a length, close", "/bytes/1000000"),
    visit("visit_128k_chunked", "handshake, one body of 128 KiB in chunks, close", "/chunked/131072"),
    visit("visit_1m_chunked", "handshake, one body of 1 MB in chunks, close", "/chunked/1000000"),
)


@dataclass(frozen=True)
class Result:
    """A row: one variant of sluice in a job, against the best of each peer's in the same."""
    id: str
    job: str
    variant: str
    goal: float = 0.0


RESULTS = (
    Result("vm_userspace", "length", "ktls off"),
    Result("vm_ktls_write", "chunked", "ktls require"),
    Result("vm_ktls_splice", "length", "tuned", 0.75),
)


@dataclass
class Count:
    """A variant in a job, one figure per round."""
    own: list = field(default_factory=list)    # of the product's processes
    whole: list = field(default_factory=list)  # of everybody
    failure: str = ""

    def spread(self):
        return max(self.own) / min(self.own) - 1 if self.own else 0


class JobLoad(Load):
    def __init__(self, site, product, job):
        self.job = job
        super().__init__(site, product, job.row(), job.conns)

    def options(self, port, row, conns=None, defaults=False):
        more = ["--requests", str(self.job.requests)] if self.job.visits else []
        if self.job.small_records:
            more.append("--small-records")
        return super().options(port, row, conns, defaults) + more


def job_round(site, product, job, count):
    load = JobLoad(site, product, job)
    try:
        check_negotiated(job.row(), load.opened)
        own = settled(product.process.cpu_seconds, 0.3, 0.01, 0)
        whole = cpu_queue_seconds(site.product_cpu)
        result = load.go()
        own = settled(product.process.cpu_seconds, 0.3, 0.01, 0) - own
        whole = cpu_queue_seconds(site.product_cpu) - whole
    finally:
        load.close()
    product.process.check()
    if result["ops"] != job.conns:
        raise BenchError(f"{result['ops']} operations instead of {job.conns}")
    # A nanosecond is an instruction.
    per = 1e3 / job.conns if job.visits else 1e9 / result["bytes"]
    count.own.append(own * per)
    count.whole.append(whole * per)


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run_variant(site, options, variant, table):
    product = Product(site, *variant)
    try:
        for job in (job for job in options.jobs if variant in table[job.name]):
            count = table[job.name][variant]
            try:
                # The first one makes it allocate what it allocates once.
                job_round(site, product, job, Count())
                for _ in range(options.rounds):
                    job_round(site, product, job, count)
            except BenchError as error:
                count.failure = str(error)
    finally:
        product.stop()


def cell_of(count):
    return Cell(samples=count.own, failure=count.failure)


def best(counts, name):
    """The variant of a peer that costs least."""
    found = [count for (product, _), count in counts.items()
             if product == name and count.own and not count.failure]
    return min(found, key=lambda count: median(count.own)) if found else None


def counts_of(result, counts):
    found = {"sluice": counts.get(("sluice", result.variant)), "nginx": best(counts, "nginx"),
             "haproxy": best(counts, "haproxy")}
    return {name: count for name, count in found.items() if count}


def unsteady(results, table):
    """Figures of rows that cannot be trusted."""
    return [f"{result.id}, {name}: two rounds differ by {count.spread():.1%}"
            for result in results for name, count in counts_of(result, table[result.job]).items()
            if count.spread() > AGREE]


def strings():
    """What a copied byte counts here."""
    flags = next((line for line in read("/proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    return "one instruction" if "erms" in flags.split() else "an eighth of an instruction"


def print_jobs(jobs, table):
    for job in jobs:
        print(f"{job.name}: {job.about}; {job.unit}")
        lines = [["product", "records and buffers", "its processes", "whole machine", "rounds differ by"]]
        for (name, kind), count in table[job.name].items():
            if count.failure or not count.own:
                lines.append([name, kind, "FAILED", count.failure, ""])
                continue
            lines.append([name, kind, shown.number(median(count.own)), shown.number(median(count.whole)),
                          f"{count.spread():.1%}"])
        shown.layout(lines)


def report(options, site, table):
    about = (f"virtual machine, instructions counted, a copied byte as {strings()}; "
             f"{machine(site, ['sluice', 'nginx', 'haproxy'])}")
    results = [result for result in RESULTS if result.job in table]
    rows = [(Row(result.id, PER_MB, goal=result.goal),
             {name: cell_of(count) for name, count in counts_of(result, table[result.job]).items()})
            for result in results]
    every = [{"job": job.name, "about": job.about, "unit": job.unit, "product": name, "variant": kind,
              "processes": count.own, "machine": count.whole, "failure": count.failure}
             for job in options.jobs for (name, kind), count in table[job.name].items()]
    write_json(options.json, {"machine": about, "rows": [shown.as_json(row, cells) for row, cells in rows],
                              "variants": every})
    print(f"\n{about}\n")
    print_jobs(options.jobs, table)
    shown.print_results("Instructions of the product's processes: median (minimum); of nginx the "
                        "best variant", [row for row, _ in rows], {row.id: cells for row, cells in rows})
    failed = [f"{entry['job']}, {entry['product']} {entry['variant']}: {entry['failure']}"
              for entry in every if entry["failure"]] + unsteady(results, table)
    for failure in failed:
        print(f"FAILED: {failure}")
    print(options.json)
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="jobs to do (default: all)")
    parser.add_argument("--products", help="variants of these only")
    parser.add_argument("--kinds", help="variants of these kinds only (between semicolons)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--build", default=os.path.join(TOP, "build/release"),
                        help="folder of sluiced and bench/")
    parser.add_argument("--json", default=os.path.join(TOP, "build/bench/latest-vm.json"),
                        help="the result")
    options = parser.parse_args()
    unknown = set(options.jobs) - {job.name for job in JOBS}
    if unknown:
        parser.error(f"there is no job {unknown.pop()}; jobs: {', '.join(job.name for job in JOBS)}")
    options.jobs = [job for job in JOBS if not options.jobs or job.name in options.jobs]
    return options


def is_chosen(options, variant):
    name, kind = variant
    return (not options.products or name in options.products.split(",")) and \
        (not options.kinds or kind in options.kinds.split(";"))


def run(options, runtime):
    prepare_process()
    # Files other than the result are in the machine's memory: reading them is no work for it.
    site = Site(options.build, runtime, runtime, [0, 0])
    table = {job.name: {variant: Count() for variant in job.variants if is_chosen(options, variant)}
             for job in options.jobs}
    variants = {variant: None for counts in table.values() for variant in counts}
    if any(variant in TO_TLS for variant in variants):
        site.tls_target_port = Product(site, "sluice", "ktls off").ports["ecdsa"]
    for variant in variants:
        say(" ".join(variant))
        run_variant(site, options, variant, table)
    return report(options, site, table)


def main():
    options = arguments()
    os.makedirs(os.path.dirname(options.json), exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    runtime = tempfile.mkdtemp(prefix="sluice-bench-")
    try:
        return run(options, runtime)
    except BenchError as error:
        say(str(error))
        return 1
    finally:
        Process.stop_all()
        shutil.rmtree(runtime, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
