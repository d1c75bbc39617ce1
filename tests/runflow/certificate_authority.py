"""Certificates made for a test: an authority, and servers whose certificate is signed by it or by themselves."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)
#: What the key of an authority is used for, as the strict checks of Python 3.13 and later want it (RFC 5280, 4.2.1.3).
AUTHORITY_USAGE = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )


@attrs.define
class Authority:
    """A private certificate authority. ``file``: its certificate."""

    folder: Path
    file: Path = attrs.field(init=False)
    _key: ec.EllipticCurvePrivateKey = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.folder / "ca.pem"
        now = datetime.now(UTC)
        builder = _builder("Test authority", "Test authority", self._key, now - DAY, now + DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        # From Python 3.13 on the default context is strict: it wants these three as well (RFC 5280, 4.2.1).
        builder = builder.add_extension(AUTHORITY_USAGE, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self, host: str, *, since: timedelta = -DAY, until: timedelta = DAY, self_signed: bool = False
    ) -> ssl.SSLContext:
        """The TLS context of a server for this host. ``since``, ``until``: validity, relative to now."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        issuer = host if self_signed else "Test authority"
        builder = _builder(host, issuer, key, now + since, now + until)
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        signer = key if self_signed else self._key
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(identifier, critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        file = self.folder / f"{x509.random_serial_number()}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context
