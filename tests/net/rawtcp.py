"""A TCP client made by hand, for what no kernel would send: chosen options, any segmentation, wrong
checksums, fragments, extension headers; and a TLS client on top of it that ends its handshake.

Frames go through a packet socket on the clients' device. The source addresses belong to prefixes
that the load balancer routes to the clients' namespace and that nobody there owns: no kernel takes
part, so none answers with RST (net.py sets the routes).
"""
import enum
import itertools
import random
import socket
import ssl
import struct
import time

import netns
from wire import patience

SOURCES = {4: "198.19.{}.{}", 6: "fd51:9::{:x}:{:x}"}
SOURCES_V4, SOURCES_V6 = "198.19.0.0/16", "fd51:9::/64"
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_VLAN = 3, 0x0800, 0x86dd, 0x8100
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
TCP, FRAGMENT = 6, 44
OPT_MSS, OPT_WSCALE, OPT_SACK, OPT_TIMESTAMPS, OPT_MD5 = 2, 3, 4, 8, 19


class F(enum.IntFlag):
    FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))


SYN_ACK = F.SYN | F.ACK


def checksum(*parts):
    """RFC 1071 over the parts one after another; each but the last has an even length."""
    data = b"".join(parts)
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def option(kind, value=b""):
    return bytes([kind, 2 + len(value)]) + value


def padded(options):
    return options + b"\1" * (-len(options) % 4)


class Segment:
    """A received TCP segment."""

    def __init__(self, source, target, ip_tos, tcp):
        self.source, self.target, self.tos = source, target, ip_tos
        self.sport, self.dport, self.seq, self.ack, offset, flags, self.window = \
            struct.unpack("!HHIIBBH", tcp[:16])
        self.flags = F(flags)
        header = (offset >> 4) * 4
        self.data = tcp[header:]
        self.options = dict(parse_options(tcp[20:header]))
        pseudo = source + target + struct.pack("!II", len(tcp), TCP)
        # Frames of a kernel on this machine carry only the sum of the pseudo-header.
        self.is_summed = checksum(pseudo, tcp) == 0

    @property
    def mss(self):
        return struct.unpack("!H", self.options[OPT_MSS])[0]

    @property
    def wscale(self):
        return self.options[OPT_WSCALE][0] if OPT_WSCALE in self.options else None

    @property
    def timestamps(self):
        """(TSval, TSecr) or None."""
        value = self.options.get(OPT_TIMESTAMPS)
        return struct.unpack("!II", value) if value else None

    def __repr__(self):
        return (f"<{self.flags!r} seq {self.seq} ack {self.ack} window {self.window} "
                f"{len(self.data)} bytes, options {self.options}>")


def parse_options(data):
    while data and data[0]:
        if data[0] == 1:
            data = data[1:]
            continue
        length = data[1]
        assert 2 <= length <= len(data), data
        yield data[0], data[2:length]
        data = data[length:]


def parse(frame):
    """The TCP segment of a frame, or None."""
    kind, at = struct.unpack("!H", frame[12:14])[0], 14
    if kind == ETH_P_VLAN:
        kind, at = struct.unpack("!H", frame[16:18])[0], 18
    ip = frame[at:]
    if kind == ETH_P_IP and ip[9] == TCP:
        header, total = (ip[0] & 15) * 4, struct.unpack("!H", ip[2:4])[0]
        return Segment(ip[12:16], ip[16:20], ip[1], ip[header:total])
    if kind == ETH_P_IPV6 and ip[6] == TCP:
        length = struct.unpack("!H", ip[4:6])[0]
        tos = (struct.unpack("!H", ip[:2])[0] >> 4) & 0xff
        return Segment(ip[8:24], ip[24:40], tos, ip[40:40 + length])
    return None


def ipv4(source, target, payload, options=b"", ident=0, fragment=0x4000, protocol=TCP, tos=0):
    """An IPv4 packet; `fragment` is the field with flags and offset (don't fragment by default)."""
    options += b"\0" * (-len(options) % 4)
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, tos, length + len(payload), ident, fragment,
                       64, protocol, 0) + source + target + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, target, payload, protocol=TCP, tos=0):
    return struct.pack("!IHBB", 6 << 28 | tos << 20, len(payload), protocol, 64) + source + target + payload


