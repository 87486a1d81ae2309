"""A gRPC server of the tests, and its client: messages are bytes, methods are scripted.

    grpc_target.py --name NAME --address HOST:PORT [--cert PEM --key KEY]

Service "test.Service": Unary (comes back), Upload (stream of messages: their number and bytes), Download
("N LENGTH": N messages), Chat (each comes back), Fail ("CODE MESSAGE"), Stop (one message, then
UNAVAILABLE), Wait (an answer after so many
seconds; unless it is cancelled), Calls (what was seen so far). And the health service, "ok.Service" SERVING,
"bad.Service" NOT_SERVING."""
import argparse
import json
import threading
import time
from concurrent import futures

import grpc

NAME = "test.Service"
NOTHING = (lambda data: data, lambda data: data)


class Service:
    def __init__(self, name):
        self.name, self.calls, self.cancelled, self.lock = name, 0, 0, threading.Lock()

    def seen(self, context):
        with self.lock:
            self.calls += 1
        context.send_initial_metadata((("x-target", self.name),))
        context.set_trailing_metadata((("x-trailer", "behind"),))

    def unary(self, request, context):
        self.seen(context)
        return request

    def upload(self, requests, context):
        self.seen(context)
        lengths = [len(request) for request in requests]
        return f"{len(lengths)} {sum(lengths)}".encode()

    def download(self, request, context):
        self.seen(context)
        n, length = map(int, request.split())
        for _ in range(n):
            yield b"x" * length

    def chat(self, requests, context):
        self.seen(context)
        yield from requests

    def fail(self, request, context):
        self.seen(context)
        code, message = request.decode().split(" ", 1)
        context.abort(getattr(grpc.StatusCode, code), message)

    def stop(self, request, context):
        self.seen(context)
        yield b"one"
        context.abort(grpc.StatusCode.UNAVAILABLE, "stopped")

    def wait(self, request, context):
        gone = threading.Event()
        context.add_callback(gone.set)
        with self.lock:
            self.calls += 1
        if gone.wait(float(request)):
            with self.lock:
                self.cancelled += 1
        return b"waited"

    def report(self, request, context):
        return json.dumps({"calls": self.calls, "cancelled": self.cancelled}).encode()

    def check(self, request, context):
        """HealthCheckRequest {1: service}; HealthCheckResponse {1: status}."""
        service = request[2:].decode()
        if service not in ("", "ok.Service", "bad.Service"):
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return b"\x08\x02" if service == "bad.Service" else b"\x08\x01"

    def handlers(self):
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        yield grpc.method_handlers_generic_handler(NAME, {
            "Unary": one(self.unary, *NOTHING), "Download": many(self.download, *NOTHING),
            "Stop": many(self.stop, *NOTHING),
            "Upload": grpc.stream_unary_rpc_method_handler(self.upload, *NOTHING),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat, *NOTHING),
            "Fail": one(self.fail, *NOTHING), "Wait": one(self.wait, *NOTHING), "Calls": one(self.report, *NOTHING)})
        yield grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": one(self.check, *NOTHING)})


class Client:
    """`channel` leads to a Service."""

    def __init__(self, channel):
        self.channel = channel
        for kind, names in [("unary_unary", ("Unary", "Fail", "Wait", "Calls", "Missing")), ("unary_stream", ("Download", "Stop")),
                            ("stream_unary", ("Upload",)), ("stream_stream", ("Chat",))]:
            for name in names:
                setattr(self, name.lower(), getattr(channel, kind)(f"/{NAME}/{name}", *NOTHING))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    options = parser.parse_args()
    service = Service(options.name)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    for handler in service.handlers():
        server.add_generic_rpc_handlers((handler,))
    if options.cert:
        pair = [open(path, "rb").read() for path in (options.key, options.cert)]
        server.add_secure_port(options.address, grpc.ssl_server_credentials([tuple(pair)]))
    else:
        server.add_insecure_port(options.address)
    server.start()
    print("ready", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
