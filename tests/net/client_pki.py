"""CAs, certificates of clients and revocation lists for the tests of mutual TLS."""
import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def pem(*certs):
    return b"".join(cert.public_bytes(serialization.Encoding.PEM) for cert in certs)


class Identity:
    """A certificate and its key; what it issues has it as its issuer."""

    def __init__(self, name, issuer=None, ca=True, start=-DAY, end=30 * DAY, serial=None, fill=0):
        self.name, self.issuer = name, issuer or self
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(self.subject)
                   .issuer_name(self.issuer.subject).public_key(self.key.public_key())
                   .serial_number(serial or x509.random_serial_number())
                   .not_valid_before(now() + start).not_valid_after(now() + end)
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
        if not ca:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        if fill:  # a comment, to make it large
            builder = builder.add_extension(x509.UnrecognizedExtension(
                x509.ObjectIdentifier("2.16.840.1.113730.1.13"), bytes(fill)), critical=False)
        self.cert = builder.sign(self.issuer.key, hashes.SHA256())

    def client(self, name, **options):
        return Identity(name, self, ca=False, **options)

    def chain(self):
        """Its own certificate and those of the CAs above, without the root."""
        at, certs = self, []
        while at.issuer is not at:
            certs.append(at.cert)
            at = at.issuer
        return certs or [self.cert]

    def write(self, folder):
        """NAME.pem with the chain, NAME.key; their paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        cert, key = folder / f"{self.name}.pem", folder / f"{self.name}.key"
        cert.write_bytes(pem(*self.chain()))
        key.write_bytes(self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return cert, key

    def crl(self, *serials, end=7 * DAY):
        """PEM of a list that revokes these serial numbers."""
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject)
                   .last_update(now() - DAY).next_update(now() + end))
        for serial in serials:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(now() - DAY).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