def extended(protocols, payload):
    """(first protocol, payload behind IPv6 extension headers of 8 bytes each)."""
    following = TCP
    for protocol in reversed(protocols):
        body = struct.pack("!BBHI", following, 0, 0, 0) if protocol == FRAGMENT else \
            struct.pack("!BB", following, 0) + b"\1\4\0\0\0\0"  # PadN
        payload, following = body + payload, protocol
    return following, payload


class Link:
    """The clients' device with its packet socket."""

    def __init__(self, net):
        self.net = net
        device = netns.ip_json("link", "show", "client0", namespace=net.client)[0]
        peer = netns.ip_json("link", "show", net.device, namespace=net.lb)[0]
        self.ethernet = bytes.fromhex((peer["address"] + device["address"]).replace(":", ""))
        self.own = self.ethernet[:6]
        with netns.entered(net.client):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.sock.bind(("client0", ETH_P_ALL))
        self.hosts = itertools.count(random.randrange(1 << 15))

    def close(self):
        self.sock.close()

    def address_to(self, mac):
        """Frames go to this MAC address from here on; None: to the load balancer's, as ever."""
        mac = bytes.fromhex(mac.replace(":", "")) if mac else self.own
        self.ethernet = mac + self.ethernet[6:]

    def send(self, packet, vlan=None):
        tag = struct.pack("!HH", ETH_P_VLAN, vlan) if vlan is not None else b""
        kind = ETH_P_IP if packet[0] >> 4 == 4 else ETH_P_IPV6
        self.sock.send(self.ethernet + tag + struct.pack("!H", kind) + packet)

    def receive(self, deadline):
        """The next TCP segment of anybody, or None at the deadline."""
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                segment = parse(self.sock.recv(1 << 17))
            except TimeoutError:
                return None
            if segment:
                return segment
        return None

    def source(self, family):
        """An address that no test has used yet."""
        number = next(self.hosts) % (1 << 16)
        return SOURCES[family].format(number >> 8, max(number & 0xff, 1))

    def client(self, address, port, **options):
        return RawTcp(self, address, port, **options)


