"""`identities`: list, verify and seal packages, write a consent."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prediction_model.errors import PackageRefused
from prediction_model.identities.package import CARD, IDENTITY_ID, read_package
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.settings import ENV_FILE, ROOT, current, read_env_file, read_key
from prediction_model.studio.enrolment import KINDS, Enrolment
from prediction_model.tokens import CONSENT_AUDIENCE, ISSUER, TokenVerifier

HELP = "list, verify and seal identity packages; write a consent"
DAY_SECONDS = 86_400
LONGEST_DAYS = 3_650
SIGNING_KEY = "FACESWAP_SIGNING_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|verify|seal|consent")
    for name, text in (("list", "every package of a folder"), ("verify", "the same; exit 1 when one is refused")):
        action = actions.add_parser(name, help=text)
        action.add_argument("folder", type=Path, nargs="?", help="folder of packages (default: the gallery)")
    seal = actions.add_parser("seal", help="encrypt the plain packages of enrolled people with FACESWAP_STORE_KEY")
    seal.add_argument("store", nargs="?", help="folder or URL of packages (default: FACESWAP_IDENTITY_STORE)")
    consent = actions.add_parser("consent", help="sign a consent and print it, for `consent` in a package's card")
    consent.add_argument("--identity", required=True, help="the identity's id")
    consent.add_argument("--kind", choices=("self", "release"), required=True)
    consent.add_argument("--subject", required=True, help="who consents")
    consent.add_argument("--document", type=Path, required=True, help="the signed document; its SHA-256 is kept")
    consent.add_argument(
        "--days", type=int, default=365, help=f"how long it holds, 1 to {LONGEST_DAYS} (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when a package is refused or a consent cannot be signed."""
    if arguments.action == "consent":
        return _consent(arguments)
    if arguments.action == "seal":
        return _seal(arguments.store or current().identity_store)
    folder = arguments.folder or current().gallery_folder
    tokens, key = TokenVerifier(current().verify_key), StoreKey.of(current())
    refused = 0
    packages = sorted(path.parent for path in folder.glob(f"*/{CARD}"))
    if not packages:
        print(f"identities: {folder} holds no identity package.", file=sys.stderr)
        return 1
    for path in packages:
        try:
            package = read_package(path, tokens, key)
            print(f"{package.id:<16} {package.kind:<10} {', '.join(package.engines):<20} {package.name}")
        except PackageRefused as error:
            refused += 1
            print(f"identities: {error}", file=sys.stderr)
    return 1 if refused and arguments.action == "verify" else 0


def _seal(store: str) -> int:
    settings = current()
    place = store if "://" in store else str(ROOT / store)
    tokens, key = TokenVerifier(settings.verify_key), StoreKey.of(settings)
    identities = IdentityStore([place], tokens, key=key)
    enrolment = Enrolment(place, settings.gallery_folder, identities, tokens, key)
    enrolment.require_key()
    for package in identities.packages():
        if package.kind in KINDS:
            enrolment.seal(package.id)
            print(f"{package.id:<16} sealed")
    return 0


def _consent(arguments: argparse.Namespace) -> int:
    text = os.environ.get(SIGNING_KEY) or read_env_file(ENV_FILE).get(SIGNING_KEY, "")
    for wrong, sentence in (
        (
            not IDENTITY_ID.fullmatch(arguments.identity),
            f"--identity: expected lower-case letters, digits and hyphens, received {arguments.identity[:64]!r}",
        ),
        (not text, f"{SIGNING_KEY} is neither in the environment nor in .env: run `python3 run.py` once"),
        (not arguments.document.is_file(), f"there is no document {arguments.document}"),
        (not 1 <= arguments.days <= LONGEST_DAYS, f"--days must be 1 to {LONGEST_DAYS}, received {arguments.days}"),
    ):
        if wrong:
            print(f"identities: {sentence}.", file=sys.stderr)
            return 1
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": CONSENT_AUDIENCE,
        "sub": arguments.identity,
        "kind": arguments.kind,
        "subject": arguments.subject,
        "document": hashlib.sha256(arguments.document.read_bytes()).hexdigest(),
        "iat": now,
        "exp": now + arguments.days * DAY_SECONDS,
    }
    token = jwt.encode(claims, Ed25519PrivateKey.from_private_bytes(read_key(SIGNING_KEY, text)), "EdDSA")
    print(token)
    print(f"consent_hash: {hashlib.sha256(token.encode()).hexdigest()}", file=sys.stderr)
    return 0
