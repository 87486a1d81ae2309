"""Security policies: each one offers exactly what its row says, minus what this OpenSSL cannot; found
out with ClientHellos made by hand, one listener per policy."""
import csv
import re
import ssl
import subprocess
from xml.etree import ElementTree

import pytest

import hellos
from counts import count
from hellos import CIPHERS, GROUPS, SCHEMES, SUITES, V12, V13, VERSIONS, ask, peel
from standard import group, listener
from wire import Connection, TlsConnection, client_context, patience

FIRST_PORT = 20000
WWW = "www.sluice.test"
OWN = [
    {"name": "own-client-order", "based_on": "TLS13-1-2-Ext2-2021-06", "server_preference": False,
     "ciphers": ["AES256-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "AES128-SHA"],
     "suites": ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]},
    {"name": "own-narrow", "min_version": "1.2", "max_version": "1.2", "groups": ["secp521r1"],
     "ciphers": ["ECDHE-RSA-AES256-GCM-SHA384"], "signature_algorithms": ["rsa_pss_rsae_sha512"]},
    {"name": "own-dhe-tls10", "based_on": "2016-08", "max_version": "1.0", "ciphers": ["DHE-RSA-AES256-SHA"]},
    {"name": "own-ccm8", "max_version": "1.2", "ciphers": ["ECDHE-ECDSA-AES128-CCM8"]},
]

# What scanners look at first; make test looks at no others.
SCANNED_FIRST = ["sluice-default-2026-11", "ELBSecurityPolicy-2016-08", "tls_cipher_policy_1_2_strict_with_1_3"]

# As the providers' documentation has them, typed once more.
DOCUMENTED = {
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06":
        ["1.2", "1.3"] + list(SUITES)[:2] + ["TLS_CHACHA20_POLY1305_SHA256"] + [
            f"ECDHE-{kind}-AES{bits}-GCM-SHA{sha}" for bits, sha in ((128, 256), (256, 384)) for kind in ("ECDSA", "RSA")],
    "ELBSecurityPolicy-FS-1-1-2019-08":
        ["1.1", "1.2"] + [f"ECDHE-{kind}-AES{tail}" for tail in (
            "128-GCM-SHA256", "128-SHA256", "128-SHA", "256-GCM-SHA384", "256-SHA384", "256-SHA")
            for kind in ("ECDSA", "RSA")],
    "tls_cipher_policy_1_2_strict_with_1_3":
        ["1.2", "1.3"] + list(SUITES) + [
            f"ECDHE-{kind}-AES{tail}" for kind in ("ECDSA", "RSA") for tail in (
                "128-GCM-SHA256", "256-GCM-SHA384", "128-SHA256", "256-SHA384", "128-SHA", "256-SHA")],
}


class Policies:
    """sluiced with a listener per policy."""

    def __init__(self, net, launch):
        self.net = net
        self.names = [row["name"] for row in self.all_rows(net, launch)]
        self.ports = {name: FIRST_PORT + i for i, name in enumerate(self.names)}
        self.one = launch({
            "certificates": self.certificates(net), "security_policies": OWN,
            "target_groups": [group("raw", "tcp", net.target_list(9000, 1))],
            "listeners": [listener(f"l{port}", "tls", port, "raw", certificates=["www", "www-rsa"],
                                   tls={"policy": name}) for name, port in self.ports.items()]}, "policies")
        self.rows = {row["name"]: row for row in self.one.api("/v1/policies")["policies"]}

    @staticmethod
    def certificates(net):
        return net.certificates("www", "www-rsa")

    @staticmethod
    def all_rows(net, launch):
        one = launch({"security_policies": OWN, "target_groups": [], "listeners": []}, "policies")
        return one.api("/v1/policies")["policies"]

    def ask(self, name, *arguments, **options):
        return ask(self.net.v4, self.ports[name], *arguments, **options)


def codes(names, table):
    return [table[n][0] if isinstance(table[n], tuple) else table[n] for n in names]


def in_order(names, row):
    """As a server with an ECDSA and an RSA certificate takes them: what it prefers decides among
    the ciphers of one certificate, and ECDSA comes first."""
    kinds = [[n for n in names if (CIPHERS[n][2] == "e") == is_ecdsa] for is_ecdsa in (True, False)]
    if not row["server_preference"]:
        kinds = [sorted(k, key=reversed_names(CIPHERS).index) for k in kinds]
    return kinds[0] + kinds[1]


