"""Clients of the network tests: raw connections (plain or TLS with control over every byte and over
each direction's end), an HTTP/1.1 reader that forgives nothing, and waiting for conditions."""
import json
import os
import socket
import ssl
import struct
import time

TIMEOUT = 10.0
# Of a client that reads slowly. With less, the window is smaller than one segment, and TCP sends only
# when its persist timer (200 ms) says so.
SMALL_BUFFER = 16384
# How many times slower than an ordinary machine this one is (a processor that is translated): what
# the tests wait for may take so much longer.
SLOW = float(os.environ.get("SLUICE_SLOW") or 1)


def patience(seconds):
    """How long to wait here for what takes less than `seconds` on an ordinary machine."""
    return seconds * SLOW


def milliseconds(number):
    """The same as a duration of a configuration."""
    return f"{round(patience(number))}ms"


def until(condition, what, timeout=TIMEOUT, pause=0.02):
    """Waits until condition() is true and returns what it returned; fails at the deadline."""
    end = time.monotonic() + patience(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience(timeout):g} s: {what} (last: {value!r})")
        time.sleep(pause)


class Response:
    def __init__(self, status, headers, body=b"", trailers=(), interim=(), is_cut=False, version=""):
        self.status, self.headers, self.body = status, headers, body
        self.trailers, self.interim, self.is_cut = list(trailers), list(interim), is_cut
        self.version = version

    def get(self, name, default=None):
        return next((v for k, v in self.headers if k.lower() == name.lower()), default)

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}{' cut' if self.is_cut else ''}>"


class Connection:
    """A TCP connection whose bytes a test sends and reads itself."""

    def __init__(self, address, timeout=TIMEOUT, source=None, receive_buffer=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(patience(timeout))
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.sock.bind((source, 0))
        try:
            self.sock.connect(address)
        except BaseException:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def push(self):
        """Sends until the socket is full; how much it took."""
        self.sock.setblocking(False)
        pushed = 0
        try:
            while True:
                pushed += self.sock.send(bytes(1 << 16))
        except BlockingIOError:
            return pushed

    def recv(self, length=1 << 16):
        """Bytes, or b"" at the end of the peer's direction."""
        return self.sock.recv(length)

    def finish(self):
        """Ends our direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def more(self):
        data = self.recv()
        self.held += data
        return bool(data)

    def take(self, length):
        pieces, have = [self.held], len(self.held)  # appending to one bytes object is quadratic
        while have < length:
            if not (data := self.recv()):
                self.held = b"".join(pieces)
                raise EOFError(f"{have} of {length} bytes: {self.held[:200]!r}")
            pieces.append(data)
            have += len(data)
        data = b"".join(pieces)
        self.held = data[length:]
        return data[:length]

    def take_until(self, mark):
        while mark not in self.held:
            if not self.more():
                raise EOFError(f"no {mark!r} in {self.held[:300]!r}")
        end = self.held.index(mark) + len(mark)
        data, self.held = self.held[:end], self.held[end:]
        return data

    def line(self):
        return self.take_until(b"\n").decode("latin-1").rstrip("\r\n")

    def rest(self):
        """Everything up to the end of the peer's direction."""
        pieces = [self.held]
        self.held = b""
        while data := self.recv():
            pieces.append(data)
        return b"".join(pieces)

    def is_ended(self, timeout=TIMEOUT):
        """Does the peer end the connection (FIN or RST) without another byte?"""
        self.sock.settimeout(patience(timeout))
        try:
            return self.held == b"" and self.recv() == b""
        except (ConnectionError, ssl.SSLEOFError):
            return True
        except TimeoutError:
            return False

    # --- HTTP/1.1

    def head(self):
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        version, status, *_ = lines[0].split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        return Response(int(status), [tuple(p.strip() for p in l.split(":", 1)) for l in lines[1:]],
                        version=version)

    def response(self, method="GET"):
        """The next final response; interim ones are in .interim, a body that ends early is cut."""
        interim = []
        while True:
            answer = self.head()
            if answer.status >= 200 or answer.status == 101:
                break
            interim.append(answer)
        answer.interim = interim
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        try:
            self._body(answer)
        except (EOFError, ConnectionError, ssl.SSLEOFError):
            answer.is_cut = True
            answer.body, self.held = answer.body + self.held, b""
        return answer

    def _body(self, answer):
        if "chunked" in (answer.get("transfer-encoding") or "").lower():
            assert answer.get("content-length") is None, answer
            body = bytearray()
            try:
                while size := int(self.line().split(";")[0], 16):
                    body += self.take(size)
                    assert self.take(2) == b"\r\n"
            finally:
                answer.body = bytes(body)
            while line := self.line():
                answer.trailers.append(line)
        elif answer.get("content-length") is not None:
            answer.body = self.take(int(answer.get("content-length")))
        else:
            answer.body = self.rest()

    def request(self, path="/", method="GET", headers=(), body=b"", host="www.sluice.test"):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.response(method)


class TlsConnection(Connection):
    """TLS over memory BIOs: close_notify can be sent while the other direction goes on."""

    def __init__(self, address, name=None, context=None, session=None, before=b"", **options):
        super().__init__(address, **options)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = context or client_context()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=name,
                                         session=session)
        self.sock.sendall(before)
        try:
            self._do(self.tls.do_handshake)
        except BaseException:
            self.sock.close()
            raise

    def _flush(self):
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def _do(self, step, *arguments):
        while True:
            try:
                result = step(*arguments)
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(1 << 16)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            except ssl.SSLError:
                self._flush()
                raise

    def send(self, data):
        data = data if isinstance(data, bytes) else data.encode("latin-1")
        for start in range(0, len(data), 1 << 16):
            self._do(self.tls.write, data[start:start + (1 << 16)])

    def recv(self, length=1 << 16):
        try:
            return self._do(self.tls.read, length)
        except ssl.SSLZeroReturnError:
            return b""

    def finish(self):
        """Sends close_notify; reading goes on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def names(self):
        """The certificate's subject alternative names, and the kind of its key."""
        der = self.tls.getpeercert(True)
        names = sorted(v for _, v in self.tls.getpeercert().get("subjectAltName", ()))
        return names, "rsa" if RSA_OID in der else "ecdsa"


def status(address, port=80, source=None, timeout=2):
    """The status of a request from a source address, or None when no connection comes about."""
    try:
        with Connection((address, port), source=source, timeout=timeout) as client:
            return client.request().status
    except (TimeoutError, ConnectionResetError):
        return None


RSA_OID = bytes.fromhex("2a864886f70d010101")  # rsaEncryption, as in SubjectPublicKeyInfo
_TRUST = {}


def trust(path):
    """The CA that client contexts verify against."""
    _TRUST["path"] = str(path)


def client_context(version=None, verify=True, alpn=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if verify:
        context.load_verify_locations(_TRUST["path"])
    else:
        context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    if ciphers:
        context.set_ciphers(ciphers)
    return context
