"""A DNS server for the load balancer: names with addresses that tests change, answers that fail or
do not come. UDP, A and AAAA."""
import ipaddress
import socket
import struct
import threading

import netns

A, AAAA = 1, 28
OK, SERVFAIL, NXDOMAIN = 0, 2, 3
ADDRESS = ("127.0.0.1", 5353)


class Dns:
    def __init__(self, namespace):
        self.names = {}  # name: addresses
        self.ttl = 1
        self.code = OK  # of all answers
        self.codes = {}  # of answers of a kind
        self.is_silent = self.is_over = False
        self.asked = []
        with netns.entered(namespace):
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.bind(ADDRESS)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.is_over = True
        self.thread.join()
        self.sock.close()

    def _run(self):
        self.sock.settimeout(0.1)
        while not self.is_over:
            try:
                query, peer = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self._answer(query)
            if not self.is_silent:
                self.sock.sendto(answer, peer)

    def _answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        question, name = query[12:at + 5], ".".join(labels).lower()
        self.asked.append((name, kind))
        addresses = [ipaddress.ip_address(a) for a in self.names.get(name, ())]
        records = [a.packed for a in addresses if {A: 4, AAAA: 6}.get(kind) == a.version]
        code = self.code or self.codes.get(kind) or (OK if name in self.names else NXDOMAIN)
        if code:
            records = []
        head = struct.pack("!2sHHHHH", query[:2], 0x8180 | code, 1, len(records), 0, 0)
        return head + question + b"".join(
            struct.pack("!HHHLH", 0xC00C, kind, 1, self.ttl, len(r)) + r for r in records)
