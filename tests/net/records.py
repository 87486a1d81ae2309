"""A TLS client that makes and opens its records itself once Python's ssl has done the handshake, to send
what no library sends and to see every record that comes. Its directions share nothing: one thread may
send while another one receives."""
import ctypes
import hashlib
import hmac
import ssl
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from wire import Connection, client_context

ALERT, HANDSHAKE, DATA = 21, 22, 23
NEW_SESSION_TICKET, KEY_UPDATE = 4, 24
WARNING, FATAL = 1, 2
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, RECORD_OVERFLOW, INTERNAL_ERROR = 0, 10, 20, 22, 80
PLAIN_MAX = 1 << 14
EXPLICIT_NONCE = 8  # of AES-GCM in TLS 1.2 (RFC 5288), in front of what is encrypted


class Alert(Exception):
    """The peer sent a fatal alert; the description is args[0]."""


def set_ciphersuites(context, names):
    """Python cannot choose among the suites of TLS 1.3. The context's SSL_CTX stands right behind the
    head of the Python object."""
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    function = ctypes.CDLL("libssl.so.3").SSL_CTX_set_ciphersuites
    function.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    assert function(pointer, names.encode()) == 1, names


def expand_label(digest, secret, label, length):
    """HKDF-Expand-Label (RFC 8446 7.1) without a context, up to one hash long."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.digest(secret, info + b"\1", digest)[:length]


def key_block(digest, master, randoms, length):
    """RFC 5246 6.3."""
    seed, out, a = b"key expansion" + randoms, b"", b"key expansion" + randoms
    while len(out) < length:
        a = hmac.digest(master, a, digest)
        out += hmac.digest(master, a + seed, digest)
    return out[:length]


class Key:
    """One direction: key, IV and sequence number."""

    def __init__(self, cipher, is_13):
        self.is_13, self.is_chacha = is_13, "CHACHA" in cipher
        self.key_bytes = 16 if "128" in cipher else 32
        self.digest = hashlib.sha384 if "SHA384" in cipher else hashlib.sha256
        self.seq, self.updates, self.secret = 0, 0, None

    def set(self, key, iv):
        self.aead = (ChaCha20Poly1305 if self.is_chacha else AESGCM)(key)
        self.iv, self.seq = iv, 0

    def set_secret(self, secret):
        self.secret = secret
        self.set(expand_label(self.digest, secret, b"key", self.key_bytes),
                 expand_label(self.digest, secret, b"iv", 12))

    def update(self):
        self.updates += 1
        self.set_secret(expand_label(self.digest, self.secret, b"traffic upd", len(self.secret)))

    def _nonce(self, explicit):
        if explicit is not None:
            return self.iv + explicit
        number = int.from_bytes(self.iv, "big") ^ self.seq
        return number.to_bytes(12, "big")

    def has_explicit_nonce(self):
        return not self.is_13 and not self.is_chacha

    def _beside(self, kind, length):
        """What is authenticated and not encrypted."""
        head = bytes([kind, 3, 3]) + length.to_bytes(2, "big")
        return head if self.is_13 else self.seq.to_bytes(8, "big") + head

    def seal(self, kind, data, padding=0):
        explicit = self.seq.to_bytes(8, "big") if self.has_explicit_nonce() else None
        if self.is_13:
            data, kind = data + bytes([kind]) + bytes(padding), DATA
        beside = self._beside(kind, len(data) + 16 if self.is_13 else len(data))
        sealed = (explicit or b"") + self.aead.encrypt(self._nonce(explicit), data, beside)
        self.seq += 1
        return bytes([kind, 3, 3]) + len(sealed).to_bytes(2, "big") + sealed

    def open(self, kind, body):
        """(type, content) of a record."""
        explicit = None
        if self.has_explicit_nonce():
            explicit, body = body[:EXPLICIT_NONCE], body[EXPLICIT_NONCE:]
        beside = self._beside(kind, len(body) if self.is_13 else len(body) - 16)
        content = self.aead.decrypt(self._nonce(explicit), body, beside)
        self.seq += 1
        if not self.is_13:
            return kind, content
        content = content.rstrip(b"\0")
        return content[-1], content[:-1]


class RecordConnection(Connection):
    """`cipher`: a suite of the version; `piece`, `padding`: how send() cuts and pads. What came:
    `sizes` of the data records, `alerts` as (level, description), `updates` of the peer's key."""

    def __init__(self, address, name="www.sluice.test", version=ssl.TLSVersion.TLSv1_3, cipher=None,
                 piece=PLAIN_MAX, padding=0, **options):
        super().__init__(address, **options)
        self.piece, self.padding = piece, padding
        self.raw, self.sizes, self.alerts, self.update_asked = bytearray(), [], [], False
        try:
            self._handshake(name, version, cipher)
        except BaseException:
            self.sock.close()
            raise

    def _handshake(self, name, version, cipher):
        is_13 = version == ssl.TLSVersion.TLSv1_3
        context = client_context(version, ciphers=None if is_13 else cipher)
        if is_13 and cipher:
            set_ciphersuites(context, cipher)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        seen = bytearray()
        with tempfile.NamedTemporaryFile("r") as log:
            context.keylog_filename = log.name
            tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    self.sock.sendall(outgoing.read())
                    if not (data := self.sock.recv(1 << 16)):
                        raise EOFError("the end in the handshake") from None
                    seen += data
                    incoming.write(data)
            self.sock.sendall(outgoing.read())
            secrets = {line.split()[0]: line.split()[1:] for line in log if not line.startswith("#")}
        self.raw += incoming.read()
        self.cipher, self.version = tls.cipher()[0], tls.version()
        self.tx, self.rx = Key(self.cipher, is_13), Key(self.cipher, is_13)
        if is_13:
            self.tx.set_secret(bytes.fromhex(secrets["CLIENT_TRAFFIC_SECRET_0"][1]))
            self.rx.set_secret(bytes.fromhex(secrets["SERVER_TRAFFIC_SECRET_0"][1]))
        else:
            self._keys_12(*map(bytes.fromhex, secrets["CLIENT_RANDOM"]), bytes(seen[11:43]))

    def _keys_12(self, client_random, master, server_random):
        n, n_iv = self.tx.key_bytes, 12 if self.tx.is_chacha else 4
        block = key_block(self.tx.digest, master, server_random + client_random, 2 * (n + n_iv))
        self.tx.set(block[:n], block[2 * n:2 * n + n_iv])
        self.rx.set(block[n:2 * n], block[2 * n + n_iv:])
        self.tx.seq = self.rx.seq = 1  # behind Finished

    # --- sending

    def send_record(self, kind, data, padding=0):
        self.sock.sendall(self.tx.seal(kind, data, padding))

    def send(self, data):
        """All of it, in records of `piece` bytes, some of them in one write."""
        data = data if isinstance(data, bytes) else data.encode("latin-1")
        out = []
        for start in range(0, len(data), self.piece):
            out.append(self.tx.seal(DATA, data[start:start + self.piece], self.padding))
            if len(out) == 64:
                self.sock.sendall(b"".join(out))
                out = []
        self.sock.sendall(b"".join(out))

    def send_alert(self, level, description):
        self.send_record(ALERT, bytes([level, description]))

    def update_key(self, request):
        """A new key for what we send; `request`: the peer shall change its own, too."""
        self.send_record(HANDSHAKE, bytes([KEY_UPDATE, 0, 0, 1, request]))
        self.tx.update()

    def finish(self):
        """close_notify; neither a FIN nor the end of receiving."""
        self.send_alert(WARNING, CLOSE_NOTIFY)

    # --- receiving

    def _fill(self, length):
        while len(self.raw) < length:
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError(f"the end of TCP behind {len(self.raw)} bytes of a record")
            self.raw += data

    def recv_record(self):
        self._fill(5)
        kind, length = self.raw[0], int.from_bytes(self.raw[3:5], "big")
        self._fill(5 + length)
        body = bytes(self.raw[5:5 + length])
        del self.raw[:5 + length]
        return self.rx.open(kind, body)

    def _handshake_message(self, content):
        if content[0] == KEY_UPDATE:
            assert content[1:4] == b"\0\0\1", content
            self.update_asked |= content[4] == 1
            self.rx.update()
        else:
            assert content[0] == NEW_SESSION_TICKET, content

    def recv(self, length=0):
        """The data of the next record (whatever `length` is), b"" at close_notify."""
        while True:
            kind, content = self.recv_record()
            if kind == HANDSHAKE:
                self._handshake_message(content)
            elif kind == ALERT:
                self.alerts.append(tuple(content))
                if content[1] == CLOSE_NOTIFY:
                    return b""
                raise Alert(content[1])
            else:
                assert kind == DATA, kind
                self.sizes.append(len(content))
                if content:
                    return content

    def end_of_tcp(self):
        """Does a FIN follow, and nothing in front of it?"""
        return not self.raw and self.sock.recv(1) == b""