class RawTcp:
    """One connection. Offsets count the client's bytes from the first one after the SYN."""

    def __init__(self, link, address, port, source=None, sport=None, mss=1460, wscale=7, sack=True,
                 timestamps=True, ecn=False, isn=None):
        self.link, self.port = link, port
        self.family = 6 if ":" in address else 4
        kind = socket.AF_INET6 if self.family == 6 else socket.AF_INET
        self.source_text = source or link.source(self.family)
        self.target_text = address
        self.source = socket.inet_pton(kind, self.source_text)
        self.target = socket.inet_pton(kind, address)
        self.sport = sport or random.randrange(1024, 65000)
        self.isn = random.getrandbits(32) if isn is None else isn
        self.mss, self.wscale, self.sack, self.timestamps, self.ecn = mss, wscale, sack, timestamps, ecn
        self.syn_ack = None
        self.next = 0           # the peer's sequence number that comes next
        self.ts_echo = 0        # TSval of the peer, to be echoed
        self.sent = 0           # offset behind what has been sent
        self.acked = 0          # offset that the peer has acknowledged
        self.held = bytearray()
        self.is_reset = self.is_ended = False
        self.seen = []          # every segment for this connection, in order

    # --- sending

    def tsval(self):
        return int(time.monotonic() * 1000) & 0xffffffff

    def syn_options(self):
        options = b""
        if self.mss:
            options += option(OPT_MSS, struct.pack("!H", self.mss))
        if self.sack:
            options += option(OPT_SACK)
        if self.timestamps:
            options += option(OPT_TIMESTAMPS, struct.pack("!II", self.tsval(), 0))
        if self.wscale is not None:
            options += b"\1" + option(OPT_WSCALE, bytes([self.wscale]))
        return options

    def ack_options(self):
        if not (self.timestamps and (self.syn_ack is None or self.syn_ack.timestamps)):
            return b""
        return b"\1\1" + option(OPT_TIMESTAMPS, struct.pack("!II", self.tsval(), self.ts_echo))

    def tcp(self, flags, seq, ack=0, data=b"", options=b"", window=64240, is_bad=False):
        """The TCP segment with its checksum (a wrong one with is_bad)."""
        options = padded(options)
        head = struct.pack("!HHIIBBHHH", self.sport, self.port, seq & 0xffffffff, ack & 0xffffffff,
                           (20 + len(options)) // 4 << 4, flags, window, 0, 0) + options
        pseudo = self.source + self.target + struct.pack("!II", len(head) + len(data), TCP)
        total = checksum(pseudo, head, data)
        if is_bad:
            total ^= 0x5a5a
        return head[:16] + struct.pack("!H", total) + head[18:] + data

    def packet(self, tcp, ip_options=b"", extensions=(), tos=0):
        if self.family == 4:
            return ipv4(self.source, self.target, tcp, ip_options, tos=tos)
        protocol, payload = extended(extensions, tcp)
        return ipv6(self.source, self.target, payload, protocol, tos)

    def transmit(self, tcp, vlan=None, **packet):
        self.link.send(self.packet(tcp, **packet), vlan)

    def send_syn(self, flags=F.SYN, data=b"", options=None, is_bad=False, **packet):
        if self.ecn:
            flags |= F.ECE | F.CWR
        options = self.syn_options() if options is None else options
        self.transmit(self.tcp(flags, self.isn, 0, data, options, is_bad=is_bad), **packet)

    def segment(self, offset=0, data=b"", flags=None, **tcp):
        """A segment of the stream, ready for transmit()."""
        if flags is None:
            flags = F.ACK | F.PSH if data else F.ACK
        tcp.setdefault("options", self.ack_options())
        return self.tcp(flags, self.isn + 1 + offset, tcp.pop("ack", self.next), data, **tcp)

    def send(self, offset=None, data=b"", flags=None):
        """Sends bytes at an offset of the stream (the next one by default)."""
        offset = self.sent if offset is None else offset
        self.transmit(self.segment(offset, data, flags))
        self.sent = max(self.sent, offset + len(data))

    def probe(self, offset, data, flags=None, is_bad=False, **packet):
        """Sends what should not be taken: the stream does not go on behind it."""
        self.transmit(self.segment(offset, data, flags, is_bad=is_bad), **packet)

    def send_pieces(self, data, size, pause_s=0.0):
        """All of the data from the present offset on, in segments of `size`."""
        begin = self.sent
        for at in range(0, len(data), size):
            self.send(begin + at, data[at:at + size])
            if pause_s:
                time.sleep(pause_s)

    def send_fragments(self, tcp, size):
        """A segment in IP fragments with `size` bytes each (a multiple of 8)."""
        ident = random.getrandbits(16)
        for at in range(0, len(tcp), size):
            piece, more = tcp[at:at + size], at + size < len(tcp)
            if self.family == 4:
                packet = ipv4(self.source, self.target, piece, ident=ident,
                              fragment=(0x2000 if more else 0) | at // 8)
            else:
                head = struct.pack("!BBHI", TCP, 0, at | more, ident)
                packet = ipv6(self.source, self.target, head + piece, FRAGMENT)
            self.link.send(packet)

    def send_ack(self):
        self.transmit(self.segment(self.sent))

    def abort(self):
        """Leaves no connection behind."""
        self.transmit(self.tcp(F.RST, self.isn + 1 + max(self.sent, self.acked), 0))

    # --- receiving

    def is_mine(self, segment):
        return (segment.source, segment.sport, segment.target, segment.dport) == \
            (self.target, self.port, self.source, self.sport)

    def receive(self, timeout=2.0):
        """The next segment for this connection, or None; notes what it says, acknowledges data."""
        return self._next(time.monotonic() + patience(timeout))

    def _next(self, deadline):
        while segment := self.link.receive(deadline):
            if self.is_mine(segment):
                self.seen.append(segment)
                self.take(segment)
                return segment
        return None

    def take(self, segment):
        if segment.flags & F.RST:
            self.is_reset = True
            return
        if segment.timestamps:
            self.ts_echo = segment.timestamps[0]
        if segment.flags & F.ACK:
            acked = (segment.ack - self.isn - 1) & 0xffffffff
            if acked <= self.sent + 1:
                self.acked = max(self.acked, acked)
        if segment.flags & F.SYN or not self.syn_ack:
            return
        skip = (self.next - segment.seq) & 0xffffffff
        is_next = skip <= len(segment.data)  # in order, perhaps with bytes seen before
        if is_next and skip < len(segment.data):
            self.held += segment.data[skip:]
            self.next = (segment.seq + len(segment.data)) & 0xffffffff
        if is_next and segment.flags & F.FIN and not self.is_ended:
            self.is_ended = True
            self.next = (self.next + 1) & 0xffffffff
        if segment.data or segment.flags & F.FIN:
            self.send_ack()

    def expect(self, what, condition, timeout=2.0):
        """The first segment for which condition(segment) holds; an AssertionError at the deadline."""
        deadline, begin = time.monotonic() + patience(timeout), len(self.seen)
        while segment := self._next(deadline):
            if condition(segment):
                return segment
        raise AssertionError(f"no {what} within {timeout:g} s; received: {self.seen[begin:]}")

    def expect_reset(self, timeout=2.0):
        return self.expect("RST", lambda s: s.flags & F.RST, timeout)

    def expect_ack(self, offset, timeout=2.0):
        """Waits until the client's bytes up to `offset` are acknowledged."""
        if self.acked < offset:
            self.expect(f"ACK of {offset} bytes", lambda s: self.acked >= offset, timeout)

    def expect_silence(self, seconds=0.3):
        segment = self.receive(seconds)
        assert segment is None, f"an answer where none is due: {segment}"

    def connect(self, timeout=2.0, is_acked=False, **syn):
        """SYN and SYN-ACK; the third segment is the caller's (or a bare ACK with is_acked)."""
        self.send_syn(**syn)
        self.take_syn_ack(self.expect("SYN-ACK", lambda s: s.flags & F.SYN, timeout))
        if is_acked:
            self.send_ack()
        return self.syn_ack

    def take_syn_ack(self, segment):
        assert segment.flags & SYN_ACK == SYN_ACK and segment.ack == (self.isn + 1) & 0xffffffff, segment
        self.syn_ack = segment
        self.next = (segment.seq + 1) & 0xffffffff
        if segment.timestamps:
            self.ts_echo = segment.timestamps[0]

    def read(self, timeout=5.0):
        """Bytes of the stream, b"" at its end; ConnectionResetError after an RST."""
        deadline = time.monotonic() + patience(timeout)
        while not self.held and not self.is_ended and not self.is_reset:
            if self._next(deadline) is None:
                raise TimeoutError(f"nothing to read within {timeout:g} s; received: {self.seen}")
        if self.held:
            data, self.held = bytes(self.held), bytearray()
            return data
        if self.is_reset:
            raise ConnectionResetError
        return b""


class Hello:
    """A TLS client whose flights are bytes in the test's hands."""

    def __init__(self, name="www.sluice.test", context=None, session=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = context or hello_context()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname=name,
                                         session=session)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.bytes = self.outgoing.read()

    def step(self, action, raw, timeout):
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                data = raw.read(timeout)
                self.incoming.write(data) if data else self.incoming.write_eof()
            finally:
                if out := self.outgoing.read():
                    raw.send_pieces(out, 1400)

    def finish(self, raw, timeout=5.0):
        """The rest of the handshake, once the first flight is out."""
        self.step(self.tls.do_handshake, raw, timeout)
        return self

    def get(self, raw, path="/", timeout=5.0):
        """The status of a request over the connection."""
        request = f"GET {path} HTTP/1.1\r\nHost: www.sluice.test\r\nConnection: close\r\n\r\n".encode()
        self.step(lambda: self.tls.write(request), raw, timeout)
        answer = b""
        while b"\r\n" not in answer:
            data = self.step(lambda: self.tls.read(1 << 14), raw, timeout)
            assert data, f"no answer but {answer!r}"
            answer += data
        return int(answer.split(b" ", 2)[1])


def hello_context(group="X25519", alpn=None, version=None, ca=None):
    """A client context; group None: OpenSSL's defaults, X25519MLKEM768 with a hello of two
    segments among them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    if group:
        context.set_ecdh_curve(group)
    if alpn:
        context.set_alpn_protocols(alpn)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def alert(data):
    """(level, description) of a TLS alert record."""
    assert len(data) >= 7 and data[0] == 21, data
    return data[5], data[6]
