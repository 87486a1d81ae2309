"""A target of the network tests: HTTP/1.1, TLS and raw TCP servers with scripted behaviour.

    target.py --name NAME --address A [--address A…] --control SOCKET --cert PEM --key KEY

Ports: 8080 http, 8443 https, 8081 http after a PROXY header, 9000 raw TCP, 9001 raw TCP that greets first, 9443 raw over TLS,
9100 raw after a PROXY header, 8082 HTTP/2, 8083 HTTP/2 after a PROXY header, 8444 HTTP/2 over TLS. What HTTP does is chosen by the path (see PATHS below), what raw TCP
does by the first line (see `raw`). The control socket takes one JSON object per line and answers
one: {"cmd": "stats"}, {"cmd": "health", "state": "ok|fail|hang"}, {"cmd": "reset"}, {"cmd": "requests",
"state": "ok|all|half|slow|drop|hang|cut|stall"}: what becomes of requests whose health check passes.
Bodies are made by `pattern`, so that both sides know them without sending them first.
"""
import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import signal
import socket
import ssl
import struct
from urllib.parse import parse_qsl, urlsplit

from target_h2 import Session
from websockets.asyncio.server import serve

BLOCK = random.Random(7).randbytes(1 << 16)
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
REASONS = {101: "Switching Protocols", 200: "OK", 204: "No Content", 304: "Not Modified",
           404: "Not Found", 413: "Too Large", 500: "Internal Server Error", 503: "Service Unavailable"}


