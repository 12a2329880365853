"""Make what the services sign and serve with: `run.py` calls this where their packages are installed.

python make_keys.py signing                            print a new Ed25519 pair, private seed first
python make_keys.py certificate CERTIFICATE KEY NAME…  write a self-made TLS certificate for these names
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CERTIFICATE_DAYS = 90


def signing_pair() -> tuple[str, str]:
    """The private seed and the public key, 32 raw bytes each, as base64url without padding."""
    key = Ed25519PrivateKey.generate()
    raw = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    seed, public = (urlsafe_b64encode(value).rstrip(b"=").decode() for value in raw)
    return seed, public


def alternative_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def still_serves(certificate_file: Path, names: Sequence[str]) -> bool:
    """Whether the certificate from an earlier start can stay: browsers that were told to trust it go on doing so."""
    if not certificate_file.exists():
        return False
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return list(covered) == [alternative_name(name) for name in names] and left > datetime.timedelta(days=1)


def write_certificate(certificate_file: Path, key_file: Path, names: Sequence[str]) -> None:
    """Encrypts the connection, vouches for nobody: a browser asks before it trusts it."""
    if still_serves(certificate_file, names):
        return
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Face swap on this network")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([alternative_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.parent.mkdir(parents=True, exist_ok=True)
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["signing"]:
            print(*signing_pair())
        case ["certificate", certificate, key, *names] if names:
            write_certificate(Path(certificate), Path(key), names)
        case _:
            sys.exit(__doc__)
