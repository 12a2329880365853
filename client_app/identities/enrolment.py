"""From a picture to an identity, and back to nothing: consent first, then the package, then the log.

`self`: the camera must show the same person, live (`liveness`). `release`: somebody else's signed release, by its hash.
"""

from __future__ import annotations

import json
import random
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from access.limits import limits
from access.models import Limit
from audit.chain import record
from audit.models import AuditEntry
from facedetect import revocations
from facedetect.configuration import Settings
from facedetect.errors import BadRequest, NoSuchEnrolment, PoorPicture, TooManyIdentities, Unavailable
from facedetect.operator import Operator, Refusal
from facedetect.prediction import CONTENT_TYPE, JSON_LENGTH
from facedetect.signing import sign_consent
from facedetect.text import check_text
from identities.encryption import decrypt, encrypt
from identities.inspection import fit_for_enrolment, inspect
from identities.liveness import Challenge, LiveCheck
from identities.models import Consent, Enrolment, Identity, Revocation
from identities.trainings import end_for_revocation
from identities.unfinished import UnfinishedPackages

ENROLMENT_MINUTES = 30
CONSENT_DAYS = 365
MOST_FRAMES = 600
"""Frames of one live check: two minutes at five a second."""
MOST_IDENTITIES = 8
"""Of one visitor, by the cookie; who drops that is still counted by the address (`FACESWAP_ADDRESS_IDENTITIES`)."""
MOST_ENROLMENTS = 50
"""Whose live check is not done yet, of all visitors; each keeps a picture."""
ENDED = gettext_lazy("This enrolment has ended. Start it again.")
SHA256_HEX = re.compile(r"[0-9a-f]{64}")
TERMS = gettext_noop(
    "I am 18 or older. This is my own face. My picture and a descriptor of my face (biometric data, GDPR Article 9) "
    "are used to let me wear this face here, and for nothing else, until I delete it or for one year."
)
"""What a `self` consent's document hash is of; the page shows it."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a signed release says: who, until when, and the hash of the document, which stays with the operator."""

    subject: str
    document: str
    expires: datetime

    @classmethod
    def read(cls, subject: str, document: str, expires: str) -> Release:
        """Raises BadRequest for what a release lacks."""
        subject = subject.strip()
        if not 0 < len(subject) <= 128:
            raise BadRequest(_("Expected the name of the person who signed the release."))
        check_text(subject)
        if not SHA256_HEX.fullmatch(document):
            raise BadRequest(_("Expected the signed release's SHA-256. Choose the signed document."))
        try:
            end = datetime.fromisoformat(expires).replace(tzinfo=UTC)
        except ValueError:
            raise BadRequest(_("Expected the day on which the release ends.")) from None
        if not timezone.now() < end < timezone.now() + timedelta(days=10 * CONSENT_DAYS):
            raise BadRequest(_("Expected a release that ends later than today, and within ten years."))
        return cls(subject, document, end)


