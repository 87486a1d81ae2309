"""The products of the bench: their configurations from the templates in peers/, how they are
started, and when they are ready."""

import glob
import json
import os
import shutil
import socket
import ssl
import string
import subprocess
import time
from contextlib import contextmanager

from proc import BenchError, Process

HERE = os.path.dirname(os.path.abspath(__file__))
READY_SECONDS = 15
PINS = f"/sys/fs/bpf/sluice-bench-{os.getpid()}"
FIRST_PORT = 20001  # the namespace is the bench's own: below the ports of outgoing connections

# How nginx buffers responses: of the settings tried (4 to 16 buffers of 16k to 128k, and unbuffered
# with 64k to 1m) unbuffered is the one that is good for 1 MB and for 100 MB.
UNBUFFERED = ("proxy_buffering off; proxy_buffer_size 512k; proxy_buffers 16 64k; "
              "proxy_busy_buffers_size 512k;")
BUFFERED = ("proxy_buffering on; proxy_max_temp_file_size 0; proxy_buffer_size 64k; "
            "proxy_buffers 16 64k; proxy_busy_buffers_size 512k;")


PLAIN_TARGET = "proxy_pass http://web;"
TLS_TARGET = ("proxy_pass https://web_tls; proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; "
              "proxy_ssl_name www.example.test; proxy_ssl_server_name on; "
              "proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ")


def nginx(ktls="-KTLS", buffers=UNBUFFERED, sendfile="off", target=PLAIN_TARGET):
    return "nginx.conf", {"options": ktls, "buffers": buffers, "sendfile": sendfile, "target_pass": target}


def nginx_to_tls(ktls):
    return nginx(ktls, target=f"{TLS_TARGET} proxy_ssl_conf_command Options {ktls};")


def sluice_to_tls(ktls, target_ktls):
    return "sluice-tls.yaml", {"ktls": ktls, "target_ktls": target_ktls}


def sluice(ktls, rules=0, log=""):
    """Of the rules, each for a host and paths of its own, the last is for the requests of the load."""
    wanted = [{"priority": n + 1, "conditions": [{"host": f"shop{n}.example.test", "path": f"/shop/{n}/*"}],
               "target_group": "web"} for n in range(rules - 1)]
    if rules:
        wanted.append({"priority": rules, "target_group": "web",
                       "conditions": [{"host": "*.example.test", "path": "/sm*"}]})
    return "sluice.yaml", {"ktls": ktls, "rules": json.dumps(wanted), "access_log": log, "version": "http1"}


# Kinds of each product: the template and what is filled in.
KINDS = {
    "sluice": {"tuned": sluice("auto"), "default": ("sluice-default.yaml", {}),
               "gate": ("sluice-gate.yaml", {}), "ktls off": sluice("off"),
               "ktls require": sluice("require"),
               "rules 1": sluice("auto", 1), "rules 1000": sluice("auto", 1000),
               "access log json": sluice("auto", log="json"), "access log alb": sluice("auto", log="alb"),
               "to h2": ("sluice.yaml", {**sluice("auto")[1], "version": "http2", "is_h2": True}),
               "to tls": sluice_to_tls("auto", "auto"), "to tls, ktls off": sluice_to_tls("off", "off"),
               "to tls, ktls require": sluice_to_tls("require", "require")},
    "nginx": {"tuned": nginx(), "default": ("nginx-default.conf", {}), "ktls": nginx("KTLS"),
              "buffered": nginx(buffers=BUFFERED), "ktls buffered": nginx("KTLS", BUFFERED),
              "ktls sendfile": nginx("KTLS", BUFFERED, "on"), "to tls": nginx_to_tls("-KTLS"),
              "to tls, ktls": nginx_to_tls("KTLS")},
    "haproxy": {"tuned": ("haproxy.cfg", {"proto": ""}), "default": ("haproxy-default.cfg", {}),
                "to h2": ("haproxy.cfg", {"proto": "proto h2", "is_h2": True})},
}


def has_kind(name, kind):
    return kind in KINDS.get(name, {})


