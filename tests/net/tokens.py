"""A PKCS#11 token (SoftHSM) for keys, and a module for it whose calls may hang (token_stall.c)."""
import shutil
import subprocess

import pytest

from sluiced import BUILD, IS_SANITIZED

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
STALLING = str(BUILD / "tests/token_stall.so")
PIN = "1234"


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


class Token:
    """A SoftHSM token in a folder of its own."""

    def __init__(self, folder, monkeypatch, more=""):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tokens").mkdir(parents=True)
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n{more}\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        monkeypatch.setenv("SLUICE_TEST_TOKEN", str(folder))
        self.folder = folder
        (folder / "pin").write_text(PIN + "\n")
        (folder / "wrong").write_text("9999\n")
        run("softhsm2-util", "--init-token", "--free", "--label", "sluice", "--so-pin", "5678", "--pin", PIN)

    def put(self, key, label):
        run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", self.folder / "k8.pem")
        run("softhsm2-util", "--import", self.folder / "k8.pem", "--token", "sluice", "--label", label,
            "--id", label.encode().hex(), "--pin", PIN)

    def stall(self, *calls):
        """With the module STALLING: these calls ("open", "login", "sign"), and no others, do not come back."""
        for call in ("open", "login", "sign"):
            if call in calls:
                (self.folder / call).touch()
            else:
                (self.folder / call).unlink(missing_ok=True)
            (self.folder / f"{call}-hangs").unlink(missing_ok=True)

    def hangs(self, call):
        return (self.folder / f"{call}-hangs").exists()

    def logins(self):
        """With the module STALLING: how often somebody wanted to log in."""
        path = self.folder / "logins"
        return path.read_text().count("\n") if path.exists() else 0

    def drop(self, label):
        run("p11tool", "--provider", SOFTHSM, "--login", "--set-pin", PIN, "--batch", "--delete",
            f"pkcs11:token=sluice;object={label}")

    def row(self, name, pair, pin="pin"):
        return {"name": name, "cert": str(pair[0]), "key": f"pkcs11:token=sluice;object={name};type=private",
                "key_password_file": str(self.folder / pin)}


def state(one, name):
    return next(row for row in one.api("/v1/certificates")["certificates"] if row["name"] == name)["state"]


needs_token = pytest.mark.skipif(
    IS_SANITIZED, reason="the sanitizers' runtime takes no library as the provider loads it (RTLD_DEEPBIND)")
