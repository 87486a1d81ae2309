"""Certificates of servers with an end, a responder and extensions of choice."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from client_pki import now, pem

DAY = datetime.timedelta(days=1)


def key_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def issue(ca, *names, end=90 * DAY, ocsp=None, must_staple=False, serial=None):
    """(certificate, key) for these names, by a client_pki.Identity."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(ca.subject)
               .public_key(key.public_key()).serial_number(serial or x509.random_serial_number())
               .not_valid_before(now() - 100 * DAY).not_valid_after(now() + end)
               .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False))
    if ocsp:
        builder = builder.add_extension(x509.AuthorityInformationAccess([x509.AccessDescription(
            AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))]), False)
    if must_staple:
        builder = builder.add_extension(
            x509.TLSFeature([x509.TLSFeatureType.status_request]), False)
    return builder.sign(ca.key, hashes.SHA256()), key


def write(pair, crt, key, *chain):
    """Both files into place by rename, the key first."""
    for path, content in ((key, key_pem(pair[1])), (crt, pem(pair[0], *chain))):
        aside = path.with_name("." + path.name)
        aside.write_bytes(content)
        aside.rename(path)
