"""Signed notes and checkpoints, as C2SP's signed-note and tlog-checkpoint fix them.

A note is text, an empty line, and signature lines. A checkpoint is a note of four
lines: the origin of a log, the number of its records, the Merkle root over them, and
which checkpoint of the log it is, with the hash of the one before. Whoever takes one
away breaks that chain. No I/O; `cryptography` checks Ed25519.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from openfeature_gov.errors import GovernanceError

ED25519 = b"\x01"
MARK = "\u2014 "
"""What a signature line begins with: an em dash and a space."""
MAX_NOTE = 1_000_000
MAX_SIGNATURES = 100
CHAIN = "gov-chain/1"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_NAME = re.compile(r"[^\s+\x00-\x1f]+")


class NoteError(GovernanceError):
    """Report a note, checkpoint or key that is malformed or not signed as demanded."""


class Signer(Protocol):
    """Sign with a key that may live elsewhere, for example in a KMS."""

    vkey: str
    """The verifier key, ``name+hash+key`` as the signed-note format writes it."""

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature, 64 bytes, of *message*."""


class Verifier(NamedTuple):
    """Hold a public key with its name and the four bytes that identify it."""

    name: str
    id: bytes
    public: bytes

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Say whether *signature* is this key's over *message*."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @property
    def vkey(self) -> str:
        """The key as one line of text, to be pinned."""
        key = b64encode(ED25519 + self.public).decode("ascii")
        return f"{self.name}+{self.id.hex()}+{key}"


class Checkpoint(NamedTuple):
    """Say that the log *origin* held *size* records with the Merkle root *root*.

    It is checkpoint *number* of the log, from 1, and follows the one of which `link`
    returned *before*; former releases did not say: 0.
    """

    origin: str
    size: int
    root: bytes
    number: int = 0
    before: str = ""

    def text(self) -> str:
        """Return what is signed."""
        chain = f"{CHAIN} {self.number} {self.before}\n" if self.number else ""
        root = b64encode(self.root).decode("ascii")
        return f"{self.origin}\n{self.size}\n{root}\n{chain}"


def key_id(name: str, public: bytes) -> bytes:
    """Return the id of the Ed25519 key *public* under *name*.

    Raises:
        NoteError: for a name that has no UTF-8 form.

    """
    return sha256(_encoded(name) + b"\n" + ED25519 + public).digest()[:4]


def verifier(name: str, public: bytes) -> Verifier:
    """Return the verifier of the raw Ed25519 key *public* under *name*.

    Raises:
        NoteError: for a name that a note cannot carry, or a key of another length.

    """
    if not _NAME.fullmatch(name):
        raise NoteError(f"key name {name!r}: blanks and + cannot stand in a note")
    if len(public) != 32:
        raise NoteError(f"key {name}: {len(public)} bytes, an Ed25519 key has 32")
    return Verifier(name, key_id(name, public), public)