class Site:
    """Where things are and what all products share: folders, CPUs, certificates, the target."""

    def __init__(self, build, out, runtime, cpus):
        self.build = build  # folder of sluiced; its bench/ holds floor, load, target, xdp_cost
        self.out = out
        self.runtime = runtime    # short path, for unix sockets
        self.generator_cpu, self.product_cpu = cpus
        self.next_port = FIRST_PORT
        self.starts = 0
        self.certs = make_certificates(os.path.join(out, "certs"))
        self.tls_target_port = 0  # for kinds with TLS to the target: whoever uses them sets it
        self.h2_target_port = 0   # for kinds with HTTP/2 to the target (other_target())
        self.half_rate = 0.0  # requests a second, of rows that are paced
        self.target_port = self.port()
        self.target = Process("target", self.generator_cpu,
                              [self.binary("target"), str(self.target_port)],
                              log=os.path.join(out, "target.log"))
        wait_for(lambda: check_target(self.target_port), self.target)

    def binary(self, name):
        path = os.path.join(self.build, "bench", name)
        if not os.path.exists(path):
            raise BenchError(f"{path} is missing: build it (make bench builds it)")
        return path

    def port(self):
        self.next_port += 1
        return self.next_port


def openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def make_certificates(folder):
    """A CA and one leaf per key type, the same for all products. Returns name → path."""
    os.makedirs(folder, exist_ok=True)
    paths = {name: os.path.join(folder, name) for name in ("ca.pem", "ca.key", "request", "ext")}
    ec = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("req", "-x509", "-newkey", *ec, "-nodes", "-keyout", paths["ca.key"], "-out",
            paths["ca.pem"], "-days", "30", "-subj", "/CN=bench CA", "-addext",
            "keyUsage=critical,keyCertSign")
    with open(paths["ext"], "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:www.example.test\nkeyUsage=critical,digitalSignature\n"
                   "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
    result = {"ca": paths["ca.pem"]}
    for kind, newkey in (("ecdsa", ec), ("rsa", ["rsa:2048"])):
        pem, key, bundle = (os.path.join(folder, f"{kind}.{end}") for end in ("pem", "key", "all"))
        openssl("req", "-newkey", *newkey, "-nodes", "-keyout", key, "-out", paths["request"],
                "-subj", "/CN=www.example.test")
        openssl("x509", "-req", "-in", paths["request"], "-CA", paths["ca.pem"], "-CAkey",
                paths["ca.key"], "-out", pem, "-days", "30", "-extfile", paths["ext"])
        with open(bundle, "w", encoding="utf-8") as file:
            for part in (pem, key):
                with open(part, encoding="utf-8") as source:
                    file.write(source.read())
        result |= {f"{kind}_pem": pem, f"{kind}_key": key, f"{kind}_bundle": bundle}
    return result


def check_target(port):
    socket.create_connection(("127.0.0.1", port), 1).close()


def check_product(port, ca):
    """A verified HTTPS request through `port` is answered with 200."""
    context = ssl.create_default_context(cafile=ca)
    with socket.create_connection(("127.0.0.1", port), 1) as plain, \
            context.wrap_socket(plain, server_hostname="www.example.test") as tls:
        tls.sendall(b"GET /small HTTP/1.1\r\nHost: www.example.test\r\n\r\n")
        head = tls.recv(4096)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"answer {head[:60]!r}")


