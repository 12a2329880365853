"""`export-package`: a model folder to upload: identity packages, checked before and after they are copied."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from prediction_model.errors import PackageRefused
from prediction_model.identities.package import CARD, IdentityPackage, read_package
from prediction_model.identities.sealing import StoreKey
from prediction_model.identities.store import IdentityStore
from prediction_model.settings import ROOT, current
from prediction_model.tokens import TokenVerifier

HELP = (
    "make a model folder: what from_path, AIP_STORAGE_URI and --model-dir take; enrolled people's files stay encrypted "
    "in it, and who serves them needs the same FACESWAP_STORE_KEY"
)
USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument(
        "--identity",
        action="append",
        required=True,
        metavar="ID",
        help="an identity of the gallery or of the store; repeat it for several",
    )
    parser.add_argument("target", metavar="OUT", type=Path, help="folder to make; it must be empty or not there")
    parser.add_argument("--model-dir", type=Path, help="folder of identity packages (default: the gallery)")


def run(arguments: argparse.Namespace) -> int:
    """Make it; 0 when OUT is whole, 1 when a package is unknown or refused, 2 for wrong use."""
    target: Path = arguments.target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        print(f"export-package: {target} is there already and not an empty folder: name another.", file=sys.stderr)
        return USAGE
    settings = current()
    tokens, key = TokenVerifier(settings.verify_key), StoreKey.of(settings)
    enrolled = settings.identity_store
    places: list[str | Path] = [arguments.model_dir or settings.gallery_folder]
    places.append(enrolled if "://" in enrolled else ROOT / enrolled)
    store = IdentityStore(places, tokens, key=key)
    packages = [store.get(identity) for identity in dict.fromkeys(arguments.identity)]
    target.mkdir(parents=True, exist_ok=True)
    for package in packages:
        copied = copy_package(package, target, tokens, key)
        print(f"{copied.id:<16} {copied.kind:<10} {', '.join(copied.engines):<20} {copied.name}")
    return 0


def copy_package(
    package: IdentityPackage, target: Path, tokens: TokenVerifier, key: StoreKey | None
) -> IdentityPackage:
    """Copy `package` into the folder `target`, the files its card lists, as they are stored, and no other; the copy.

    Raises:
        PackageRefused: the copy does not hold: a file changed meanwhile.
    """
    folder = target / package.id
    folder.mkdir()
    try:
        for name in (CARD, *package.card["files"]):
            shutil.copyfile(package.folder / name, folder / name)
        return read_package(folder, tokens, key)
    except (OSError, PackageRefused):
        shutil.rmtree(folder, ignore_errors=True)
        raise
