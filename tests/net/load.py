"""A load for the time of a `with` block: keep-alive connections, a thread each, that send a request (of
HTTP/1.1, or with is_h2 of HTTP/2, plain) every interval and check every answer. A connection that the other side ends is counted, and opened
again."""
import threading
import time

from http2 import Http2
from wire import Connection, TlsConnection, patience


class Load:
    def __init__(self, address, connections, interval_ms, context=None, name=None, path="/",
                 is_new_each=False, is_h2=False):
        self.address, self.path, self.name = address, path, name
        self.interval_s = interval_ms / 1000
        self.context, self.is_new_each, self.is_h2 = context, is_new_each, is_h2
        self.ok = 0
        self.closed = 0          # connections ended by the other side
        self.failures = []       # (seconds since the start, what)
        self.by_target = {}
        self.latest = {}         # target: seconds since the start of its last answer
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._ready = threading.Barrier(connections + 1, timeout=patience(60))
        self._threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                         for i in range(connections)]

    def _connect(self):
        if self.context:
            return TlsConnection(self.address, self.name, self.context)
        plain = Connection(self.address)
        return Http2(plain) if self.is_h2 else plain

    def _note(self, error):
        with self._lock:
            self.failures.append((round(time.monotonic() - self.start, 3), repr(error)))

    def _run(self, index):
        connection = None
        is_first = True
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = self._connect()
                begin = time.monotonic()
                answer = connection.request(self.path)
                self._count(answer, time.monotonic() - begin)
                if self.is_new_each or answer.get("connection", "").lower() == "close":
                    if not self.is_new_each:
                        with self._lock:
                            self.closed += 1
                    connection.close()
                    connection = None
            except (OSError, EOFError, AssertionError) as error:
                self._note(error)
                with self._lock:
                    self.closed += 1
                if connection:
                    connection.close()
                connection = None
            if is_first:
                is_first = False
                self._ready.wait()
                # Spread over the interval, so that the load is even.
                self._stop.wait(self.interval_s * index / len(self._threads))
            self._stop.wait(self.interval_s)
        if connection:
            connection.close()

    def _count(self, answer, seconds):
        with self._lock:
            if answer.status != 200 or answer.is_cut:
                self.failures.append((round(time.monotonic() - self.start, 3), repr(answer)))
                return
            self.ok += 1
            self.slowest_s = max(self.slowest_s, seconds)
            target = answer.get("x-target")
            self.by_target[target] = self.by_target.get(target, 0) + 1
            self.latest[target] = time.monotonic() - self.start

    def __enter__(self):
        self.start = time.monotonic()
        for thread in self._threads:
            thread.start()
        self._ready.wait()
        return self

    def elapsed(self):
        return time.monotonic() - self.start

    def run_for(self, seconds):
        """Lets the load go on; the time is the load's own, not a wait for something."""
        self._stop.wait(seconds)

    def stop(self):
        """Ends it before its block does."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=patience(20))

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=patience(20))
