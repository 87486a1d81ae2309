"""The rows about 100,000 certificates: start, memory, look-up, one replaced, a reload."""

import dataclasses
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time

import measure
import rows as shown
from peers import remove_pins
from proc import BenchError, Process, read, settled
from rows import Cell

COUNT, PEERS_COUNT = 100_000, 10_000
HOT = 1000
SPARE = 20          # pairs of the same names that replace others
PAIRS_SECONDS = 300  # to make them, once
LOAD_SECONDS = 90
WORKERS = 2

SLUICE = """workers: {workers}
admin: {{socket: {run}/admin.sock}}
log: {{level: info}}
xdp: {{mode: off, pin_dir: {pins}}}
certificates_index: {run}/certificates.idx
certificates:
  - {{name: default, cert: {pairs}/../default/c000000.crt, key: {pairs}/../default/c000000.key}}
  - {{name: many, directory: {pairs}}}
target_groups:
  - {{name: web, protocol: http, targets: [{{address: "127.0.0.1:{target}"}}]}}
listeners:
  - name: web
    protocol: https
    address: "0.0.0.0:{port}"
    certificates: [default, many]
    target_group: web
"""

NGINX_HEAD = """worker_processes {workers};
pid {run}/nginx.pid;
error_log {run}/error.log error;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	server_names_hash_max_size 65536;
	server_names_hash_bucket_size 128;
	ssl_protocols TLSv1.3;
	ssl_session_cache off;
"""
NGINX_SERVER = """	server {{ listen {port} ssl; server_name c{number:06}.example.test;
		ssl_certificate {pairs}/c{number:06}.crt; ssl_certificate_key {pairs}/c{number:06}.key;
		location / {{ return 200; }} }}
"""

HAPROXY = """global
	nbthread {workers}
	maxconn 1024
	ssl-load-extra-files key
	ssl-load-extra-del-ext
	ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
frontend web
	bind :{port} ssl crt {pairs}/
	http-request return status 200
"""


class Pairs:
    """The pairs, made once and kept in the build folder; a copy of a part for the others."""

    def __init__(self, site):
        top = os.path.join(site.build, "..", "certs-bench")
        self.all = os.path.abspath(os.path.join(top, "pairs"))
        self.part = os.path.abspath(os.path.join(top, "part"))
        self.spare = os.path.abspath(os.path.join(top, "spare"))
        os.makedirs(top, exist_ok=True)
        for folder, count in ((self.all, COUNT), (self.spare, SPARE),
                              (os.path.join(top, "default"), 1)):
            self.make(site, folder, count)
        if not os.path.exists(f"{self.part}/c{PEERS_COUNT - 1:06}.key"):
            os.makedirs(self.part, exist_ok=True)
            for number in range(PEERS_COUNT):
                for end in ("crt", "key"):
                    name = f"c{number:06}.{end}"
                    shutil.copy(f"{self.all}/{name}", f"{self.part}/{name}")

    @staticmethod
    def make(site, folder, count):
        if os.path.exists(f"{folder}/c{count - 1:06}.key"):
            return
        subprocess.run([site.binary("pairs"), folder, str(count)], check=True,
                       timeout=PAIRS_SECONDS)

    def replace(self, number):
        """A served pair by a spare one of the same name, by rename; and the other way round."""
        for end in ("crt", "key"):
            name = f"c{number:06}.{end}"
            for source, place in ((f"{self.all}/{name}", f"{self.spare}/.{name}"),
                                  (f"{self.spare}/{name}", f"{self.all}/.{name}")):
                shutil.copy(source, place)
            os.rename(f"{self.all}/.{name}", f"{self.all}/{name}")
            os.rename(f"{self.spare}/.{name}", f"{self.spare}/{name}")


