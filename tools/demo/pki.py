"""A throw-away certificate authority made with the openssl command, for the demo and the tests."""
import subprocess
from pathlib import Path

KEYS = {
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["-newkey", "ed25519"],
    "rsa": ["-newkey", "rsa:2048"],
}


def _openssl(*words):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


class Authority:
    """Files NAME.pem and NAME.key in a folder; ca.pem is what clients trust."""

    def __init__(self, folder, name="ca"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pem = self.folder / f"{name}.pem"
        self.key = self.folder / f"{name}.key"
        _openssl("req", "-x509", *KEYS["ecdsa"], "-noenc", "-keyout", self.key, "-out", self.pem,
                 "-days", 100, "-subj", f"/CN=sluice throw-away {name}",
                 "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, *names, key="ecdsa", days=90):
        """A certificate for DNS names and IP addresses ("ip:192.0.2.1"); paths of both files."""
        cert, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        alternatives = ",".join(f"IP:{n[3:]}" if n.startswith("ip:") else f"DNS:{n}" for n in names)
        _openssl("req", "-x509", *KEYS[key], "-noenc", "-keyout", private, "-out", cert,
                 "-CA", self.pem, "-CAkey", self.key, "-days", days,
                 "-subj", f"/CN={names[0].removeprefix('ip:')}",
                 "-addext", f"subjectAltName={alternatives}",
                 "-addext", "basicConstraints=critical,CA:FALSE",
                 "-addext", "extendedKeyUsage=serverAuth")
        private.chmod(0o600)
        return cert, private
