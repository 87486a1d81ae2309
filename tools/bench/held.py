"""Clients whose requests are under way: TLS connections with one request of HTTP/1.1 each, or several of
HTTP/2 side by side, to a path that the target does not answer."""

import socket
import ssl

import h2.connection

HOST = "www.example.test"
ESTABLISHED = "01"


def established(port):
    """Connections that the kernel has made to a port of this host, and nobody has ended."""
    wanted = f"0100007F:{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return sum(row[1] == wanted and row[3] == ESTABLISHED for row in rows)


class Held:
    """Open for the length of a `with`."""

    def __init__(self, conns, port, path, streams, is_h2):
        self.requests = conns * streams
        self.port = port
        self.socks = []
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.set_alpn_protocols(["h2"] if is_h2 else ["http/1.1"])
        for _ in range(conns):
            sock = self.connect()
            sock.sendall(h2_requests(path, streams) if is_h2 else
                         f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), 5)
        self.socks.append(plain)
        self.socks[-1] = self.context.wrap_socket(plain, server_hostname=HOST)
        return self.socks[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.socks:
            sock.close()


def h2_requests(path, streams):
    conn = h2.connection.H2Connection()
    conn.initiate_connection()
    for stream in range(streams):
        conn.send_headers(2 * stream + 1, [(":method", "GET"), (":scheme", "https"), (":authority", HOST),
                                           (":path", path)], end_stream=True)
    return conn.data_to_send()
