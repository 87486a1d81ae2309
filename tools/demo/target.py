"""A target of the demo: a small HTTP server that says its name.

    target.py NAME ADDRESS PORT
"""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    name = "?"

    def do_GET(self):
        lines = ["healthy"] if self.path == "/healthz" else [
            f"hello from target {self.name}", f"  path    {self.path}", f"  host    {self.headers.get('Host')}",
            f"  client  {self.headers.get('X-Forwarded-For') or self.client_address[0] + ' (no header: bytes)'}"]
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: the terminal is for sluiced's log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Handler.name = sys.argv[1]
    Server((sys.argv[2], int(sys.argv[3])), Handler).serve_forever()
