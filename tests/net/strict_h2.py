"""What a server makes of a row of strict_h2_rows, seen from the client: the request's frames are sent as they
are, with another request behind them on the connection, and what comes on both streams is looked at."""
import struct

import hpack

import http2
from http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame
from strict_h2_rows import get
from wire import Connection, Response

FRAME_BYTES = 16384


def number(value):
    """RFC 7541 section 5.1, with a prefix of 7 bits."""
    if value < 127:
        return bytes([value])
    out, value = [127], value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def block(fields):
    """Literals that leave no trace: nothing on this side has an opinion about them."""
    return b"".join(b"\0" + number(len(name)) + name + number(len(value)) + value for name, value in fields)


def head(stream, fields, ends):
    text = block(fields)
    pieces = [text[at:at + FRAME_BYTES] for at in range(0, len(text), FRAME_BYTES)]
    out = b""
    for n, piece in enumerate(pieces):
        flags = END_HEADERS * (n == len(pieces) - 1) | END_STREAM * (ends and n == 0)
        out += frame(CONTINUATION if n else HEADERS, flags, stream, piece)
    return out


def frames_of(row):
    out = head(1, row.fields, row.data is None)
    if row.data is not None:
        out += frame(DATA, 0 if row.trailers else END_STREAM, 1, row.data)
    return out + (head(1, row.trailers, True) if row.trailers else b"")


class Stream:
    def __init__(self):
        self.status, self.fields, self.body, self.is_over, self.is_reset = None, [], b"", False, False

    def response(self):
        return Response(self.status, self.fields, self.body)


class Client(http2.Frames):
    """Takes note of what comes on the two streams."""

    def __init__(self, wire):
        super().__init__(wire)
        self.decoder, self.streams, self.block = hpack.Decoder(), {1: Stream(), 3: Stream()}, b""

    def take(self):
        """False: the connection is at its end."""
        came = self.next()
        if not came:
            return False
        kind, flags, number_, payload = came
        stream = self.streams.get(number_, Stream())
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            if flags & END_HEADERS:
                fields = self.decoder.decode(self.block, raw=True)
                fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
                self.block = b""
                if fields[0][0] == ":status" and int(fields[0][1]) >= 200:
                    stream.status, stream.fields = int(fields[0][1]), fields[1:]
        elif kind == DATA:
            stream.body += payload
        elif kind == RST_STREAM:
            stream.is_reset |= not stream.is_over
        elif kind == GOAWAY:
            return struct.unpack("!I", payload[4:8])[0] == 0
        stream.is_over |= kind == RST_STREAM or bool(kind in (HEADERS, DATA) and flags & END_STREAM)
        return True


def verdict_h2(address, row, is_from_target, timeout=5):
    """(verdict, the response or None)."""
    with Connection(address, timeout=timeout) as wire:
        client = Client(wire)
        try:
            wire.send(frames_of(row) + head(3, get(path=b"/after"), True))
        except ConnectionError:
            pass
        first, second = client.streams[1], client.streams[3]
        try:
            while not (first.is_over and second.is_over):
                if not client.take():
                    return ("goaway" if client.goaway else "cut"), None
        except TimeoutError:
            return "waits", None
        if first.status is None or first.is_reset:
            got = "reset"
        elif not is_from_target(first.response()):
            got = str(first.status)
        else:
            got = "forward"
        if second.status != 200:
            got += f", then {second.status or 'reset'}"
        return got, first.response()
