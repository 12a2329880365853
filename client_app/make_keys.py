"""Make what the services sign and serve with: `run.py` calls this where their packages are installed.

python make_keys.py signing                            print a new Ed25519 pair, private seed first
python make_keys.py secrets ENV_FILE                   add the secrets that this `.env` lacks
python make_keys.py certificate CERTIFICATE KEY NAME…  write a self-made TLS certificate for these names
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
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


def write_whole(file: Path, content: bytes) -> None:
    """Write a file that only its owner can read: all of it or, on a full disk, nothing."""
    partial = file.with_name(f"{file.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
            writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def add_secrets(env_file: Path) -> None:
    """Add what `env_file` lacks of the services' secrets; what is there stays as it is, comments too."""
    file = env_file.resolve()
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    present = {line.partition("=")[0].strip() for line in before.splitlines()}
    made = {}
    if "SECRET_KEY" not in present:
        made["SECRET_KEY"] = secrets.token_urlsafe(50)
    if "FACESWAP_SIGNING_KEY" not in present:
        made["FACESWAP_SIGNING_KEY"], made["FACESWAP_VERIFY_KEY"] = signing_pair()
    if "FACESWAP_WATERMARK_KEY" not in present:
        made["FACESWAP_WATERMARK_KEY"] = secrets.token_urlsafe(32)
    if "FACESWAP_STORE_KEY" not in present:
        made["FACESWAP_STORE_KEY"] = secrets.token_urlsafe(32)
    separator = "" if before.endswith("\n") or not before else "\n"
    added = "".join(f"{name}={value}\n" for name, value in made.items())
    write_whole(file, f"{before}{separator}{added}".encode())


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
    # The certificate last: where it is there, so is its key.
    write_whole(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_whole(certificate_file, certificate.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["signing"]:
            print(*signing_pair())
        case ["secrets", env_file]:
            add_secrets(Path(env_file))
        case ["certificate", certificate, key, *names] if names:
            write_certificate(Path(certificate), Path(key), names)
        case _:
            sys.exit(__doc__)
