"""Signed metadata of a picture or a film, by the C2PA specification (https://spec.c2pa.org), in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import c2pa  # type: ignore[import-untyped]
from django.utils.translation import gettext_lazy as _

from exports.certificate import SigningIdentity
from facedetect.errors import UnsupportedFile

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
SOFTWARE = {"name": "Face swap, live", "version": "0.1.0"}
ACTIONS = "c2pa.actions.v2"
SESSION_ASSERTION = "live.faceswap.session"
MEDIA_TYPES = {"image/jpeg": "jpg", "image/png": "png", "video/mp4": "mp4"}
"""What can be signed, and the name's ending. WebM cannot carry a signature."""
MOST_IDENTITIES = 32
"""Named in one file: a film may change them."""
SIGNATURES = {"image/jpeg": (0, b"\xff\xd8\xff"), "image/png": (0, b"\x89PNG\r\n\x1a\n"), "video/mp4": (4, b"ftyp")}

# Nothing is fetched for a file that somebody hands in; no thumbnail: it would be a second, unlabelled copy.
OFFLINE = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a file's signed metadata says."""

    state: str
    """`trusted`: signed here and unchanged; `valid`: unchanged, the signer is not known here; `invalid`: changed."""
    signer: str
    """The organisation that the signer's certificate names; it proves no more than the certificate does."""
    ai_made: bool
    """Whether it declares that a trained model made part of it."""
    session: str
    """The session's id where this project made the file, else ""."""
    identities: tuple[str, ...]
    """Whose faces it says were put on."""
    failures: tuple[str, ...]
    """C2PA's codes of what does not hold."""


def media_type(data: bytes) -> str:
    """`image/jpeg`, `image/png` or `video/mp4`, by the file's own first bytes. Raises UnsupportedFile."""
    for name, (offset, magic) in SIGNATURES.items():
        if data[offset : offset + len(magic)] == magic:
            return name
    raise UnsupportedFile(_("Expected a JPEG or PNG picture or an MP4 film; this file is none of them."))


def sign(data: bytes, media: str, signer: SigningIdentity, session: str, identities: Mapping[str, str]) -> bytes:
    """`data` with a manifest that names the model's part, the session and `identities`: id → its consent's hash.

    Raises UnsupportedFile where `data` is not a whole `media` file.
    """
    manifest = {
        "claim_generator_info": [SOFTWARE],
        "title": f"AI MODIFIED {session[:8]}.{MEDIA_TYPES[media]}",
        "format": media,
        "assertions": [
            {
                "label": ACTIONS,
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.created",
                            "digitalSourceType": SOURCE_TYPE,
                            "softwareAgent": SOFTWARE,
                            "description": "A face was replaced by a trained model, in real time.",
                        }
                    ]
                },
            },
            {
                "label": SESSION_ASSERTION,
                "data": {"session": session, "identities": dict(identities)},
            },
        ],
    }
    info = c2pa.C2paSignerInfo(b"es256", signer.chain, signer.key, None)
    signed = io.BytesIO()
    try:
        with (
            c2pa.Signer.from_info(info) as pen,
            c2pa.Context(c2pa.Settings.from_dict(_settings(signer))) as context,
            c2pa.Builder(json.dumps(manifest), context) as builder,
        ):
            builder.sign(pen, media, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise UnsupportedFile(_("This file cannot be signed: it is damaged.")) from error
    return signed.getvalue()


def read(data: bytes, media: str, signer: SigningIdentity) -> Provenance | None:
    """What the signed metadata of `data` says, or None where it has none. Raises UnsupportedFile for a damaged file."""
    try:
        with (
            c2pa.Context(c2pa.Settings.from_dict(_settings(signer))) as context,
            c2pa.Reader(media, io.BytesIO(data), context=context) as reader,
        ):
            store = json.loads(reader.json())
            state = str(reader.get_validation_state() or "").lower()
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        raise UnsupportedFile(_("The signed metadata of this file cannot be read: it is damaged.")) from error
    return _provenance(store, state)


def _settings(signer: SigningIdentity) -> dict[str, Any]:
    return {**OFFLINE, "trust": {"user_anchors": signer.root}}


def _provenance(store: dict[str, Any], state: str) -> Provenance:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    assertions = {each.get("label"): each.get("data") or {} for each in manifest.get("assertions", ())}
    actions = assertions.get(ACTIONS, {}).get("actions") or []
    session = assertions.get(SESSION_ASSERTION, {})
    identities = session.get("identities")
    identities = identities if isinstance(identities, dict) else {}
    results = store.get("validation_results", {}).get("activeManifest", {})
    return Provenance(
        state=state if state in ("trusted", "valid") else "invalid",
        signer=str((manifest.get("signature_info") or {}).get("issuer") or "")[:200],
        ai_made=any(str(each.get("digitalSourceType")).lower().endswith("trainedalgorithmicmedia") for each in actions),
        session=str(session.get("session") or "")[:32],
        identities=tuple(str(each)[:64] for each in list(identities)[:MOST_IDENTITIES]),
        failures=tuple(str(each.get("code")) for each in results.get("failure", ()))[:8],
    )