def reversed_names(table):
    """The order in which a client of these tests offers: as unlike a policy's as can be, but for
    ChaCha20, which is the last."""
    chacha = [n for n in table if "CHACHA20" in n]
    return [n for n in reversed(table) if n not in chacha] + chacha


def offered_by(row, key):
    return [n for n in row[key] if n not in row["missing"]]


def offer_of(table):
    return {n: codes([n], table)[0] for n in reversed_names(table)}


def check_ciphers(policies, name, row, version):
    """TLS 1.2 and older, one version."""
    taken = peel(lambda offer: policies.ask(name, VERSIONS[version], offer), offer_of(CIPHERS), "cipher")
    expected = [n for n in offered_by(row, "ciphers") if CIPHERS[n][1] <= VERSIONS[version]]
    assert taken == in_order(expected, row), f"{name}, TLS {version}"


def check_suites(policies, name, row):
    groups = list(GROUPS.values())
    taken = peel(lambda offer: policies.ask(name, V13, offer, groups), offer_of(SUITES), "cipher")
    expected = offered_by(row, "suites")
    assert (taken == expected if row["server_preference"] else set(taken) == set(expected)), name
    assert set(peel(lambda offer: policies.ask(name, V13, list(SUITES.values()), offer), GROUPS, "group")) \
        == set(offered_by(row, "groups")), name


def check_signatures(policies, name, row):
    """TLS 1.2: by the signature over the key exchange, of either certificate."""
    ciphers = [CIPHERS[n][0] for n in offered_by(row, "ciphers") if CIPHERS[n][2] != "t"]
    taken = peel(lambda offer: policies.ask(name, V12, ciphers, schemes=offer), SCHEMES, "scheme")
    kinds = {CIPHERS[n][2] for n in offered_by(row, "ciphers")}
    expected = [n for n in offered_by(row, "signature_algorithms")
                if (n.startswith("ecdsa") and "e" in kinds) or (n.startswith(("rsa_pss_rsae", "rsa_pkcs1"))
                                                                 and "r" in kinds)]
    assert set(taken) == set(expected), name


# Tests that use it stand together: another launch ends its sluiced.
@pytest.fixture(scope="module")
def policies(request):
    net = request.getfixturevalue("net")
    yield Policies(net, net.launch)
    net.halt()


def test_every_policy_offers_what_its_row_says(policies):
    for name, row in policies.rows.items():
        for version, code in VERSIONS.items():
            if version not in row["offered_versions"]:
                answer = policies.ask(name, code, [0x1301, 0x002F, 0xC013, 0xC02B, 0xC02F, 0x009C],
                                      list(GROUPS.values()))
                assert answer.alert in ("protocol_version", "handshake_failure"), f"{name}, TLS {version}"
            elif version == "1.3":
                check_suites(policies, name, row)
            else:
                check_ciphers(policies, name, row, version)
        if "1.2" in row["offered_versions"]:
            check_signatures(policies, name, row)
    assert len(policies.rows) >= 55 + len(OWN)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented(policies, name):
    """The rows say what the providers' documentation says."""
    row = policies.rows[name]
    assert sorted(row["versions"] + row["ciphers"] + row["suites"]) == sorted(DOCUMENTED[name])


def test_the_default_has_nothing_weak(policies):
    row = policies.rows["sluice-default-2026-11"]
    assert row["aliases"] == ["default"] and row["missing"] == []
    assert row["offered_versions"] == ["1.2", "1.3"]
    assert all(c.startswith("ECDHE-") and ("GCM" in c or "POLY1305" in c) for c in row["ciphers"])
    for version in ("1.0", "1.1"):
        answer = policies.ask("sluice-default-2026-11", VERSIONS[version], codes(CIPHERS, CIPHERS))
        assert answer.alert == "protocol_version"


