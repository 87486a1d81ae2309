"""No change interrupts anybody: full handshakes, keep-alive connections and long downloads go on while
certificates, trust stores and security policies are replaced, and everybody sees the old state or the
new one, whole. The same clients tell what such changes do to users of nginx and haproxy."""
import shutil

import pytest

from client_pki import Identity, pem
from counts import count
from peers import PEERS, missing
from standard import CHECK, group, listener
from strain import Strain
from target import pattern_sha256
from wire import TlsConnection, client_context, until

ALL = ["healthy"] * 3
PAIRS = 6           # of each name, that replace one another
UNKNOWN = "unknown.test"
EXTRA_EVERY, TRUST_EVERY, STATE_EVERY = 2, 3, 3  # of so many replacements of the default certificate

# What changes together: the default certificate, the policy, what clients' certificates are for.
STATES = {
    "a": ("TLS_AES_128_GCM_SHA256", "handed_on", {"mode": "passthrough"}),
    "b": ("TLS_AES_256_GCM_SHA384", "verified", {"mode": "verify", "trust_store": "clients"}),
}


def put(pair, crt, key):
    """Both files into place by rename, the key first."""
    for source, place in zip(reversed(pair), (key, crt)):
        aside = place.with_name("." + place.name)
        shutil.copy(source, aside)
        aside.rename(place)


