"""HTTP/2 clients of the bench: h2load of nghttp2, a fixed number of requests a round, by the interface
of measure.Load."""

import os
import re
import subprocess
import time

from proc import BenchError

STREAMS = 16  # side by side on each connection
REQUESTS = 12000
CIPHER = "TLS_AES_128_GCM_SHA256"
LIMIT_SECONDS = 30


class H2Load:
    """Its handshakes are in the figures: a few for thousands of requests, the same for all products."""

    def __init__(self, site, product, row, conns):
        self.argv = ["taskset", "-c", str(site.generator_cpu), "h2load", "-n", str(REQUESTS), "-c", str(conns),
                     "-m", str(STREAMS), f"--tls13-ciphers={CIPHER}", f"--groups={row.group}",
                     f"https://127.0.0.1:{product.ports[row.key]}{row.path}"]
        said = self.run(["-n", str(conns), "-m", "1"])
        if "Application protocol: h2\n" not in said or f"Cipher: {CIPHER}" not in said:
            raise BenchError(f"not HTTP/2 with {CIPHER}: {said[:300]}")
        # What measure.check_negotiated() wants to see; tickets are not used.
        self.opened = {"version": "TLSv1.3", "cipher": CIPHER, "group": row.group, "key": "EC-256", "tickets": 1}

    def run(self, more=()):
        done = subprocess.run([*self.argv, *more], capture_output=True, text=True, timeout=LIMIT_SECONDS,
                              check=False)
        if done.returncode or " 0 failed, 0 errored, 0 timeout" not in done.stdout:
            raise BenchError(f"h2load: {(done.stdout + done.stderr).strip()[-300:]}")
        return done.stdout

    def go(self):
        before, start = os.times(), time.monotonic()
        said = self.run()
        after = os.times()
        done = int(re.search(r"(\d+) succeeded", said)[1])
        return {"ops": done, "bytes": 0, "elapsed": time.monotonic() - start,
                "cpu": after.children_user + after.children_system - before.children_user - before.children_system}

    def close(self):
        pass
