"""What a file's signature and watermark mean, in words, and no more than they mean."""

from __future__ import annotations

from typing import Literal

from django.utils.translation import gettext as _

from exports.marks import Marks
from exports.provenance import Provenance

Verdict = Literal["modified", "changed", "unknown"]


def verdict(provenance: Provenance | None, marks: Marks | None) -> Verdict:
    """`modified`: known to show a swapped face; `changed`: its signature is broken; `unknown`: nothing was found."""
    if provenance and provenance.state == "invalid":
        return "changed"
    if (marks and marks.sessions) or (provenance and provenance.ai_made):
        return "modified"
    return "unknown"


def sentences(provenance: Provenance | None, marks: Marks | None) -> list[str]:
    """The findings, the signature's first."""
    return [*_of_signature(provenance), *_of_watermark(provenance, marks)]


def _of_signature(provenance: Provenance | None) -> list[str]:
    if provenance is None:
        return [
            _("It carries no signed metadata. Many websites and messengers remove it, so that alone means nothing.")
        ]
    if provenance.state == "invalid":
        return [_("Its signature is broken: the file was changed after it was signed.")]
    said = {
        "trusted": _("It was signed by this server and has not been changed since."),
        "valid": _("It was signed by “%(signer)s”, which this server does not know, and has not been changed since.")
        % {"signer": provenance.signer},
    }[provenance.state]
    if provenance.ai_made:
        return [said, _("Its signed metadata declares that a trained AI model made part of it.")]
    return [said]


def _of_watermark(provenance: Provenance | None, marks: Marks | None) -> list[str]:
    if marks is None:
        return [_("The watermark could not be read now. Try again in a moment.")]
    if not marks.sessions:
        return [
            _(
                "No watermark of this server was found. That does not prove the file is genuine: cropping, turning or "
                "mirroring removes the watermark, and other tools put none."
            )
        ]
    said = [
        _("It carries this server's watermark: the face in it was swapped here, in session %(session)s.")
        % {"session": ", ".join(marks.sessions)}
    ]
    if provenance and provenance.session and not marks.belong_to(provenance.session):
        said.append(
            _("The signature and the watermark name different sessions: one of them was not made for this file.")
        )
    return said
