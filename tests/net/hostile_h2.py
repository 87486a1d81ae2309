"""A target that speaks HTTP/2 and sends the frames a test gives it: over sockets, one thread for each connection."""
import socket
import threading

import hpack

import netns
from http2 import ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, \
    WINDOW_UPDATE, frame

OK = [(":status", "200")]


def number(value):
    return value.to_bytes(4, "big")


def setting(key, value):
    return key.to_bytes(2, "big") + number(value)


class Session:
    """A connection as an act sees it: what is asked on `stream` is for it to answer."""

    def __init__(self, target, sock):
        self.target, self.sock, self.held = target, sock, b""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.resets, self.goaway, self.streams, self.bodies = {}, None, [], {}

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def head(self, stream, fields=OK, flags=END_HEADERS, ends=False):
        return frame(HEADERS, flags | (END_STREAM if ends else 0), stream, self.encoder.encode(fields, huffman=False))

    def raw_head(self, stream, fields, ends=True):
        """Fields that no encoder would make: literals without an index."""
        block = b"".join(bytes([0, len(name)]) + name + bytes([len(value)]) + value for name, value in fields)
        return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)

    def ok(self, stream, body=b"ok"):
        self.send(self.head(stream), frame(DATA, END_STREAM, stream, body))

    def take(self, length):
        while len(self.held) < length:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError
            self.held += data
        data, self.held = self.held[:length], self.held[length:]
        return data

    def next(self):
        head = self.take(9)
        return head[3], head[4], int.from_bytes(head[5:]), self.take(int.from_bytes(head[:3]))

    def run(self):
        assert self.take(len(PREFACE)) == PREFACE
        if self.target.settings is not None:
            self.send(frame(SETTINGS, 0, 0, self.target.settings))
        while True:
            self.deal(*self.next())

    def deal(self, kind, flags, stream, payload):
        if kind == HEADERS:
            path = dict(self.decoder.decode(payload))[":path"]
            self.streams.append(stream)
            self.target.asked.append(path)
            self.target.acts.get(path, Session.ok)(self, stream)
        elif kind == SETTINGS and not flags & ACK and self.target.settings is not None:
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK and not self.target.is_deaf:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, 0) + len(payload)
            if payload and self.target.opens_windows:
                self.send(frame(WINDOW_UPDATE, 0, 0, number(len(payload))),
                          *[frame(WINDOW_UPDATE, 0, stream, number(len(payload)))] * (not flags & END_STREAM))
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload)
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8])
        assert kind != CONTINUATION


class Target:
    """`acts`: what is done with requests, by path: act(session, stream) in the connection's thread."""

    def __init__(self, net, acts=None, port=8099):
        self.acts, self.settings = acts or {}, b""
        self.asked, self.sessions = [], []
        self.is_deaf = False
        self.opens_windows = True
        self.address = (net.targets[0].v4, port)
        with netns.entered(net.targets_ns):
            self.sock = socket.create_server(self.address, backlog=256)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        for session in self.sessions:
            session.sock.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, sock)
            self.sessions.append(session)
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    @staticmethod
    def _serve(session):
        try:
            session.run()
        except (EOFError, OSError):
            session.sock.close()