def pattern(length):
    """The body of that length, in pieces."""
    for _ in range(length // len(BLOCK)):
        yield BLOCK
    if length % len(BLOCK):
        yield BLOCK[:length % len(BLOCK)]


def websocket_accept(key):
    return base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()


def pattern_sha256(length):
    digest = hashlib.sha256()
    for piece in pattern(length):
        digest.update(piece)
    return digest.hexdigest()


class Gone(Exception):
    """The peer ended the connection in the middle of something."""


class Target:
    def __init__(self, name):
        self.name = name
        self.health = "ok"
        self.requests = "ok"
        self.reset()

    def reset(self):
        before = getattr(self, "stats", {})
        self.stats = {"connections": 0, "open": before.get("open", 0), "raw_open": before.get("raw_open", 0),
                      "requests": 0, "aborted": 0, "checks": 0, "body_bytes": 0, "raw": [],
                      "paths": {}, "early": 0, "gone": 0,
                      "sessions": 0, "resets": 0}

    async def control(self, reader, writer):
        while line := await reader.readline():
            request = json.loads(line)
            answer = {"ok": True}
            match request["cmd"]:
                case "stats":
                    answer = self.stats
                case "health":
                    self.health = request["state"]
                case "requests":
                    self.requests = request["state"]
                case "reset":
                    self.reset()
                case other:
                    answer = {"error": f"unknown command {other}"}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    def serve(self, handler):
        """Counts a connection and sees that its end is clean for asyncio."""
        async def connection(reader, writer):
            self.stats["connections"] += 1
            self.stats["open"] += 1
            try:
                await handler(reader, writer)
            except (Gone, OSError, asyncio.IncompleteReadError, ssl.SSLError):
                self.stats["aborted"] += 1
            finally:
                self.stats["open"] -= 1
                writer.close()
        return connection


class Request:
    """One HTTP/1.1 request of a connection; the body is read when somebody asks for it."""

    def __init__(self, reader, head):
        self.reader = reader
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        url = urlsplit(self.target)
        self.path, self.query = url.path, dict(parse_qsl(url.query))
        self.trailers = []
        self.is_body_read = False

    def get(self, name, default=""):
        return next((v for k, v in self.headers if k.lower() == name), default)

    async def body(self):
        """The pieces of the body."""
        self.is_body_read = True
        if "chunked" in self.get("transfer-encoding").lower():
            while True:
                size = int((await self.line()).split(b";")[0], 16)
                if size == 0:
                    break
                yield await self.reader.readexactly(size)
                await self.line()
            while line := await self.line():
                self.trailers.append(line.decode("latin-1"))
            return
        left = int(self.get("content-length", "0"))
        while left:
            piece = await self.reader.read(min(left, 1 << 16))
            if not piece:
                raise Gone
            left -= len(piece)
            yield piece

    async def line(self):
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise Gone
        return line.rstrip(b"\r\n")


class Http:
    """The HTTP side: one instance per connection."""

    def __init__(self, target, reader, writer, proxy=None):
        self.target, self.reader, self.writer, self.proxy = target, reader, writer, proxy
        self.served = 0

    async def run(self):
        while True:
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise Gone from None
                return
            if await self.serve(Request(self.reader, head[:-4])):
                return

    async def serve_one(self):
        await self.serve(Request(self.reader, (await self.reader.readuntil(b"\r\n\r\n"))[:-4]))

    async def serve(self, request):
        """True: the connection ends."""
        word = (request.path.split("/") + [""])[1]  # "*" has none
        stats = self.target.stats
        stats["checks" if word == "healthz" else "requests"] += 1
        stats["paths"][word] = stats["paths"].get(word, 0) + 1
        self.served += 1
        action = getattr(self, "do_" + (word.replace("-", "_") or "index"), self.do_index)
        if word != "healthz" and self.target.requests != "ok":
            action = self.sick(action)
        if await action(request) == "close":
            return True
        if not request.is_body_read:
            async for _ in request.body():
                pass
        return request.get("connection").lower() == "close"

    def sick(self, action):
        """What is done instead, see the control socket."""
        async def fail(request):
            async for _ in request.body():
                pass
            await self.reply(request, b"sick\n", 500)

        async def late(request):
            await asyncio.sleep(0.06)
            await action(request)
        is_even = self.target.stats["requests"] % 2 == 0
        return {"all": fail, "half": fail if is_even else action, "slow": late, "drop": self.do_drop,
                "hang": self.do_hang, "cut": self.do_partial, "stall": self.do_stall}[self.target.requests]

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def head(self, status=200, headers=(), length=None):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"X-Target: {self.target.name}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def reply(self, request, body, status=200, headers=()):
        data = b"" if request.method == "HEAD" else body
        await self.send(self.head(status, headers, len(body)) + data)

    def parameter(self, request):
        return int(request.path.split("/")[2])

    async def do_index(self, request):
        await self.reply(request, f"hello from {self.target.name}\n".encode())

    async def do_healthz(self, request):
        if self.target.health == "hang":
            await asyncio.sleep(30)
        is_ok = self.target.health == "ok"
        await self.reply(request, self.target.health.encode() + b"\n", 200 if is_ok else 503)

    async def do_bytes(self, request):
        """/bytes/N: N bytes with a Content-Length."""
        length = self.parameter(request)
        await self.send(self.head(length=length))
        if request.method != "HEAD":
            for piece in pattern(length):
                await self.send(piece)

    async def do_chunked(self, request):
        """/chunked/N: N bytes in chunks, a trailer with their checksum."""
        await self.send(self.head(headers=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]))
        if request.method == "HEAD":
            return
        digest = hashlib.sha256()
        for piece in pattern(self.parameter(request)):
            digest.update(piece)
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await self.send(f"0\r\nX-Sum: {digest.hexdigest()}\r\n\r\n".encode())

    async def do_apart(self, request):
        """The head, then the body, as servers send it that know nothing of TCP_NODELAY."""
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        data = b"".join([piece async for piece in request.body()])
        await self.send(self.head(length=len(data)))
        await self.send(data)

    async def do_slow(self, request):
        """/slow/MS: the answer comes late."""
        await asyncio.sleep(self.parameter(request) / 1000)
        await self.do_index(request)

    async def do_echo(self, request):
        digest, length = hashlib.sha256(), 0
        try:
            async for piece in request.body():
                digest.update(piece)
                length += len(piece)
                self.target.stats["body_bytes"] += len(piece)
        except (Gone, OSError, asyncio.IncompleteReadError):
            self.target.stats["gone"] += 1
            raise
        tls = self.writer.get_extra_info("ssl_object")
        answer = {"target": self.target.name, "method": request.method, "path": request.target,
                  "version": request.version, "headers": request.headers, "length": length,
                  "sha256": digest.hexdigest(), "trailers": request.trailers, "served": self.served,
                  "proxy": self.proxy, "tls": tls.version() if tls else None,
                  "peer": self.writer.get_extra_info("peername")[0]}
        await self.reply(request, json.dumps(answer).encode(),
                         headers=[("Content-Type", "application/json")])

    async def do_elsewhere(self, request):
        await self.reply(request, b"here\n", headers=[("Alt-Svc", 'h2="own.test:9999"')])

    async def do_session(self, request):
        await self.reply(request, b"begun\n", headers=[("Set-Cookie", "SID=1; Path=/")])

    async def do_close(self, request):
        """/close/N: N bytes ended by the end of the connection."""
        await self.send(self.head(headers=[("Connection", "close")]))
        for piece in pattern(self.parameter(request)):
            await self.send(piece)
        return "close"

    async def do_status(self, request):
        status = self.parameter(request)
        if status in (204, 304):
            await self.send(self.head(status))
        else:
            await self.reply(request, b"status\n", status)

    async def do_upgrade(self, request):
        """101, then everything comes back until the other side ends its direction."""
        if request.get("upgrade").lower() != "websocket":
            return await self.reply(request, b"upgrade expected\n", 400)
        await self.send(self.head(101, [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", websocket_accept(request.get("sec-websocket-key")))]))
        while data := await self.reader.read(1 << 16):
            await self.send(data)
        return "close"

    async def do_upgrade_half(self, request):
        """Ends its direction at once, and goes on reading."""
        await self.send(self.head(101, [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", websocket_accept(request.get("sec-websocket-key")))]) + b"bye")
        self.writer.write_eof()
        while data := await self.reader.read(1 << 16):
            self.target.stats["body_bytes"] += len(data)
        return "close"

    async def do_upgrade_silent(self, request):
        """Hears the end of the other direction, and keeps its own open."""
        await self.send(self.head(101, [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Accept", websocket_accept(request.get("sec-websocket-key")))]))
        self.target.stats["gone"] += await self.reader.read(1) == b""
        await asyncio.sleep(10)
        return "close"

    async def do_accept(self, request):
        """/accept/TEXT: 101 with that for Sec-WebSocket-Accept; /accept/none: without one."""
        accept = [("Sec-WebSocket-Accept", request.path.split("/")[-1])]
        await self.send(self.head(101, [("Connection", "Upgrade"), ("Upgrade", "websocket")]
                                  + accept * (accept[0][1] != "none")))
        return "close"

    async def do_served(self, request):
        """/served: says who it is, and when."""
        await self.reply(request, b"served\n", headers=[("Server", "target/1"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")])

    async def do_hang(self, request):
        """No answer; counts the client's going away."""
        try:
            is_gone = await self.reader.read(1) == b""
        except OSError:
            is_gone = True
        self.target.stats["gone"] += is_gone
        return "close"

    async def do_100(self, request):
        if request.get("expect").lower() != "100-continue":
            return await self.reply(request, b"no expect seen\n", 417)
        await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await self.do_echo(request)

    async def do_refuse(self, request):
        """/refuse: answers before the body and closes."""
        self.target.stats["early"] += 1
        await self.send(self.head(413, [("Connection", "close")], 6) + b"large\n")
        return "close"

    async def do_early_hints(self, request):
        await self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        await self.do_index(request)

    async def do_hints(self, request):
        """/hints/N: N interim answers of 250 bytes before the one that counts."""
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </" + b"a" * 220 + b">\r\n\r\n"
        for _ in range(self.parameter(request) // 100):
            await self.send(hint * 100)
        await self.do_index(request)

    async def do_head(self, request):
        """/head/N: an answer whose head has N bytes, in 120 fields."""
        fields = [(f"X-{number:03}", "y" * (self.parameter(request) // 120 - 9)) for number in range(120)]
        await self.reply(request, b"head\n", headers=fields)

    async def do_partial(self, request):
        """Half the body that was announced, then the end."""
        await self.send(self.head(length=1000) + BLOCK[:500])
        return "close"

    async def do_drip(self, request):
        """/drip/N: a body is begun, N bytes come, then 100 more, then nothing for as long as the
        client stays."""
        length = self.parameter(request)
        await self.send(self.head(length=length + (1 << 20)))
        for piece in pattern(length):
            await self.send(piece)
        # On its own, not in one segment with the end of the rest.
        while self.writer.transport.get_write_buffer_size():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await self.send(BLOCK[:100])
        return await self.do_hang(request)

    async def do_cut(self, request):
        """/cut/N/HOW: N bytes of twice as many announced, then the end, or with HOW "reset" a RST."""
        length = self.parameter(request)
        await self.send(self.head(length=2 * length))
        for piece in pattern(length):
            await self.send(piece)
        if request.path.endswith("/reset"):
            # What is still queued here would die with the connection.
            while self.writer.transport.get_write_buffer_size():
                await asyncio.sleep(0.01)
            reset(self.writer)
        return "close"

    async def do_truncate(self, request):
        """/truncate/N: N bytes up to the end of the connection, which TLS does not announce."""
        await self.send(self.head(headers=[("Connection", "close")]))
        for piece in pattern(self.parameter(request)):
            await self.send(piece)
        await fin(self.writer)
        return await self.do_hang(request)

    async def do_half_head(self, request):
        await self.send(self.head()[:-4])
        return "close"

    async def do_bare_head(self, request):
        await self.send(self.head(length=10))
        return "close"

    async def do_no_end(self, request):
        """All chunks but the one that says so."""
        await self.send(self.head(headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
        await asyncio.sleep(0.02)
        await self.send(b"5\r\nagain\r\n")
        return "close"

    async def do_no_trailers(self, request):
        """The last chunk, and a part of the trailers behind it."""
        await self.send(self.head(headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\nX-Sum")
        return "close"

    async def do_partial_chunked(self, request):
        await self.send(self.head(headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
        return "close"

    async def do_stall(self, request):
        """Half the body, then nothing; counts the client's going away."""
        await self.send(self.head(length=1000) + BLOCK[:500])
        return await self.do_hang(request)

    async def do_last(self, request):
        """A keep-alive answer from a target that closes all the same."""
        await self.do_index(request)
        return "close"

    async def do_garbage(self, request):
        await self.send(b"this is not HTTP\r\n\r\n")
        return "close"

    async def do_drop(self, request):
        """Closes without an answer."""
        return "close"

    async def do_hop(self, request):
        """Hop-by-hop fields that must not reach the client."""
        await self.reply(request, b"hop\n", headers=[
            ("Connection", "X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "Basic"), ("X-Public", "2")])

    async def do_sink(self, request):
        """/sink/MS: reads 64 KiB, waits, and so on."""
        wait, length = self.parameter(request) / 1000, 0
        async for piece in request.body():
            length += len(piece)
            self.target.stats["body_bytes"] = length
            await asyncio.sleep(wait)
        await self.reply(request, f"{length}\n".encode())


async def read_proxy(reader):
    """A PROXY header as a dictionary: version, command, addresses."""
    first = await reader.readexactly(12)
    if first == b"\r\n\r\n\0\r\nQUIT\n":
        command, family, length = struct.unpack("!BBH", await reader.readexactly(4))
        body = await reader.readexactly(length)
        answer = {"version": 2, "command": {0x20: "LOCAL", 0x21: "PROXY"}.get(command, hex(command)),
                  "family": family}
        if family == 0x11:
            source, target, sport, dport = struct.unpack("!4s4sHH", body[:12])
            answer |= {"source": socket.inet_ntoa(source), "destination": socket.inet_ntoa(target),
                       "source_port": sport, "destination_port": dport}
        elif family == 0x21:
            source, target, sport, dport = struct.unpack("!16s16sHH", body[:36])
            answer |= {"source": socket.inet_ntop(socket.AF_INET6, source),
                       "destination": socket.inet_ntop(socket.AF_INET6, target),
                       "source_port": sport, "destination_port": dport}
        return answer
    line = (first + await reader.readuntil(b"\r\n")).decode().split()
    if line[0] != "PROXY":
        return {"version": 0, "line": line}
    answer = {"version": 1, "command": "PROXY", "family": line[1]}
    if len(line) == 6:
        answer |= {"source": line[2], "destination": line[3], "source_port": int(line[4]),
                   "destination_port": int(line[5])}
    return answer


def reset(writer):
    """The connection ends with an RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                               struct.pack("ii", 1, 0))
    writer.transport.abort()


async def fin(writer):
    """A bare FIN behind what was written."""
    while writer.transport.get_write_buffer_size():
        await asyncio.sleep(0.01)
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as own:
        own.shutdown(socket.SHUT_WR)


class Raw:
    """Raw TCP: the first line is the behaviour; what arrived is kept in stats["raw"]."""

    def __init__(self, target, reader, writer, proxy=None):
        self.target, self.reader, self.writer, self.proxy = target, reader, writer, proxy

    async def run(self, is_greeting=False):
        self.target.stats["raw_open"] += 1
        try:
            if is_greeting:
                return await self.do_greet()
            words = (await self.reader.readline()).decode("latin-1").split() or ["nothing"]
            await getattr(self, "do_" + words[0].lower())(*words[1:])
        finally:
            self.target.stats["raw_open"] -= 1

    async def take(self):
        """Reads to the end; what came is reported in the stats."""
        digest, length = hashlib.sha256(), 0
        try:
            while data := await self.reader.read(1 << 16):
                digest.update(data)
                length += len(data)
            end = "eof"
        except OSError as error:
            end = type(error).__name__
        report = {"length": length, "sha256": digest.hexdigest(), "end": end}
        self.target.stats["raw"].append(report)
        return report

    async def give(self, length):
        for piece in pattern(length):
            self.writer.write(piece)
            await self.writer.drain()

    async def do_echo(self):
        while data := await self.reader.read(1 << 16):
            self.writer.write(data)
            await self.writer.drain()
        if self.writer.can_write_eof():
            self.writer.write_eof()

    async def do_sink(self):
        """Answers with a report once the other side has ended its direction."""
        report = await self.take()
        self.writer.write(json.dumps(report).encode() + b"\n")
        await self.writer.drain()

    async def do_give(self, length):
        """Sends, ends its own direction, and goes on reading."""
        await self.give(int(length))
        self.writer.write_eof()
        await self.take()

    async def do_both(self, length):
        """Sends while it reads; ends its direction, then waits for the other's end."""
        async def side():
            await self.give(int(length))
            self.writer.write_eof()
        await asyncio.gather(side(), self.take())

    async def do_reset(self):
        reset(self.writer)

    async def do_truncate(self, length):
        """Sends and ends its direction, over TLS without close_notify."""
        for piece in pattern(int(length)):
            self.writer.write(piece)
        await fin(self.writer)
        await self.take()

    async def do_hold(self):
        self.writer.write(b"held\n")
        await self.take()

    async def do_proxy(self):
        self.writer.write(json.dumps(self.proxy).encode() + b"\n")
        await self.writer.drain()

    async def do_name(self):
        self.writer.write(self.target.name.encode() + b"\n")
        await self.writer.drain()
        await self.take()

    async def do_greet(self):
        """The target speaks first; then everything comes back."""
        self.writer.write(b"220 ready\n")
        await self.do_echo()

    async def do_nothing(self):
        """Closed, or a check that only connects."""


def handlers(target):
    def plain(kind):
        return target.serve(lambda reader, writer: kind(target, reader, writer).run())

    def proxied(kind):
        async def run(reader, writer):
            await kind(target, reader, writer, await read_proxy(reader)).run()
        return target.serve(run)

    def http2(read=None, takes_connect=False):
        async def run(reader, writer):
            proxy = await read(reader) if read else None
            await Session(target, reader, writer,
                          lambda reader, answer: Http(target, reader, answer, proxy).serve_one(),
                          takes_connect).run()
        return target.serve(run)

    async def greeting(reader, writer):
        await Raw(target, reader, writer).run(is_greeting=True)
    return {9001: target.serve(greeting), 8080: plain(Http), 8443: plain(Http), 8081: proxied(Http), 9000: plain(Raw),
            9443: plain(Raw), 9100: proxied(Raw), 8082: http2(takes_connect=True),
            8444: http2(takes_connect=True), 8083: http2(read_proxy)}


async def websocket(connection):
    """What comes back is what was sent; "close" ends it."""
    async for message in connection:
        if message == "close":
            await connection.close(4000, "as asked")
            return
        await connection.send(message)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", action="append", required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    context_h2 = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context_h2.load_cert_chain(options.cert, options.key)
    context_h2.set_alpn_protocols(["h2"])
    contexts = {8443: context, 9443: context, 8444: context_h2}
    target = Target(options.name)
    for port, handler in handlers(target).items():
        await asyncio.start_server(handler, options.address, port, ssl=contexts.get(port), backlog=1024)
    await serve(websocket, options.address, 8090)
    await asyncio.start_unix_server(target.control, options.control)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
