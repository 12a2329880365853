"""The certificate that exports are signed with: the operator's, or a self-made one.

A self-made certificate proves that a file was not changed since it left this server, not who runs the server.
"""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.utils.translation import gettext as _

from facedetect.errors import Unavailable

CHAIN_FILE = "certificate.pem"
KEY_FILE = "key.pem"
ROOT_DAYS = 3650
SIGNER_DAYS = 825
ORGANISATION = "Face swap, live (self-made certificate)"


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """A certificate chain, the signer's first and its root last, and the signer's P-256 key; both PEM."""

    chain: bytes
    key: bytes

    @property
    def root(self) -> str:
        """The chain's last certificate, PEM: what `/verify` trusts as this server's own."""
        certificates = x509.load_pem_x509_certificates(self.chain)
        return certificates[-1].public_bytes(Encoding.PEM).decode()

    def check(self, now: datetime.datetime) -> None:
        """Raises Unavailable once the signer's certificate has ended: what it signed then would be worth nothing."""
        ends = x509.load_pem_x509_certificates(self.chain)[0].not_valid_after_utc
        if now >= ends:
            raise Unavailable(
                _(
                    "Exports cannot be signed: the certificate in FACESWAP_EXPORT_CERTIFICATE ended on %(day)s. "
                    "Put another one there and start this server again."
                )
                % {"day": ends.date().isoformat()}
            )


def load(folder: Path) -> SigningIdentity:
    """The chain and key in `folder`, made there when the folder does not exist yet.

    Raises Unavailable with a sentence: nothing leaves the page unsigned.
    """
    try:
        if not folder.exists():
            _make(folder)
        return SigningIdentity((folder / CHAIN_FILE).read_bytes(), (folder / KEY_FILE).read_bytes())
    except OSError as error:
        raise Unavailable(
            _(
                "Exports cannot be signed: %(chain)s and %(key)s were expected in FACESWAP_EXPORT_CERTIFICATE, "
                "and cannot be read (%(reason)s)."
            )
            % {"chain": CHAIN_FILE, "key": KEY_FILE, "reason": error.strerror}
        ) from None


def _make(folder: Path) -> None:
    """Both files appear at once, by renaming their folder: of two processes that make them, the first one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        identity = self_made()
        (made / CHAIN_FILE).write_bytes(identity.chain)
        with os.fdopen(os.open(made / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(identity.key)
        os.rename(made, folder)
    except OSError:
        if not (folder / KEY_FILE).is_file():
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def self_made() -> SigningIdentity:
    """A new root and a signer below it, with the extensions that C2PA's certificate profile asks for."""
    root_key, signer_key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    root_name, signer_name = _name("Root"), _name("Exports")
    root = (
        _certificate(root_name, root_name, root_key, ROOT_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, SHA256())
    )
    signer = (
        _certificate(signer_name, root_name, signer_key, SIGNER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, SHA256())
    )
    return SigningIdentity(
        chain=signer.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM),
        key=signer_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
