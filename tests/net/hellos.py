"""ClientHellos made by hand, and what a server says to them: which version, cipher, group or signature
it takes out of those that are offered. Everything stops after the server's first flight."""
import os
import struct

from wire import Connection

V10, V11, V12, V13 = 0x0301, 0x0302, 0x0303, 0x0304
VERSIONS = {"1.0": V10, "1.1": V11, "1.2": V12, "1.3": V13}

# name: (code, first version, who signs: e ECDSA, r RSA, t nobody (RSA key transport))
CIPHERS = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": (0xC02B, V12, "e"), "ECDHE-RSA-AES128-GCM-SHA256": (0xC02F, V12, "r"),
    "ECDHE-ECDSA-AES256-GCM-SHA384": (0xC02C, V12, "e"), "ECDHE-RSA-AES256-GCM-SHA384": (0xC030, V12, "r"),
    "ECDHE-ECDSA-AES128-SHA256": (0xC023, V12, "e"), "ECDHE-RSA-AES128-SHA256": (0xC027, V12, "r"),
    "ECDHE-ECDSA-AES256-SHA384": (0xC024, V12, "e"), "ECDHE-RSA-AES256-SHA384": (0xC028, V12, "r"),
    "ECDHE-ECDSA-AES128-SHA": (0xC009, V10, "e"), "ECDHE-RSA-AES128-SHA": (0xC013, V10, "r"),
    "ECDHE-ECDSA-AES256-SHA": (0xC00A, V10, "e"), "ECDHE-RSA-AES256-SHA": (0xC014, V10, "r"),
    "ECDHE-ECDSA-AES128-CCM": (0xC0AC, V12, "e"), "ECDHE-ECDSA-AES128-CCM8": (0xC0AE, V12, "e"),
    "DHE-RSA-AES128-GCM-SHA256": (0x009E, V12, "r"), "DHE-RSA-AES256-SHA": (0x0039, V10, "r"),
    "AES128-GCM-SHA256": (0x009C, V12, "t"), "AES256-GCM-SHA384": (0x009D, V12, "t"),
    "AES128-SHA256": (0x003C, V12, "t"), "AES256-SHA256": (0x003D, V12, "t"),
    "AES128-SHA": (0x002F, V10, "t"), "AES256-SHA": (0x0035, V10, "t"),
    "DES-CBC3-SHA": (0x000A, V10, "t"), "ECDHE-RSA-DES-CBC3-SHA": (0xC012, V10, "r"),
    # Nobody should take these.
    "RC4-SHA": (0x0005, V10, "t"), "NULL-SHA256": (0x003B, V12, "t"), "ADH-AES128-SHA": (0x0034, V10, "t"),
    "EXP-RC4-MD5": (0x0003, V10, "t"), "ECDHE-RSA-NULL-SHA": (0xC010, V10, "r"),
    "ECDHE-RSA-RC4-SHA": (0xC011, V10, "r"), "SEED-SHA": (0x0096, V10, "t"),
    "CAMELLIA128-SHA": (0x0041, V10, "t"), "PSK-AES128-CBC-SHA": (0x008C, V10, "t"),
    # Last, so that it is the first of nobody's list: servers may give way to a client that puts it first.
    "ECDHE-ECDSA-CHACHA20-POLY1305": (0xCCA9, V12, "e"), "ECDHE-RSA-CHACHA20-POLY1305": (0xCCA8, V12, "r"),
}
DHE = [code for name, (code, *_) in CIPHERS.items() if name.startswith("DHE-")]
SUITES = {"TLS_AES_128_GCM_SHA256": 0x1301, "TLS_AES_256_GCM_SHA384": 0x1302,
          "TLS_AES_128_CCM_SHA256": 0x1304, "TLS_AES_128_CCM_8_SHA256": 0x1305,
          "TLS_CHACHA20_POLY1305_SHA256": 0x1303}
GROUPS = {"X25519MLKEM768": 0x11EC, "SecP256r1MLKEM768": 0x11EB, "SecP384r1MLKEM1024": 0x11ED,
          "MLKEM512": 0x0200, "MLKEM768": 0x0201, "MLKEM1024": 0x0202, "x25519": 0x001D, "x448": 0x001E,
          "secp256r1": 0x0017, "secp384r1": 0x0018, "secp521r1": 0x0019, "ffdhe2048": 0x0100,
          "secp192r1": 0x0013, "brainpoolP256r1": 0x001A}
