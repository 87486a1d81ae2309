"""Ten thousand idle TLS connections: memory for each, and service goes on beside them."""
import contextlib
import os
import resource
import socket
import ssl

import pytest

from counts import count
from net import CLIENTS
from sluiced import IS_SANITIZED, stopwatch
from standard import NO_CHECK, group, listener
from wire import TlsConnection, until

pytestmark = pytest.mark.alone

# User memory per idle TLS connection that is too much whatever the build; the goal is measured by
# `make bench`.
KIB_PER_CONNECTION_MAX = 64


class Crowd:
    """TLS connections without the memory of a TLS object each: after the handshake only the
    descriptor is kept. The session of the first is resumed, as most clients of a crowd would."""

    def __init__(self, address, number):
        self.address = address
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.set_ecdh_curve("prime256v1")  # the cheapest: what stays behind is looked at
        self.session = None
        self.descriptors = []
        for index in range(number):
            self.open(CLIENTS[index % len(CLIENTS)])

    def open(self, source):
        sock = socket.socket()
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        sock.bind((source, 0))
        sock.connect(self.address)
        tls = self.context.wrap_socket(sock, session=self.session)
        if self.session is None:
            tls.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            tls.recv(1)
            self.session = tls.session
        self.descriptors.append(tls.detach())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # With unread bytes (the session tickets) the kernel closes by a RST, which nobody repeats when
        # the link's queue of 256 packets drops it out of a burst of thousands. A FIN it does repeat.
        for descriptor in self.descriptors:
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while os.read(descriptor, 65536):
                    pass
            os.close(descriptor)


def test_idle_connections(net, launch):
    # Sanitizers make everything slower, and that many connections are not what they look for.
    number = count("idle_connections") // (5 if IS_SANITIZED else 1)
    have = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if have < number + 500:
        pytest.skip(f"the limit of open files is {have}: too low for {number} connections")
    one = launch({"certificates": net.certificates("default"),
                  "target_groups": [group("web", "http", net.target_list(8080), NO_CHECK)],
                  "listeners": [listener("web", "https", 443, "web", certificates=["default"],
                                         timeouts={"keep_alive": "30m", "header": "30m"})]})
    with TlsConnection((net.v4, 443)) as client:
        assert client.request().status == 200
    before = one.status_kib("RssAnon")
    watch = stopwatch()
    with Crowd((net.v4, 443), number):
        seconds = watch()
        until(lambda: one.api("/v1/status")["connections_open"] >= number, "all are open", 20)
        kib = (one.status_kib("RssAnon") - before) / number
        print(f"{number} TLS connections in {seconds:.1f} s, {kib:.1f} KiB of memory each")
        with TlsConnection((net.v4, 443)) as client:
            for _ in range(10):
                watch = stopwatch()
                assert client.request().status == 200
                assert watch() < 1
        # None of the crowd was dropped.
        assert one.api("/v1/status")["connections_open"] >= number
        assert kib < KIB_PER_CONNECTION_MAX or IS_SANITIZED
    until(lambda: one.api("/v1/status")["connections_open"] == 0, "all are closed", 30)