def parse_vkey(text: str) -> Verifier:
    """Return the verifier that the line *text*, ``name+hash+key``, describes.

    Raises:
        NoteError: when it is no Ed25519 verifier key, or its hash is another key's.

    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise NoteError("a verifier key reads name+hash+key")
    name, hashed, key = parts
    raw = _decoded(key, f"key of {name}")
    if raw[:1] != ED25519:
        raise NoteError(f"key of {name}: not an Ed25519 key")
    made = verifier(name, raw[1:])
    if made.id.hex() != hashed:
        raise NoteError(f"key of {name}: its hash is {made.id.hex()}, not {hashed}")
    return made


def sign(text: str, *signers: Signer) -> str:
    """Return *text* as a note with one signature a signer.

    Raises:
        NoteError: for a text that no note can carry, or a signer's malformed key.

    """
    _check_text(text)
    lines = []
    for one in signers:
        key = parse_vkey(one.vkey)
        signature = b64encode(key.id + one.sign(text.encode())).decode("ascii")
        lines.append(f"{MARK}{key.name} {signature}\n")
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, keys: Iterable[Verifier]) -> str:
    """Return the text of *note* once a key of *keys* has signed it.

    Signatures of unknown keys are passed over; a known key whose signature does not
    verify spoils the note.

    Raises:
        NoteError: for a malformed note, a wrong signature, or none by a known key.

    """
    known = {(key.name, key.id): key for key in keys}
    text, signatures = _parts(note)
    verified = False
    for name, raw in signatures:
        key = known.get((name, raw[:4]))
        if key is None:
            continue
        if not key.verifies(raw[4:], text.encode()):
            raise NoteError(f"the signature of {name} does not verify")
        verified = True
    if not verified:
        names = ", ".join(sorted({f"{n}+{raw[:4].hex()}" for n, raw in signatures}))
        raise NoteError(f"not signed by a pinned key, but by {names}")
    return text


def link(note: str) -> str:
    """Return what the checkpoint behind *note* says of it; empty: it is the first."""
    text, _, _ = note.rpartition("\n\n")
    digest = sha256(f"{text}\n".encode("utf-8", "replace") if note else b"").digest()
    return b64encode(digest).decode("ascii")


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint that the verified *text* of a note states.

    Raises:
        NoteError: when it states none.

    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteError("a checkpoint has three lines or more, none of them empty")
    origin, size, root = lines[:3]
    if not _DECIMAL.fullmatch(size):
        raise NoteError(f"checkpoint of {origin}: size {size[:40]!r}")
    raw = _decoded(root, f"root of {origin}")
    if len(raw) != 32:
        raise NoteError(f"root of {origin}: {len(raw)} bytes, not 32")
    return Checkpoint(origin, int(size), raw, *_chained(lines[3:]))


def _chained(extensions: list[str]) -> tuple[int, str]:
    """Return number and link of the line of *extensions* that says them."""
    for line in extensions:
        mark, _, rest = line.partition(" ")
        if mark == CHAIN:
            number, _, before = rest.partition(" ")
            if not _DECIMAL.fullmatch(number) or len(_decoded(before, CHAIN)) != 32:
                raise NoteError(f"not a place in a chain: {line[:80]!r}")
            return int(number), before
    return 0, ""


def open_checkpoint(note: str, keys: Iterable[Verifier]) -> Checkpoint:
    """Return the checkpoint of *note* once a key of *keys* has signed it.

    Raises:
        NoteError: as `open_note` and `parse_checkpoint` do.

    """
    return parse_checkpoint(open_note(note, keys))


def _parts(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return the text and the signatures of *note*: name, and key id with signature."""
    if len(note) > MAX_NOTE:
        raise NoteError(f"a note of {len(note)} characters")
    text, separator, rest = note.rpartition("\n\n")
    if not separator:
        raise NoteError("a note needs an empty line before its signatures")
    text += "\n"
    _check_text(text)
    lines = rest.split("\n")
    if len(lines) < 2 or lines.pop():
        raise NoteError("a note ends with a signature line and a line break")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"a note with {len(lines)} signatures")
    return text, [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    if not line.startswith(MARK):
        raise NoteError("a signature line begins with an em dash and a space")
    name, _, encoded = line[len(MARK) :].partition(" ")
    if not _NAME.fullmatch(name):
        raise NoteError("a signature line without a key name")
    raw = _decoded(encoded, f"signature of {name}")
    if len(raw) < 5:
        raise NoteError(f"signature of {name}: {len(raw)} bytes")
    return name, raw


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("the text of a note ends with a line break")
    if any(one < " " and one != "\n" for one in text):
        raise NoteError("a control character in the text of a note")
    _encoded(text)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NoteError("text that has no UTF-8 form") from None


def _decoded(text: str, what: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteError(f"{what}: not base64") from None
    # Two spellings of one signature would let a note differ from what was published.
    if b64encode(raw).decode("ascii") != text:
        raise NoteError(f"{what}: not canonical base64")
    return raw