class Enroller:
    """Enrols and revokes, with one prediction service."""

    def __init__(self, settings: Settings, operator: Operator) -> None:
        self._settings = settings
        self._operator = operator
        self._unfinished = UnfinishedPackages(settings, operator)

    def start(self, owner: str, address: str, name: str, picture: bytes, media: str) -> Enrolment:
        """A `self` enrolment, in the place of the visitor's last unfinished one; its live check comes next.

        Raises PoorPicture, BadRequest, TooManyIdentities, Unavailable.
        """
        _purge()
        name = _read_name(name)
        _check_room(owner, address)
        face = fit_for_enrolment(inspect(self._operator, picture, media))
        kept, descriptor = encrypt(picture), encrypt(json.dumps(face.descriptor).encode())
        with _one_at_a_time():
            _check_room(owner, address)
            Enrolment.objects.filter(owner=owner).delete()
            if Enrolment.objects.count() >= MOST_ENROLMENTS:
                raise Unavailable(_("Too many people are enrolling. Try again in a few minutes."))
            return Enrolment.objects.create(
                id=secrets.token_hex(16),
                owner=owner,
                address=address,
                name=name,
                picture=kept,
                descriptor=descriptor,
                challenges=" ".join(LiveCheck.make(random.SystemRandom()).challenges),
            )

    def see(self, owner: str, enrolment_id: str, frame: bytes, media: str) -> tuple[LiveCheck, bool, Identity | None]:
        """One frame of the live check: how far it is, whether it was the same person, the identity once all is done."""
        _purge()
        rows = Enrolment.objects.filter(pk=enrolment_id, owner=owner)
        if not rows.exists():  # before anything is looked at
            raise NoSuchEnrolment(ENDED)
        faces = inspect(self._operator, frame, media)
        with transaction.atomic():
            enrolment = rows.select_for_update().defer("picture").first()
            if enrolment is None:
                raise NoSuchEnrolment(ENDED)
            check = LiveCheck(
                [Challenge(word) for word in enrolment.challenges.split()], enrolment.done, enrolment.rested
            )
            same = check.see(faces, json.loads(decrypt(enrolment.descriptor)))
            enrolment.done, enrolment.rested, enrolment.frames = check.done, check.rested, enrolment.frames + 1
            if check.next is not None:
                enrolment.save(update_fields=["done", "rested", "frames"])
                return check, same, None
            picture = decrypt(enrolment.picture)
            rows.delete()  # taken: two frames that arrive at once must not make two identities
        expires = timezone.now() + timedelta(days=CONSENT_DAYS)
        release = Release(enrolment.name, sha256(TERMS.encode()).hexdigest(), expires)
        identity = self._finish(owner, enrolment.address, enrolment.name, "self", picture, release)
        return check, same, identity

    def release(self, owner: str, address: str, name: str, picture: bytes, media: str, release: Release) -> Identity:
        """A `release` enrolment, done at once. Raises PoorPicture, BadRequest, TooManyIdentities, Unavailable."""
        _purge()
        name = _read_name(name)
        _check_room(owner, address)
        fit_for_enrolment(inspect(self._operator, picture, media))
        return self._finish(owner, address, name, "release", picture, release)

    def revoke(self, identity: Identity) -> None:
        """Stop it everywhere and delete all that shows the face. It can be repeated until all of it is gone."""
        self._stop(identity)
        try:
            self._operator.call("DELETE", f"/v1/identities/{identity.pk}")
        except Unavailable:
            self._unfinished.sweep_later()
            raise
        except Refusal as refusal:
            raise Unavailable(str(refusal)) from None
        self._unfinished.end(identity.pk)

    def revoke_expired(self) -> int:
        """Revoke every identity whose consent has ended: nothing of a face is kept longer. How many there were."""
        expired = list(Identity.objects.filter(revoked=None, consent__expires__lt=timezone.now()).defer("portrait"))
        for identity in expired:
            self._stop(identity)
        for identity in expired:
            try:
                self.revoke(identity)
            except Unavailable:
                break  # its package is swept later, and so are the others', which would wait as long for no answer
        return len(expired)

    def _stop(self, identity: Identity) -> None:
        """Let nobody wear it any more, and keep nothing of it here; its package is on the list of what is to go."""
        if identity.revoked is None:
            with transaction.atomic():
                identity.revoked, identity.name, identity.portrait, identity.address = timezone.now(), "", b"", ""
                identity.save(update_fields=["revoked", "name", "portrait", "address"])
                end_for_revocation(identity)
                revocations.revoke(Revocation.Kind.IDENTITY, identity.pk)
                self._unfinished.begin(identity.pk)

    def _finish(self, owner: str, address: str, name: str, kind: str, picture: bytes, release: Release) -> Identity:
        """Package and rows, or neither: what the log or the database refuses is taken back from the service, and so is
        what it makes when nobody waits for it any more."""
        self._unfinished.sweep()
        self.revoke_expired()
        id_ = f"u-{secrets.token_hex(6)}"
        ends = int(release.expires.timestamp())
        token = sign_consent(self._settings, id_, kind, release.subject, release.document, ends)
        hash_ = sha256(token.encode()).hexdigest()
        card = json.dumps({"name": name, "kind": kind, "consent": token}).encode()
        portrait = encrypt(picture)
        self._unfinished.begin(id_)
        try:
            made = self._operator.call(
                "PUT", f"/v1/identities/{id_}", JSON_LENGTH.pack(len(card)) + card + picture, CONTENT_TYPE
            )
        except Refusal as refusal:
            self._unfinished.end(id_)
            raise PoorPicture(str(refusal)) from None
        except Unavailable:
            self._unfinished.sweep_later()
            raise
        try:
            with _one_at_a_time():
                _check_room(owner, address, also_begun=False)
                engines = " ".join(map(str, made.get("engines", ["photo"])))
                consent = Consent.objects.create(
                    subject=release.subject,
                    document=release.document,
                    token=token,
                    hash=hash_,
                    expires=release.expires,
                )
                identity = Identity.objects.create(
                    id=id_,
                    owner=owner,
                    address=address,
                    name=name,
                    kind=kind,
                    engines=engines,
                    consent=consent,
                    portrait=portrait,
                )
                record(AuditEntry.Event.IDENTITY_ENROLLED, identity=id_, consent_hash=hash_, details={"kind": kind})
                self._unfinished.end(id_)
            return identity
        except Exception:
            with suppress(Refusal, Unavailable, DatabaseError):  # else it is swept later
                self._operator.call("DELETE", f"/v1/identities/{id_}")
                self._unfinished.end(id_)
            raise


def _read_name(name: str) -> str:
    """Raises BadRequest for what is no name."""
    name = name.strip()
    if not 0 < len(name) <= 64:
        raise BadRequest(_("Expected a name of 1 to 64 characters."))
    check_text(name)
    return name


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """A transaction in which nobody else adds a face: what is counted in it stays so.

    On PostgreSQL those who come together wait for the limit's row; on SQLite any transaction waits for the one before.
    """
    with transaction.atomic():
        Limit.objects.select_for_update().filter(pk=Limit.Name.ADDRESS_IDENTITIES).first()
        yield


def _check_room(owner: str, address: str, also_begun: bool = True) -> None:
    """Raises TooManyIdentities where one more face may not be enrolled.

    Of an address those that are being enrolled count as well (`also_begun`), so that none of them comes in vain.
    """
    if Identity.objects.filter(owner=owner, revoked=None).count() >= MOST_IDENTITIES:
        raise TooManyIdentities(_("You have as many faces as one visitor may have. Delete one first."))
    if address:
        taken = Identity.objects.filter(address=address, revoked=None).count()
        if also_begun:
            taken += Enrolment.objects.filter(address=address).exclude(owner=owner).count()
        if taken >= limits()["address_identities"]:
            raise TooManyIdentities(
                _("Your address has as many faces as one address may have. Delete one first, or ask the operator.")
            )


def _purge() -> None:
    """Delete enrolments that nobody finished, or not within `MOST_FRAMES`."""
    begun = timezone.now() - timedelta(minutes=ENROLMENT_MINUTES)
    Enrolment.objects.filter(Q(created__lt=begun) | Q(frames__gte=MOST_FRAMES)).delete()
