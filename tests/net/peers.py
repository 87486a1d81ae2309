"""nginx and haproxy in the load balancer's namespace, in front of the same targets and with the same
certificates as sluiced, so that the same clients can tell what a change does to them. Every one is told
of a change the way its manual says: nginx by a reload; haproxy by its run-time API, or by a reload."""
import os
import shutil
import signal
import socket
import subprocess

import netns
from wire import patience, until

NGINX = """daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	keepalive_requests 1000000;
	upstream web {{ {targets} keepalive 64; }}
	ssl_protocols TLSv1.3;
	ssl_conf_command Ciphersuites {suite};
	ssl_client_certificate {cas};
	ssl_verify_client {verify};
	{servers}
}}
"""
NGINX_SERVER = """server {{
		listen 443 ssl{default}; server_name {name};
		ssl_certificate {crt}; ssl_certificate_key {key};
		location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_buffering off; }}
	}}
"""
HAPROXY = """global
	nbthread 2
	maxconn 4096
	stats socket {folder}/api.sock mode 600 level admin
defaults
	mode http
	timeout connect 5s
	timeout client 300s
	timeout server 300s
frontend web
	bind :443 ssl crt-list {folder}/list ca-file {cas} verify {verify} ssl-min-ver TLSv1.3 ciphersuites {suite}
	default_backend web
backend web
{targets}
"""


class Peer:
    """One of them, started. `site` has the files and says which state is wanted."""
    has_states = has_trust = True

    def __init__(self, site, name):
        self.site, self.net = site, site.net
        self.folder = site.folder / name
        self.folder.mkdir()
        self.targets = [address.rsplit(":", 1) for address in
                        (target["address"] for target in self.net.target_list(8080))]
        self.write()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                netns.inside(self.net.lb, *map(str, self.command())), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=netns.die_with_parent)
        until(self.is_ready, f"{name} serves", 20)

    def is_ready(self):
        assert not self.process.poll(), (self.folder / "log").read_text()
        try:
            return self.site.served("unknown.test")
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=patience(10))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pairs(self):
        """(name, certificate, key) of what is served by name."""
        for stem, name in (("kept", "*.kept.test"), ("extra", "extra.test")):
            crt, key = self.site.place(stem, self.site.pairs)
            if crt.exists():
                yield name, crt, key

    def change(self, number):
        """The same changes as sluiced's, all told at once."""
        def change():
            self.site.change(number, self.has_states, self.has_trust)
            self.tell()
        # With old workers that end by and by the new ones may take their time: no judgement here.
        self.site.wait_for(change, "unknown.test", "the change is in force", 60)


class Nginx(Peer):
    def write(self):
        suite, verify = self.site.terms()
        crt, key = self.site.place(self.site.state)
        servers = NGINX_SERVER.format(default=" default_server", name="_", crt=crt, key=key)
        servers += "".join(NGINX_SERVER.format(default="", name=name, crt=crt, key=key)
                           for name, crt, key in self.pairs())
        (self.folder / "nginx.conf").write_text(NGINX.format(
            folder=self.folder, suite=suite, cas=self.site.cas, servers=servers,
            verify={"none": "optional_no_ca", "required": "on"}[verify],
            targets=" ".join(f"server {host}:{port};" for host, port in self.targets)))

    def command(self):
        return "nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"

    def tell(self):
        self.write()
        self.process.send_signal(signal.SIGHUP)


class NginxUpgrade(Nginx):
    """By another program: USR2 starts it with the listening sockets, QUIT ends the one before, with its
    connections."""

    def write(self):
        """As a daemon: another one takes the signal for its own parent's, and does nothing."""
        super().write()
        file = self.folder / "nginx.conf"
        file.write_text(file.read_text().replace("daemon off;", ""))

    def command(self):
        return shutil.which("nginx"), *super().command()[1:]

    def is_ready(self):
        return self.process.poll() == 0 and super().is_ready()

    def pid(self):
        return int((self.folder / "nginx.pid").read_text())

    def is_next(self, before):
        return (self.folder / "nginx.pid").exists() and self.pid() != before

    def tell(self):
        self.write()
        before = self.pid()
        os.kill(before, signal.SIGUSR2)
        until(lambda: self.is_next(before), "the next nginx runs", 20)
        os.kill(before, signal.SIGQUIT)
        until(lambda: not (self.folder / "nginx.pid.oldbin").exists(), "the one before has ended", 60)

    def stop(self):
        pid = self.pid()
        os.kill(pid, signal.SIGTERM)
        until(lambda: not os.path.exists(f"/proc/{pid}"), "it has ended")
        self.process.wait()


class Haproxy(Peer):
    """By reloads: a new process for each change, which takes over the listening sockets."""

    def bundle(self, stem, crt, key):
        path = self.folder / f"{stem}.pem"
        path.write_bytes(crt.read_bytes() + key.read_bytes())
        return path

    def write(self):
        suite, verify = self.site.terms()
        files = [self.bundle("default", *self.site.place(self.site.state))]
        files += [self.bundle(name.strip("*."), crt, key) for name, crt, key in self.pairs()]
        (self.folder / "list").write_text("".join(f"{path}\n" for path in files))
        (self.folder / "haproxy.cfg").write_text(HAPROXY.format(
            folder=self.folder, suite=suite, cas=self.site.cas,
            verify={"none": "optional crt-ignore-err all ca-ignore-err all", "required": "required"}[verify],
            targets="\n".join(f"	server t{number} {host}:{port}" for number, (host, port)
                              in enumerate(self.targets))))

    def command(self):
        return "haproxy", "-W", "-S", self.folder / "master.sock", "-f", self.folder / "haproxy.cfg"

    def tell(self):
        self.write()
        assert "Success=1" in self.ask("master.sock", "reload")

    def ask(self, name, command):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience(10))
            sock.connect(str(self.folder / name))
            sock.sendall(command.encode() + b"\n")
            answer = b""
            while data := sock.recv(4096):
                answer += data
        return answer.decode()


class HaproxyApi(Haproxy):
    """By the run-time API, which has no policies and no modes. It has CAs, but after `commit ssl ca-file`
    no `commit ssl cert` finds the listener any more (3.0.11): certificates only."""
    has_states = has_trust = False

    def api(self, *commands):
        for command in commands:
            answer = self.ask("api.sock", command)
            assert not any(word in answer.lower() for word in ("error", "can't", "unknown", "fail", "not found")), \
                (command[:80], answer)

    def put(self, path, content):
        self.api(f"set ssl cert {path} <<\n{content.strip()}\n", f"commit ssl cert {path}")

    def tell(self):
        before = set((self.folder / "list").read_text().split())
        self.write()
        now = (self.folder / "list").read_text().split()
        for path in before - set(now):
            self.api(f"del ssl crt-list {self.folder}/list {path}", f"del ssl cert {path}")
        for path in now:
            with open(path, encoding="ascii") as file:
                content = file.read()
            if path not in before:
                self.api(f"new ssl cert {path}")
            self.put(path, content)
            if path not in before:
                self.api(f"add ssl crt-list {self.folder}/list {path}")


PEERS = {"nginx-reload": Nginx, "nginx-upgrade": NginxUpgrade, "haproxy-reload": Haproxy, "haproxy-api": HaproxyApi}


def missing(name):
    program = name.split("-")[0]
    return None if shutil.which(program) else f"{program} is not installed"