CURVES = [0x001D, 0x0017, 0x0018, 0x0019]  # what TLS 1.2 and older can use
SCHEMES = {"ecdsa_secp256r1_sha256": 0x0403, "ecdsa_secp384r1_sha384": 0x0503,
           "ecdsa_secp521r1_sha512": 0x0603, "ed25519": 0x0807, "rsa_pss_rsae_sha256": 0x0804,
           "rsa_pss_rsae_sha384": 0x0805, "rsa_pss_rsae_sha512": 0x0806, "rsa_pkcs1_sha256": 0x0401,
           "rsa_pkcs1_sha384": 0x0501, "rsa_pkcs1_sha512": 0x0601, "ecdsa_sha224": 0x0303,
           "rsa_pkcs1_sha224": 0x0301, "ecdsa_sha1": 0x0203, "rsa_pkcs1_sha1": 0x0201,
           "rsa_pkcs1_md5": 0x0101}

ALERTS = {40: "handshake_failure", 47: "illegal_parameter", 70: "protocol_version", 71: "insufficient_security"}
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class Answer:
    """What came back: `alert` (its name), or `version`, `cipher`, and where there were some `group`,
    `scheme` (TLS 1.2) and the certificate's DER."""
    alert = version = cipher = group = scheme = certificate = None


def _u16s(codes):
    return b"".join(struct.pack(">H", code) for code in codes)


def _extension(kind, body):
    return struct.pack(">HH", kind, len(body)) + body


def client_hello(version, ciphers, groups=None, schemes=None, name="www.sluice.test"):
    """A record with a ClientHello for exactly one version. TLS 1.3: without a key share, so that the
    server names the group it wants in a HelloRetryRequest."""
    host = name.encode()
    groups = _u16s(CURVES if groups is None else groups)
    extensions = _extension(0, struct.pack(">HBH", len(host) + 3, 0, len(host)) + host)
    extensions += _extension(10, struct.pack(">H", len(groups)) + groups) + _extension(11, b"\x01\x00")
    if version >= V12:
        codes = _u16s(SCHEMES.values() if schemes is None else schemes)
        extensions += _extension(13, struct.pack(">H", len(codes)) + codes)
    if version == V13:
        extensions += _extension(43, b"\x02" + _u16s([V13])) + _extension(51, b"\x00\x00")
    offered = _u16s(ciphers)
    body = (struct.pack(">H", min(version, V12)) + os.urandom(32) + b"\x20" + os.urandom(32)
            + struct.pack(">H", len(offered)) + offered + b"\x01\x00"
            + struct.pack(">H", len(extensions)) + extensions)
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def _server_hello(answer, body):
    answer.version = struct.unpack(">H", body[:2])[0]
    is_retry = body[2:34] == RETRY
    at = 35 + body[34]
    answer.cipher = struct.unpack(">H", body[at:at + 2])[0]
    at += 3
    rest = body[at + 2:]
    while rest:
        kind, length = struct.unpack(">HH", rest[:4])
        value, rest = rest[4:4 + length], rest[4 + length:]
        if kind == 43:
            answer.version = struct.unpack(">H", value)[0]
        if kind == 51:
            answer.group = struct.unpack(">H", value[:2])[0]
    return is_retry or answer.version == V13


def _key_exchange(answer, body):
    at = 0
    if answer.cipher in DHE:
        for _ in range(3):  # prime, generator, key
            at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    else:
        answer.group = struct.unpack(">H", body[1:3])[0]
        at = 4 + body[3]
    if answer.version == V12:
        answer.scheme = struct.unpack(">H", body[at:at + 2])[0]


def _message(answer, kind, body):
    """True: nothing more is wanted."""
    if kind == 2:
        return _server_hello(answer, body)
    if kind == 11:
        answer.certificate = body[6:6 + int.from_bytes(body[3:6], "big")]
    if kind == 12:
        _key_exchange(answer, body)
    return kind == 14


def ask(address, port, *arguments, **options):
    """The server's answer to client_hello(...)."""
    answer, flight = Answer(), b""
    with Connection((address, port)) as client:
        client.send(client_hello(*arguments, **options))
        while True:
            try:
                kind, _, length = struct.unpack(">BHH", client.take(5))
                body = client.take(length)
            except (EOFError, ConnectionResetError):
                answer.alert = answer.alert or "closed"
                return answer
            if kind == 21:
                answer.alert = ALERTS.get(body[1], str(body[1]))
                return answer
            assert kind == 22, kind
            flight += body
            while len(flight) >= 4 and len(flight) >= 4 + int.from_bytes(flight[1:4], "big"):
                end = 4 + int.from_bytes(flight[1:4], "big")
                if _message(answer, flight[0], flight[4:end]):
                    client.reset()
                    return answer
                flight = flight[end:]


def peel(ask_for, offered, what):
    """All that the server takes of `offered` (name: code), in the order in which it prefers them: what
    it took is left out of the next offer. `what`: the member of the answer that names it."""
    left, taken = dict(offered), []
    while left:
        answer = ask_for(list(left.values()))
        code = getattr(answer, what)
        if answer.alert or code is None:
            return taken
        name = next((n for n, c in left.items() if c == code), None)
        assert name, f"{what} {code:#x} was not offered"
        taken.append(name)
        del left[name]
    return taken