class Instance:
    """A product with its certificates, started; `load_cpu` is what it took to the first handshake."""

    def __init__(self, site, name, pairs, folder):
        site.starts += 1
        self.name, self.port = name, site.port()
        self.ports = {"ecdsa": self.port}
        self.run = os.path.join(site.runtime, f"certs-{name}")
        os.makedirs(self.run, exist_ok=True)
        self.pins = f"/sys/fs/bpf/sluice-bench-{os.getpid()}-{site.starts}"
        command = getattr(self, name)(site, folder)
        self.process = Process(name, site.product_cpu, command,
                               log=os.path.join(site.out, f"certs-{name}.log"))
        self.wait(LOAD_SECONDS)
        self.load_cpu = self.process.cpu_seconds()

    def write(self, file, text):
        path = os.path.join(self.run, file)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def sluice(self, site, folder):
        text = SLUICE.format(workers=WORKERS, run=self.run, pins=self.pins, pairs=folder,
                             target=site.target_port, port=self.port)
        return [os.path.join(site.build, "sluiced"), "--config", self.write("sluice.yaml", text)]

    def nginx(self, _site, folder):
        text = NGINX_HEAD.format(workers=WORKERS, run=self.run)
        text += "".join(NGINX_SERVER.format(port=self.port, number=number, pairs=folder)
                        for number in range(PEERS_COUNT)) + "}\n"
        return ["nginx", "-p", self.run, "-c", self.write("nginx.conf", text), "-g", "daemon off;"]

    def haproxy(self, _site, folder):
        text = HAPROXY.format(workers=WORKERS, pairs=folder, port=self.port)
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", text)]

    def handshake(self, number):
        """The serial number of the certificate that a client of that name gets."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 5) as plain, \
                context.wrap_socket(plain, server_hostname=f"c{number:06}.example.test") as tls:
            return tls.getpeercert(True)

    def wait(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.handshake(PEERS_COUNT - 1)
            except OSError as error:
                self.process.check()
                if time.monotonic() > deadline:
                    raise BenchError(f"{self.name} does not serve after {seconds} s") from error
            time.sleep(0.02)

    def rss_mib(self):
        """Resident memory of all its processes; what they share counts once."""
        return sum(int(line.split()[1]) for pid in self.process.pids()
                   for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
                   if line.startswith("Pss:")) / 1024

    def api(self, method, path):
        connection = http.client.HTTPConnection("sluice")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(os.path.join(self.run, "admin.sock"))
        connection.request(method, path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        if answer.status >= 300:
            raise BenchError(f"{method} {path}: {body}")
        return body

    def stop(self):
        self.process.stop()
        remove_pins(self.pins)


def start(site, name, pairs):
    return Instance(site, name, pairs, pairs.all if name == "sluice" else pairs.part)


def quiet(instance):
    """Nothing is done in the background any more."""
    deadline = time.monotonic() + 60
    while instance.api("GET", "/v1/certificates")["directories"][0]["unchecked"]:
        if time.monotonic() > deadline:
            raise BenchError("keys are checked for more than a minute")
        time.sleep(0.2)
    settled(instance.process.cpu_seconds, 3, 0.2, 0)


def make_index(site, pairs):
    """A first start, which leaves the index."""
    first = start(site, "sluice", pairs)
    try:
        quiet(first)
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(first.run, "certificates.idx")):
            if time.monotonic() > deadline:
                raise BenchError("the index is not written")
            time.sleep(0.1)
    finally:
        first.stop()


def load_and_rss(site, name, pairs, rows, table):
    """Start to first handshake; memory afterwards (of sluice see lookups())."""
    for _ in range(rows["certs_load_cpu"].rounds if "certs_load_cpu" in rows else 1):
        instance = start(site, name, pairs)
        try:
            if "certs_load_cpu" in rows:
                table["certs_load_cpu"][name].samples.append(instance.load_cpu)
            if name != "sluice" and "certs_rss" in rows and not table["certs_rss"][name].samples:
                table["certs_rss"][name].samples.append(instance.rss_mib())
        finally:
            instance.stop()


def lookups(site, instance, rows, table, say):
    """Handshakes with one name, with a hot set, and with names that were not served before, in
    turn. Cold names go through all of them, so that caches are full afterwards."""
    hot = rows.get("certs_lookup")
    cold = rows.get("certs_lookup_cold")
    one_cell, cold_cell = table["certs_lookup"]["off"], Cell()
    next_cold = 2 * HOT

    def one_round(row, cell, first, count):
        measure.load_round(site, instance, dataclasses.replace(row, names=f"{first},{count}"), cell)
    template = hot or cold
    warm = dataclasses.replace(template, names=f"{HOT},{HOT}", seconds=3)
    measure.load_round(site, instance, warm, Cell())
    for turn in range(template.rounds):
        say(f"certs_lookup: round {turn + 1} of {template.rounds}")
        one_round(template, one_cell, HOT, 1)
        one_round(template, table["certs_lookup"]["sluice"], HOT, HOT)
        if cold and turn < cold.rounds:
            one_round(template, cold_cell, next_cold, COUNT - 2 * HOT)
            next_cold += 2 * int(cold_cell.rates[-1] * template.seconds)
    raw = list(one_cell.samples)
    shown.level({"off": one_cell, "sluice": table["certs_lookup"]["sluice"]})
    if cold:  # against the round beside it: the machine's drift is larger than the difference
        table["certs_lookup_cold"]["sluice"].samples = [
            value - one for value, one in zip(cold_cell.samples, raw)]


def swap(instance, pairs, number):
    """Milliseconds from the look at the changed files until the change is in force."""
    before = instance.handshake(number)
    pairs.replace(number)
    deadline = time.monotonic() + 10
    while instance.handshake(number) == before:
        if time.monotonic() > deadline:
            raise BenchError("a replaced certificate is not served after 10 s")
        time.sleep(0.05)
    return instance.api("GET", "/v1/certificates")["renewal"]["took_us"] / 1000


def reload(instance, pairs):
    """Seconds of a reload that finds ten changed pairs."""
    before = instance.handshake(3)
    for number in range(10):
        pairs.replace(number)
    start_s = time.monotonic()
    instance.api("POST", "/v1/reload")
    took_s = time.monotonic() - start_s
    if instance.handshake(3) == before:
        raise BenchError("a reload did not take up a changed certificate")
    return took_s


def run_sluice(site, pairs, rows, table, say):
    instance = start(site, "sluice", pairs)
    try:
        quiet(instance)
        if "certs_lookup" in rows or "certs_lookup_cold" in rows:
            lookups(site, instance, rows, table, say)
        for turn in range(rows["cert_swap"].rounds if "cert_swap" in rows else 0):
            table["cert_swap"]["sluice"].samples.append(swap(instance, pairs, 10 + turn % 10))
        for _ in range(rows["certs_reload"].rounds if "certs_reload" in rows else 0):
            table["certs_reload"]["sluice"].samples.append(reload(instance, pairs))
            time.sleep(1)  # the watch has seen it, too
        if "certs_rss" in rows:
            table["certs_rss"]["sluice"].samples.append(instance.rss_mib())
    finally:
        instance.stop()


def run(site, rows, names, table, attempt, say):
    if not rows:
        return
    chosen = {row.id: row for row in rows}
    for name in ("certs_load_cpu", "certs_rss", "certs_lookup", "certs_lookup_cold", "cert_swap",
                 "certs_reload"):
        table.setdefault(name, {}).setdefault("sluice", Cell())
    table["certs_lookup"]["off"] = Cell()
    say("certificates: making what is not there yet")
    pairs = Pairs(site)
    for name in (name for name in ("nginx", "haproxy") if name in names):
        for row in ("certs_load_cpu", "certs_rss"):
            table[row][name] = Cell()
        if {"certs_load_cpu", "certs_rss"} & set(chosen):
            say(f"certificates: {name}")
            attempt(table["certs_load_cpu"][name], load_and_rss, site, name, pairs, chosen, table)
    if "sluice" not in names:
        return
    say("certificates: sluice")
    attempt(table["certs_load_cpu"]["sluice"], make_index, site, pairs)
    attempt(table["certs_load_cpu"]["sluice"], load_and_rss, site, "sluice", pairs, chosen, table)
    attempt(table[rows[-1].id]["sluice"], run_sluice, site, pairs, chosen, table, say)
    for name in [name for name in table if name.startswith("cert") and name not in chosen]:
        del table[name]