def test_bytes_pass_under_old_policies(policies):
    """What OpenSSL keeps works as what is ours: a whole exchange under every version of the widest policy,
    and the reason is shown."""
    port = policies.ports["ELBSecurityPolicy-2016-08"]
    for version, ciphers, place in ((ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0", "version"),
                                    (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "version"),
                                    (ssl.TLSVersion.TLSv1_2, "AES128-SHA256:@SECLEVEL=0", "cipher"),
                                    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0", "cipher")):
        context = client_context(version, ciphers=ciphers)
        with TlsConnection((policies.net.v4, port), WWW, context) as client:
            client.send(b"echo\n" + b"x" * 100000)
            assert client.take(100000) == b"x" * 100000
            row, = policies.one.api("/v1/connections?listener=l%d" % port)["connections"]
            assert row["tls"]["rx"]["place"] == row["tls"]["tx"]["place"] == place
            client.finish()
            assert client.rest() == b""


def test_sluicectl(policies):
    """The table, one policy in full, a name that is none, and what the log says at the start."""
    one = policies.one
    _, out, _ = one.ctl("policies")
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert set(lines) == set(policies.rows)
    assert "DES-CBC3-SHA" in lines["tls_cipher_policy_1_0"] or not policies.rows["tls_cipher_policy_1_0"]["missing"]
    assert f"l{policies.ports['ELBSecurityPolicy-2016-08']}" in lines["ELBSecurityPolicy-2016-08"]
    _, out, _ = one.ctl("policies", "show", "TLS13-1-3-2021-06")
    assert "ELBSecurityPolicy-TLS13-1-3-2021-06" in out and "TLS_CHACHA20_POLY1305_SHA256" in out
    code, _, err = one.ctl("policies", "show", "nothing", check=False)
    assert code == 1 and 'there is no security policy "nothing"' in err
    code, _, err = one.ctl("policies", "sow", "default", check=False)
    assert code == 2
    for row in policies.rows.values():
        for missing in row["missing"]:
            assert f"security policy {row['name']}: this OpenSSL cannot offer: " in one.log(), missing


def scanned(policies, tool):
    names = SCANNED_FIRST + sorted(set(policies.rows) - set(SCANNED_FIRST))
    return names[:count(tool)]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=patience(60), **options)


def expected_ciphers(row):
    """Pairs of version and cipher."""
    pairs = {(v, c) for v in row["offered_versions"] if v != "1.3"
             for c in offered_by(row, "ciphers") if CIPHERS[c][1] <= VERSIONS[v]}
    if "1.3" in row["offered_versions"]:
        pairs |= {("1.3", suite) for suite in offered_by(row, "suites")}
    return pairs


def test_sslscan(policies):
    """A scanner that knows nothing of our table finds the same."""
    for name in scanned(policies, "sslscan"):
        done = run("sslscan", "--no-colour", "--no-heartbleed", "--no-check-certificate", "--no-groups",
                   "--no-fallback", "--no-renegotiation", "--no-compression", "--xml=-",
                   f"{policies.net.v4}:{policies.ports[name]}", check=True)
        found = {(c.get("sslversion").removeprefix("TLSv"), c.get("cipher"))
                 for c in ElementTree.fromstring(done.stdout).iter("cipher")}
        assert found == expected_ciphers(policies.rows[name]), name


@pytest.mark.skipif(not count("testssl"), reason="takes half a minute for each policy: make soak")
def test_testssl(policies, tmp_path):
    """It makes its own ClientHellos, of SSL 2 and 3 too."""
    for name in scanned(policies, "testssl"):
        out = tmp_path / f"{name}.csv"
        run("testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip", policies.net.v4, "--sneaky",
            "--protocols", "--csvfile", str(out), f"{WWW}:{policies.ports[name]}")
        rows = {row["id"]: row["finding"] for row in csv.DictReader(out.open())}
        found = {v for v in ("1.0", "1.1", "1.2", "1.3")
                 if re.match("offered", rows["TLS1" if v == "1.0" else "TLS" + v.replace(".", "_")])}
        assert found == set(policies.rows[name]["offered_versions"]), (name, rows)
        assert rows["SSLv2"] == rows["SSLv3"] == "not offered", (name, rows)


def certificate_kind(der):
    done = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-text"], input=der,
                          capture_output=True, timeout=20, check=True)
    return next(k for k in ("rsaEncryption", "id-ecPublicKey", "ED25519")
                if b"Public Key Algorithm: " + k.encode() in done.stdout)


@pytest.fixture(scope="module")
def three_kinds(request):
    """A name with an ECDSA, an Ed25519 and an RSA certificate, under three policies."""
    net = request.getfixturevalue("net")
    cert, key = net.ca.issue("www-ed25519", WWW, key="ed25519")
    names = {"default": 443, "2016-08": 444, "own-no-ed": 445, "sluice-cnsa-2026-11": 446}
    certificates = net.certificates("www", "www-rsa") + [
        {"name": "www-ed25519", "cert": str(cert), "key": str(key)}]
    yield net, names, net.launch({
        "certificates": certificates,
        "security_policies": [{"name": "own-no-ed", "signature_algorithms": ["rsa_pkcs1_sha256", "ed448"]}],
        "target_groups": [group("raw", "tcp", net.target_list(9000, 1))],
        "listeners": [listener(f"l{port}", "tls", port, "raw", certificates=["www-rsa", "www-ed25519", "www"],
                               tls={"policy": name}) for name, port in names.items()]})
    net.halt()