def wait_for(check, process):
    """Until check() does not raise OSError."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            check()
            return
        except OSError as error:
            process.check()
            if time.monotonic() > deadline:
                raise BenchError(f"{process.name} does not serve after {READY_SECONDS} s: {error}; "
                                 f"see {process.log}") from error
        time.sleep(0.05)


def render(template, folder, values):
    with open(os.path.join(HERE, "peers", template), encoding="utf-8") as file:
        text = string.Template(file.read()).substitute(values)
    path = os.path.join(folder, template)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@contextmanager
def other_target(site, kind):
    """The target that products of this kind talk to, where it is not the usual one: who answers HTTP/2
    is none of ours."""
    if kind != "to h2":
        yield
        return
    site.h2_target_port = site.port()
    folder = os.path.join(site.out, "run", "target-h2")
    os.makedirs(folder, exist_ok=True)
    config = render("target-h2.cfg", folder, {"port": site.h2_target_port, "body": "x" * 100})
    target = Process("target-h2", site.generator_cpu, ["haproxy", "-db", "-f", config],
                     log=os.path.join(folder, "log"))
    try:
        wait_for(lambda: check_target(site.h2_target_port), target)
        yield
    finally:
        target.stop()


class Product:
    """A running product: `ports` by key type, `process` for what it costs."""

    def __init__(self, site, name, kind="tuned"):
        site.starts += 1
        self.name = name
        self.ports = {"ecdsa": site.port(), "rsa": site.port()}
        self.run = os.path.join(site.out, "run", f"{name}-{kind.replace(' ', '-')}")
        self.pins = f"{PINS}-{site.starts}"
        self.access_log = ""
        shutil.rmtree(self.run, ignore_errors=True)
        os.makedirs(self.run)
        argv, env = self.command(site, kind)
        self.process = Process(name, site.product_cpu, argv, env=env,
                               log=os.path.join(self.run, "log"))
        for port in self.ports.values():
            wait_for(lambda port=port: check_product(port, site.certs["ca"]), self.process)
        cpus = self.process.cpus()
        if cpus != {str(site.product_cpu)}:
            raise BenchError(f"{name} may run on CPUs {', '.join(sorted(cpus))} instead of "
                             f"{site.product_cpu} alone: it must not widen what it is given")

    def command(self, site, kind):
        if self.name == "floor":
            listen = [f"--listen={self.ports[key]},{site.certs[key + '_pem']},"
                      f"{site.certs[key + '_key']}" for key in self.ports]
            return [site.binary("floor"), *listen, f"--target={site.target_port}"], {}
        socket_folder = os.path.join(site.runtime, str(site.starts))
        os.makedirs(socket_folder)
        template, more = KINDS[self.name][kind]
        values = {**site.certs, "run": socket_folder if self.name == "sluice" else self.run,
                  "pin_dir": self.pins,
                  "target": site.h2_target_port if more.get("is_h2") else site.target_port,
                  "tls_target": site.tls_target_port or site.target_port,
                  **{f"port_{key}": port for key, port in self.ports.items()}}
        if log := more.get("access_log"):
            self.access_log = f"{socket_folder}/access.log"
            more = more | {"access_log": f"path: {self.access_log}, format: {log}"}
        config = self.render(template, values | more)
        if self.name == "sluice":
            return [os.path.join(site.build, "sluiced"), "--config", config], {}
        if self.name == "nginx":
            return ["nginx", "-p", self.run, "-c", config, "-g", "daemon off;"], {}
        env = {} if kind == "default" else {"OPENSSL_CONF": self.render("openssl.cnf", {})}
        return ["haproxy", "-db", "-f", config], env

    def render(self, template, values):
        return render(template, self.run, values)

    def empty_log(self):
        """So that its pages are the same ones in every round: what a guest has never touched costs it
        three microseconds a KiB, the hypervisor's."""
        if self.access_log:
            os.truncate(self.access_log, 0)

    def wait_log(self, lines):
        """What drops its lines does not do the work."""
        deadline = time.monotonic() + READY_SECONDS
        while self.access_log and (there := self.count_lines()) < lines:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} wrote {there} lines for {lines} requests")
            time.sleep(0.02)

    def count_lines(self):
        with open(self.access_log, "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def stop(self):
        self.process.stop()
        remove_pins(self.pins)


def remove_pins(folder):
    """Pins are removed by unlink only; a product that stops in order has left none."""
    for path, _folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


def remove_all_pins():
    for folder in glob.glob(f"{PINS}-*"):
        remove_pins(folder)


def version(site, name):
    """The first line the product says of itself; empty when it says nothing."""
    command = {"sluice": [os.path.join(site.build, "sluiced"), "--version"],
               "nginx": ["nginx", "-v"], "haproxy": ["haproxy", "-v"]}[name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().split("\n")[0].split(" - ")[0]