class Site:
    """Files of certificates and CAs, and which state they are in."""

    def __init__(self, net):
        self.net = net
        self.folder = net.folder / "interruption"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.pairs = self.folder / "pairs"
        self.pairs.mkdir(parents=True)
        (net.folder / "tls/interruption").mkdir(exist_ok=True)
        self.spare = {stem: [net.ca.issue(f"interruption/{stem}{n}", *names) for n in range(PAIRS)]
                      for stem, names in (("a", ["a.test"]), ("b", ["b.test"]),
                                          ("kept", ["kept.test", "*.kept.test"]), ("extra", ["extra.test"]))}
        self.root, self.other = Identity("Clients"), Identity("Others")
        self.identity = self.root.client("client").write(self.folder)
        self.cas, self.state, self.default = self.folder / "cas.pem", "a", 0
        self.trust(self.root)
        for letter in STATES:
            put(self.spare[letter][0], *self.place(letter))
        put(self.spare["kept"][0], *self.place("kept", self.pairs))

    def place(self, stem, folder=None):
        folder = folder or self.folder
        return folder / f"{stem}.crt", folder / f"{stem}.key"

    def trust(self, *roots):
        aside = self.cas.with_suffix(".new")
        aside.write_bytes(pem(*[root.cert for root in roots]))
        aside.rename(self.cas)

    def config(self):
        suite, _, auth = STATES[self.state]
        crt, key = self.place(self.state)
        return {
            "certificates": [{"name": "default", "cert": str(crt), "key": str(key)},
                             {"name": "pairs", "directory": str(self.pairs)}],
            "trust_stores": [{"name": "clients", "ca": str(self.cas)}],
            "security_policies": [{"name": "one-suite", "min_version": "1.3", "suites": [suite]}],
            "target_groups": [group("web", "http", self.net.target_list(8080), CHECK)],
            "listeners": [listener("web", "https", 443, "web", certificates=["default", "pairs"],
                                   client_auth=auth, tls={"policy": "one-suite", "existing": "keep"})]}

    def terms(self):
        """The suite, and whether certificates of clients are checked, in words for peers."""
        suite, _, auth = STATES[self.state]
        return suite, "required" if auth["mode"] == "verify" else "none"

    def strain(self):
        size = count("interruption_bytes")
        return Strain((self.net.v4, 443), self.net.ca.pem, [UNKNOWN, "x.kept.test", UNKNOWN, "extra.test"],
                      count("interruption_handshakes"), count("interruption_connections"),
                      count("interruption_downloads"), size, pattern_sha256(size), self.identity)

    def served(self, name):
        """(first name, serial number) of the certificate that a client gets."""
        context = client_context()
        context.load_cert_chain(*self.identity)
        with TlsConnection((self.net.v4, 443), name, context) as client:
            names, _ = client.names()
            return names[-1], client.tls.getpeercert()["serialNumber"]

    def wait_for(self, change, name, what, timeout=10):
        before = self.served(name)
        change()
        until(lambda: self.served(name) != before, what, timeout)

    # --- changes
    def replace_default(self):
        """The next certificate for the default one's files."""
        self.default += 1
        put(self.spare[self.state][self.default % PAIRS], *self.place(self.state))

    def next_state(self):
        self.state = "b" if self.state == "a" else "a"

    def extra(self, number):
        """A certificate comes, or goes again; another is replaced."""
        crt, key = self.place("extra", self.pairs)
        if crt.exists():
            key.unlink()
            crt.unlink()
        else:
            put(self.spare["extra"][number % PAIRS], crt, key)
        put(self.spare["kept"][number % PAIRS], *self.place("kept", self.pairs))

    def next_trust(self, number):
        self.trust(*([self.root, self.other] if number // TRUST_EVERY % 2 else [self.root]))

    def change(self, number, has_states=True, has_trust=True):
        """What is changed by the one step that puts it in force."""
        if number % STATE_EVERY == 0 and has_states:
            self.next_state()
        if number % EXTRA_EVERY == 0:
            self.extra(number)
        if number % TRUST_EVERY == 0 and has_trust:
            self.next_trust(number)
        self.replace_default()

    # --- what is allowed to be seen
    def is_whole(self, sight):
        name, cert, suite, mode = (sight + " ").split(" ")[:4]
        of_name = {UNKNOWN: ["a.test", "b.test"], "x.kept.test": ["*.kept.test", "kept.test"],
                   "extra.test": ["extra.test", "a.test", "b.test"]}[name]
        states = [state for state, (s, m, _) in STATES.items() if s == suite and mode in ("", m)]
        if mode == "none":  # kept, and asked when client_auth was another: then nothing is told of its certificate
            states = [state for state, (s, _, _) in STATES.items() if s == suite]
        if len(states) != 1 or cert not in of_name:
            return False
        return cert not in ("a.test", "b.test") or cert == f"{states[0]}.test"


@pytest.fixture
def site(net, targets):
    one = Site(net)
    yield one
    shutil.rmtree(one.folder)


def by_files(site, sluiced, number):
    site.wait_for(site.replace_default, UNKNOWN, "the new default certificate is served")
    if number % EXTRA_EVERY == 0:
        site.wait_for(lambda: site.extra(number), "extra.test", "it came, or went")
    if number % TRUST_EVERY == 0:
        site.next_trust(number)


def by_reload(site, sluiced, number):
    """All in one reload, now and then with another policy, mode and certificate at once."""
    def change():
        site.change(number)
        sluiced.reload(site.config())
    site.wait_for(change, UNKNOWN, "the reload is in force")


def by_api(site, sluiced, number):
    """Each change a transaction; now and then one that changes all that belongs together."""
    def content(path):
        return {"content": path.read_text()}
    changes = []
    if number % STATE_EVERY == 0:
        site.next_state()
        suite, _, auth = STATES[site.state]
        changes += [
            {"op": "put", "kind": "security_policies", "name": "one-suite",
             "settings": {"min_version": "1.3", "suites": [suite]}},
            {"op": "patch", "kind": "listeners", "name": "web",
             "settings": {"client_auth": {"trust_store": None} | auth}}]
    site.default += 1
    cert, key = site.spare[site.state][site.default % PAIRS]
    changes += [{"op": "put", "kind": "certificates", "name": "default",
                 "settings": {"cert": content(cert), "key": content(key)}}]
    site.wait_for(lambda: sluiced.change("POST", "/v1/objects", {"changes": changes}), UNKNOWN, "it is in force")
    if number % EXTRA_EVERY == 0:
        site.wait_for(lambda: extra_by_api(site, sluiced, number), "extra.test", "it came, or went")
    if number % TRUST_EVERY == 0:
        site.next_trust(number)
        sluiced.change("PUT", "/v1/objects/trust_stores/clients", {"ca": content(site.cas)})


def extra_by_api(site, sluiced, number):
    if number // EXTRA_EVERY % 2:
        cert, key = site.spare["extra"][number % PAIRS]
        sluiced.change("PUT", "/v1/certificates/extra",
                       {"certificate": cert.read_text(), "key": key.read_text()})
        sluiced.change("POST", "/v1/listeners/web/certificates", {"add": ["extra"]})
    else:
        sluiced.change("POST", "/v1/listeners/web/certificates", {"remove": ["extra"]})
        sluiced.change("DELETE", "/v1/certificates/extra")


WAYS = {"api": by_api, "files": by_files, "reload": by_reload}


def expect_no_interruption(site, strain):
    for kind, row in strain.results.items():
        assert row["failed"] == 0 and row["closed"] == 0 and row["hung"] == 0, (kind, row["told"])
        assert row["asked_to_leave"] == 0, kind
        assert row["ok"] >= count("interruption_downloads")
    sights = strain.results["handshakes"]["seen"]
    assert not [sight for sight in sights if not site.is_whole(sight)], sights
    return sights


@pytest.mark.parametrize("way", WAYS)
def test_no_interruption(net, launch, site, way, capsys):
    sluiced = launch(site.config())
    sluiced.wait_states("web", ALL)
    before = sluiced.api("/v1/status")["config"]["generation"]
    with site.strain() as strain:
        for number in range(1, count("interruption_changes") // len(WAYS) + 1):
            WAYS[way](site, sluiced, number)
    with capsys.disabled():
        print(f"\nsluice by {way}, {count('interruption_changes') // len(WAYS)} changes: {strain.words()}")
    sights = expect_no_interruption(site, strain)
    if way != "files":
        assert {sight.split(" ")[1] for sight in sights if sight.startswith(UNKNOWN)} == {"a.test", "b.test"}
    assert sluiced.api("/v1/status")["config"]["generation"] > before


@pytest.mark.parametrize("name", PEERS)
def test_what_others_do(net, site, name, capsys):
    """Figures, no judgement: how many connections such changes cost with nginx and haproxy."""
    if reason := missing(name):
        pytest.skip(reason)
    net.halt()
    peer = PEERS[name](site, name)
    try:
        with site.strain() as strain:
            for number in range(1, count("peer_changes") + 1):
                peer.change(number)
    finally:
        peer.stop()
    sights = strain.results["handshakes"]["seen"]
    torn = sum(times for sight, times in sights.items() if not site.is_whole(sight.rsplit(" ", 1)[0]))
    with capsys.disabled():
        print(f"\n{name}, {count('peer_changes')} changes: {strain.words()}; {torn} saw a mixed state")
    assert strain.results["handshakes"]["ok"] > 0
