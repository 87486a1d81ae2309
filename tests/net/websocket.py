"""WebSockets of clients that notice every byte: over a stream of HTTP/2 (RFC 8441), or a connection of
HTTP/1.1."""
import h2.settings

CONNECT = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
WWW = "www.sluice.test"
HTTP1 = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def fields(path="/upgrade", protocol="websocket", headers=()):
    return [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path),
            (":authority", WWW), ("sec-websocket-version", "13"), *headers]


class WebSocket:
    """One stream, when its answer is here. `socket.data` is what came so far."""

    def __init__(self, client, path="/upgrade", headers=()):
        while CONNECT not in client.h2.remote_settings:  # a client waits for it
            assert client.more()
        self.client, self.stream = client, client.h2.get_next_available_stream_id()
        client.fields(self.stream, fields(path, headers=headers), ends=False)
        self.answer = client.answers[self.stream]
        while self.answer.status is None and not self.answer.is_over:
            assert client.more()

    @property
    def data(self):
        return b"".join(self.answer.pieces)

    def send(self, data):
        """As the windows allow, also when the other direction has ended."""
        h2 = self.client.h2
        while data:
            room = min(h2.local_flow_control_window(self.stream), h2.max_outbound_frame_size)
            if room > 0:
                h2.send_data(self.stream, data[:room])
                data = data[room:]
                self.client.flush()
            else:
                assert self.answer.error is None and self.client.more()

    def exchange(self, data):
        """What comes back for it; for sockets where all that came before is known."""
        self.answer.pieces.clear()
        self.send(data)
        return self.wait(len(data))

    def end(self):
        self.client.h2.end_stream(self.stream)
        self.client.flush()

    def wait(self, length):
        while len(self.data) < length and not self.answer.is_over:
            assert self.client.more()
        return self.data


class WebSocket1:
    """The same by HTTP/1.1: the whole connection from then on."""

    def __init__(self, wire):
        self.wire = wire
        wire.send(HTTP1)
        self.answer = wire.response()

    def exchange(self, data):
        self.wire.send(data)
        return self.wire.take(len(data))
