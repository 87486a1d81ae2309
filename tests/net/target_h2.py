"""HTTP/2 for the targets of the tests: each request is served by what serves HTTP/1.1, whose bytes are
turned into frames and back. What ends there in the middle of an answer resets the stream here.

Actions of the connection itself, by path: /h2/goaway (GOAWAY that leaves the request out, the first time on
each connection), /h2/refuse/N (REFUSED_STREAM, N times), /h2/close (the connection ends), /h2/reset (RST)."""
import asyncio

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

READ_BYTES = 1 << 16
HOP = ("connection", "keep-alive", "transfer-encoding", "upgrade")


class Answer:
    """Reads as a StreamWriter what a handler of HTTP/1.1 writes, and sends it on its stream."""

    def __init__(self, session, stream, is_head):
        self.session, self.stream, self.is_head = session, stream, is_head
        self.transport = self
        self.bytes, self.queue, self.kind, self.left = b"", b"", None, 0
        self.trailers, self.is_over, self.is_closed, self.window = [], False, False, asyncio.Event()

    def get_extra_info(self, name):
        return self.session.writer.get_extra_info(name)

    def get_write_buffer_size(self):
        return len(self.queue)

    def abort(self):
        self.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)

    def reset(self, code):
        if not self.is_over:
            self.is_over = True
            self.session.try_to(self.session.h2.reset_stream, self.stream, code)

    def write(self, data):
        self.bytes += data
        while self.bytes and not self.is_over and (self.head() if self.kind is None else self.body()):
            pass

    def head(self):
        head, end, rest = self.bytes.partition(b"\r\n\r\n")
        if not end:
            return False
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if not words[0].startswith("HTTP/") or len(words) < 2:
            self.abort()
            return False
        self.bytes, status = rest, int(words[1])
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        fields = [(name.lower(), value) for name, value in fields]
        if status == 101:
            status, fields = 200, [f for f in fields if f[0] != "sec-websocket-accept"]
        named = [name.strip().lower() for key, value in fields if key == "connection" for name in value.split(",")]
        got = dict(fields)
        fields = [(":status", str(status))] + [f for f in fields if f[0] not in HOP and f[0] not in named]
        if status >= 200:
            self.kind, self.left = self.kind_of(status, got)
        ends = self.kind in ("none", "length") and not self.left
        self.is_over = ends and status >= 200
        self.session.try_to(self.session.h2.send_headers, self.stream, fields, self.is_over)
        return True

    def kind_of(self, status, fields):
        if self.is_head or status in (204, 304):
            return "none", 0
        if "chunked" in fields.get("transfer-encoding", ""):
            return "chunked", 0
        return ("length", int(fields["content-length"])) if "content-length" in fields else ("close", 0)

    def body(self):
        if self.kind != "chunked":
            self.queue, self.bytes = self.queue + self.bytes, b""
            return False
        line, end, rest = self.bytes.partition(b"\r\n")
        if not end:
            return False
        size = int(line, 16)
        if size == 0:
            if b"\r\n\r\n" not in self.bytes:
                return False
            lines = rest.decode("latin-1").split("\r\n")
            self.trailers = [tuple(p.strip() for p in item.lower().split(":", 1)) for item in lines if item]
            self.bytes, self.kind = b"", "whole"
            return False
        if len(rest) < size + 2:
            return False
        self.queue, self.bytes = self.queue + rest[:size], rest[size + 2:]
        return True

    async def drain(self):
        """As the windows of the other side allow."""
        while not self.is_over and not self.session.is_gone:
            if not self.queue:
                self.end_if_whole()
                return
            room = self.session.window(self.stream)
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            piece, self.queue = self.queue[:room], self.queue[room:]
            ends = self.kind == "length" and len(piece) >= self.left
            self.left -= len(piece)
            self.is_over = ends
            self.session.try_to(self.session.h2.send_data, self.stream, piece, ends)
            await self.session.writer.drain()
        if self.session.is_gone:
            raise ConnectionResetError

    def end_if_whole(self):
        if self.kind != "whole" or self.is_over:
            return
        self.is_over = True
        if self.trailers:
            self.session.try_to(self.session.h2.send_headers, self.stream, self.trailers, True)
        else:
            self.session.try_to(self.session.h2.end_stream, self.stream)

    def close(self):
        if self.kind == "close" and not self.queue and not self.is_over:
            self.is_over = True
            self.session.try_to(self.session.h2.end_stream, self.stream)
        self.reset(h2.errors.ErrorCodes.INTERNAL_ERROR)