ALL = list(SCHEMES.values())


@pytest.mark.parametrize("policy,version,ciphers,schemes,kind", [
    ("default", V12, [0xC02F, 0xC02B], ALL, "id-ecPublicKey"),
    ("default", V12, [0xC02F, 0xC02B], [0x0807, 0x0804], "ED25519"),
    ("default", V12, [0xC02F], ALL, "rsaEncryption"),
    ("default", V12, [0xC02F, 0xC023], ALL, "rsaEncryption"),  # ECDSA only with what the policy has not
    ("2016-08", V12, [0xC02F, 0xC023], ALL, "id-ecPublicKey"),
    ("2016-08", V12, [0x009C, 0x003C], ALL, "rsaEncryption"),
    ("2016-08", V12, [0xC02F, 0xC02B], [0x0807, 0x0401], "rsaEncryption"),  # has no Ed25519
    ("2016-08", hellos.V10, [0xC013, 0xC009], ALL, "id-ecPublicKey"),
    ("2016-08", hellos.V10, [0x002F], ALL, "rsaEncryption"),
    ("2016-08", hellos.V10, [0xC023, 0xC013], ALL, "rsaEncryption"),  # SHA-256 is not for TLS 1.0
    ("own-no-ed", V12, [0xC02F, 0xC02B], ALL, "rsaEncryption"),
    ("sluice-cnsa-2026-11", V12, [0xC030, 0xC02C], ALL, "id-ecPublicKey"),
    ("sluice-cnsa-2026-11", V12, [0xC030, 0xC02C], [0x0403, 0x0805], "rsaEncryption"),
])
def test_certificate_by_policy(three_kinds, policy, version, ciphers, schemes, kind):
    """Among certificates of several kinds the one that policy and client can use together."""
    net, ports, _ = three_kinds
    answer = ask(net.v4, ports[policy], version, ciphers, schemes=schemes)
    assert answer.alert is None
    assert certificate_kind(answer.certificate) == kind


def test_switch_of_policy(net, launch):
    """A reload switches it: new connections see the new one, those that are open live on, and the gate
    refuses what the policy does not have."""
    def config(policy):
        return {"certificates": net.certificates("www", "www-rsa"),
                "target_groups": [group("raw", "tcp", net.target_list(9000, 1))],
                "listeners": [listener("l", "tls", 443, "raw", certificates=["www", "www-rsa"],
                                       gate={"mode": "on"}, tls={"policy": policy})]}
    one = launch(config("sluice-compatible-2026-11"))
    old = client_context(ssl.TLSVersion.TLSv1, ciphers="ALL:@SECLEVEL=0")
    with TlsConnection((net.v4, 443), WWW, old) as client:
        client.send(b"echo\nbefore")
        assert client.take(6) == b"before"
        one.reload(config("default"))
        refused = one.drops().get("version_refused", 0)
        answer = ask(net.v4, 443, hellos.V10, [0xC013, 0x002F])
        assert answer.alert == "protocol_version"
        assert one.drops()["version_refused"] == refused + 1
        client.send(b"after")
        assert client.take(5) == b"after"
    with TlsConnection((net.v4, 443), WWW) as client:
        assert client.tls.version() == "TLSv1.3"
    with Connection((net.v4, 443)) as client:  # TLS 1.0 in a hello that offers 1.2, too
        client.send(hellos.client_hello(V12, [0xC02B, 0xC02F]))
        assert client.take(1) == b"\x16"


def test_targets_policy(net, launch):
    """A target group's policy: TLS 1.2 alone, towards a target that can do both."""
    def config(policy):
        return {"certificates": net.certificates("www"),
                "target_groups": [group("raw-tls", "tls", net.target_list(9443, 1),
                                        tls={"ca": str(net.ca.pem), "policy": policy})],
                "listeners": [listener("l", "tls", 443, "raw-tls", certificates=["www"])]}
    one = launch(config("FS-1-2-Res-2020-10"))
    for policy, version in (("FS-1-2-Res-2020-10", "TLSv1.2"), ("TLS13-1-3-2021-06", "TLSv1.3")):
        one.reload(config(policy))
        with TlsConnection((net.v4, 443), WWW) as client:
            client.send(b"echo\nabc")
            assert client.take(3) == b"abc"
            row, = one.api("/v1/connections")["connections"]
            assert row["target_tls"]["version"] == version
