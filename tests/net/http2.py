"""An HTTP/2 client whose frames a test sends itself, or leaves to python3-h2: over a connection of
wire.py, one thread, blocking."""
import struct
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.connection import ConnectionInputs, ConnectionState

from wire import Connection, Response, TlsConnection, client_context

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


class Answer(Response):
    """What has come on one stream so far."""

    def __init__(self):
        super().__init__(None, [])
        self.pieces, self.length, self.is_whole, self.error, self.held = [], 0, False, None, 0
        self.version = "HTTP/2"

    @property
    def is_over(self):
        return self.is_whole or self.error is not None

    def join(self):
        self.body = b"".join(self.pieces)
        self.is_cut = not self.is_whole
        return self


class Http2:
    """`wire` is connected. With `settings` those of the client, by number."""

    def __init__(self, wire, settings=None, starts=True):
        self.wire = wire
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1",
                                           validate_outbound_headers=False, normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config=config)
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0, **settings})
        # For the library GOAWAY is the end, whatever else came with it; streams under way go on.
        self.h2.state_machine._transitions = self.h2.state_machine._transitions | {
            (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (None, ConnectionState.CLIENT_OPEN)}
        self.answers, self.goaway, self.pongs = {}, None, 0
        if starts:
            self.h2.initiate_connection()
            self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.wire.send(data)

    def raw(self, data):
        self.wire.send(data)

    def close(self):
        self.wire.close()

    def reset(self):
        self.wire.reset()

    # --- requests

    def open(self, path="/", method="GET", headers=(), host="www.sluice.test", ends=True, scheme="http"):
        """Sends a head; returns the stream's number."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
        self.fields(stream, fields + [(name.lower(), value) for name, value in headers], ends)
        return stream

    def fields(self, stream, fields, ends=True, flushes=True):
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, fields, end_stream=ends)
        if flushes:
            self.flush()

    def body(self, stream, data, ends=True):
        """As the windows of the other side allow."""
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room > 0:
                self.h2.send_data(stream, data[:room], end_stream=ends and len(data) <= room)
                data = data[room:]
                self.flush()
            elif not self.more() or self.answers[stream].is_over:
                return False
        return True

    def trailers(self, stream, fields):
        self.h2.send_headers(stream, fields, end_stream=True)
        self.flush()

    def answer(self, stream, holds=False):
        """Waits for the whole of it, or for a reset. `holds`: windows are not opened again."""
        answer = self.answers[stream]
        while not answer.is_over:
            if not self.more(holds):
                break
        return answer.join()

    def request(self, path="/", method="GET", headers=(), body=b"", host="www.sluice.test", trailers=()):
        fields = list(headers)
        if body and not trailers:
            fields.append(("content-length", str(len(body))))
        stream = self.open(path, method, fields, host, ends=not body and not trailers)
        if body:
            self.body(stream, body, ends=not trailers)
        if trailers:
            self.trailers(stream, trailers)
        return self.answer(stream)

    # --- what comes

    def more(self, holds=False):
        data = self.wire.recv()
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.take(event, holds)
        self.flush()
        return True

    def take(self, event, holds):
        answer = self.answers.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
            if event.error_code:
                self.h2.state_machine.state = ConnectionState.CLOSED
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        if answer is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(Response(int(dict(event.headers)[":status"]), event.headers[1:]))
        elif isinstance(event, h2.events.ResponseReceived):
            answer.status, answer.headers = int(dict(event.headers)[":status"]), event.headers[1:]
        elif isinstance(event, h2.events.DataReceived):
            answer.pieces.append(event.data)
            answer.length += len(event.data)
            answer.held += event.flow_controlled_length
            if not holds and answer.held:
                self.h2.acknowledge_received_data(answer.held, event.stream_id)
                answer.held = 0
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = [f"{name}: {value}" for name, value in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            answer.is_whole = True
        elif isinstance(event, h2.events.StreamReset):
            answer.error = int(event.error_code)

    def until_goaway(self):
        """Its error code. The connection ends behind it, or the test at the time-out."""
        try:
            while self.goaway is None:
                if not self.more():
                    break
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        return None if self.goaway is None else int(self.goaway.error_code)

    def ping(self):
        """Waits until the other side has dealt with what was sent before."""
        pongs = self.pongs
        self.h2.ping(b"12345678")
        self.flush()
        while self.pongs == pongs:
            if not self.more():
                return False
        return True


class Frames:
    """A client that sends frames as they are, and reads what comes frame by frame. `wire` is connected."""

    def __init__(self, wire, settings=b""):
        self.wire, self.goaway, self.resets, self.ended, self.statuses = wire, None, {}, set(), {}
        wire.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def next(self):
        """(kind, flags, stream, payload) of the next frame; None at the end."""
        try:
            head = self.wire.take(9)
            payload = self.wire.take(int.from_bytes(head[:3]))
        except (EOFError, ConnectionError):
            return None
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
        if kind == GOAWAY:
            self.goaway = struct.unpack("!II", payload[:8])
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload)
        elif kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(stream)
        return kind, flags, stream, payload

    def ping(self):
        """False: the other side has ended the connection, or is about to."""
        try:
            self.wire.send(frame(PING, 0, 0, b"pingpong"))
        except ConnectionError:
            return self.read_on()
        while came := self.next():
            if came[0] == PING and came[3] == b"pingpong":
                return True
            if came[0] == GOAWAY and self.goaway[1]:
                return False
        return False

    def read_on(self):
        """Everything there is, up to the end. False."""
        while self.next():
            pass
        return False


@contextmanager
def frames(address, settings=b"", **options):
    with Connection(address, **options) as wire:
        yield Frames(wire, settings)


@contextmanager
def connect(address, name=None, settings=None, starts=True, **options):
    """HTTP/2 with prior knowledge; with `name` over TLS, by ALPN."""
    if name:
        wire = TlsConnection(address, name, context=client_context(alpn=["h2", "http/1.1"]), **options)
        assert wire.tls.selected_alpn_protocol() == "h2"
    else:
        wire = Connection(address, **options)
    with wire:
        yield Http2(wire, settings, starts)