class Session:
    """`serve(reader, writer)` deals with one request of HTTP/1.1, of version "HTTP/2"."""

    def __init__(self, target, reader, writer, serve, takes_connect=False):
        self.target, self.reader, self.writer, self.serve = target, reader, writer, serve
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="latin-1", validate_outbound_headers=False))
        if takes_connect:  # RFC 8441
            self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
                h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        self.streams, self.tasks, self.is_gone, self.is_counted = {}, set(), False, False

    def try_to(self, call, *arguments):
        try:
            call(*arguments)
        except (h2.exceptions.ProtocolError, KeyError):
            return  # the other side was faster
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.writer.write(data)

    def window(self, stream):
        try:
            return min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
        except h2.exceptions.ProtocolError:
            self.streams[stream][1].is_over = True
            return 1

    async def run(self):
        self.h2.initiate_connection()
        self.flush()
        try:
            while data := await self.reader.read(READ_BYTES):
                for event in self.h2.receive_data(data):
                    self.take(event)
                self.flush()
                await self.writer.drain()
        except h2.exceptions.ProtocolError:
            self.flush()
        finally:
            self.is_gone = True
            for reader, answer in self.streams.values():
                answer.window.set()
                self.cut(reader)
            if self.tasks:
                await asyncio.wait(self.tasks)

    def cut(self, reader):
        if not reader.at_eof():
            reader.set_exception(ConnectionResetError())

    def take(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.RequestReceived):
            self.begin(event)
        elif isinstance(event, h2.events.WindowUpdated):
            for _, answer in self.streams.values():
                answer.window.set()
        elif stream not in self.streams:
            if isinstance(event, h2.events.DataReceived):  # the connection's window is the others', too
                self.try_to(self.h2.acknowledge_received_data, event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.DataReceived):
            self.data(event)
        elif isinstance(event, h2.events.TrailersReceived):
            self.streams[stream][0].trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            reader = self.streams[stream][0]
            if reader.is_chunked:
                lines = "".join(f"{name}: {value}\r\n" for name, value in reader.trailers)
                reader.feed_data(f"0\r\n{lines}\r\n".encode("latin-1"))
            elif reader.is_tunnel:
                reader.feed_eof()
        elif isinstance(event, h2.events.StreamReset):
            self.target.stats["resets"] += 1
            reader, answer = self.streams[stream]
            answer.is_over = True
            answer.window.set()
            self.cut(reader)

    def data(self, event):
        """The window is opened as the handler reads."""
        reader = self.streams[event.stream_id][0]
        reader.feed_data(b"%x\r\n%b\r\n" % (len(event.data), event.data) if reader.is_chunked else event.data)
        task = asyncio.ensure_future(self.opened(event, reader))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def opened(self, event, reader):
        while len(reader._buffer) > READ_BYTES and not self.is_gone and not reader.exception():
            await asyncio.sleep(0.002)
        self.try_to(self.h2.acknowledge_received_data, event.flow_controlled_length, event.stream_id)

    def begin(self, event):
        fields = dict(event.headers)
        words = fields[":path"].split("/")
        if not self.is_counted and words[1] != "healthz":
            self.is_counted = True
            self.target.stats["sessions"] += 1
        if words[1] == "h2" and self.act(event.stream_id, words[2:]):
            return
        reader = asyncio.StreamReader(limit=1 << 24)
        reader.is_tunnel = ":protocol" in fields
        reader.is_chunked = "content-length" not in fields and not event.stream_ended and not reader.is_tunnel
        reader.trailers = []
        method = "GET" if reader.is_tunnel else fields[":method"]
        lines = [f"{method} {fields[':path']} HTTP/2", f"Host: {fields[':authority']}"]
        if reader.is_tunnel:
            lines.append(f"Upgrade: {fields[':protocol']}")
        lines += [f"{name}: {value}" for name, value in event.headers if name[0] != ":"]
        if reader.is_chunked:
            lines.append("Transfer-Encoding: chunked")
        reader.feed_data(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        answer = Answer(self, event.stream_id, fields[":method"] == "HEAD")
        self.streams[event.stream_id] = reader, answer
        task = asyncio.ensure_future(self.answer(reader, answer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, reader, answer):
        try:
            await self.serve(reader, answer)
        except Exception:  # of the handler: the stream is over, the connection is not
            self.target.stats["aborted"] += 1
        answer.close()
        del self.streams[answer.stream]
        self.flush()

    def act(self, stream, words):
        """True: the request is dealt with."""
        count = self.target.stats["paths"].get("h2", 0)
        self.target.stats["paths"]["h2"] = count + 1
        if words[0] == "goaway" and stream > 1:
            self.h2.close_connection(last_stream_id=stream - 2)
        elif words[0] == "refuse" and count < int(words[1]):
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif words[0] == "close":
            self.writer.transport.abort()
        elif words[0] == "reset":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        else:
            return False
        return True
