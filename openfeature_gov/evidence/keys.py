"""The signing key of a log: a file that only its owner may read, and its rotation.

The file holds one line, ``PRIVATE+KEY+name+hash+key``, as Go's note package writes it.
A key that lives elsewhere, in a KMS for example, is another `Signer`.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from openfeature_gov.errors import RecordStoreError
from openfeature_gov.evidence.notes import (
    ED25519,
    NoteError,
    Signer,
    Verifier,
    open_note,
    parse_vkey,
    sign,
    verifier,
)

PREFIX = "PRIVATE+KEY"
ROTATION = "gov-key-rotation/2"
_RAW = (
    serialization.Encoding.Raw,
    serialization.PrivateFormat.Raw,
    serialization.NoEncryption(),
)


class FileSigner:
    """Sign with a private key that this process holds in memory."""

    __slots__ = ("_key", "verifier", "vkey")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = verifier(name, key.public_key().public_bytes_raw())
        self.vkey = self.verifier.vkey

    def sign(self, message: bytes) -> bytes:
        """Return the signature of *message*."""
        return self._key.sign(message)

    def secret(self) -> str:
        """Return the line of the key file."""
        raw = b64encode(ED25519 + self._key.private_bytes(*_RAW)).decode("ascii")
        held = self.verifier
        return f"{PREFIX}+{held.name}+{held.id.hex()}+{raw}\n"


def generate(name: str | None = None) -> FileSigner:
    """Return a new key under *name*; a name is made up where none is given."""
    name = name or f"openfeature-gov/{token_hex(8)}"
    return FileSigner(name, Ed25519PrivateKey.generate())


def open_key(path: Path) -> FileSigner:
    """Return the key of the file *path*, which is made on first use.

    Raises:
        RecordStoreError: when others may read the file, or it holds no key.
        OSError: when it can be neither read nor written.

    """
    try:
        return read_key(path)
    except FileNotFoundError:
        store(path, generate(), replace=False)
        return read_key(path)


def read_key(path: Path) -> FileSigner:
    """Return the key of the file *path*.

    Raises:
        RecordStoreError: when others may read the file, or it holds no key.
        OSError: when it cannot be read.

    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
        held = os.fstat(descriptor)
        if stat.S_IMODE(held.st_mode) & 0o077 or held.st_uid != os.geteuid():
            raise RecordStoreError(
                f"{path}: mode {stat.S_IMODE(held.st_mode):04o}, user {held.st_uid}; a "
                "signing key must belong to the user who runs this and be readable by "
                "no other: chmod 600 it, or if others could have read it, replace it"
            )
        line = file.read(4096)
    try:
        return _parsed(line)
    except (ValueError, NoteError):
        raise RecordStoreError(f"{path}: holds no signing key") from None


def _parsed(line: str) -> FileSigner:
    mark, plus, name, hashed, key = line.strip().split("+", 4)
    raw = b64decode(key, validate=True)
    if f"{mark}+{plus}" != PREFIX or raw[:1] != ED25519:
        raise ValueError
    held = FileSigner(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
    if held.verifier.id.hex() != hashed:
        raise ValueError
    return held


def require_key(place: str, *, sealed: bool) -> None:
    """Refuse what the key has to sign where the log is *sealed* with another's.

    Raises:
        RecordStoreError: where it is.

    """
    if sealed:
        raise RecordStoreError(
            f"{place}: is sealed, and its key is not here: name it (--key-file), and"
            " the file of its checkpoints (--checkpoint-file)"
        )


def store(path: Path, key: FileSigner, *, replace: bool) -> None:
    """Write *key* to *path* with owner-only permissions, whole or not at all.

    Without *replace* a key that is there already stays.

    Raises:
        OSError: when it cannot be written.

    """
    fresh = path.with_name(f"{path.name}.{token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(fresh, flags, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(key.secret())
            file.flush()
            os.fsync(descriptor)
        if replace:
            fresh.replace(path)
        else:
            _link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(path)


def _link(fresh: Path, path: Path) -> None:
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        return  # another process was first; its key is the log's


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rotation(old: Signer, new: Signer) -> str:
    """Return the note by which *old* names *new* its successor; both sign it.

    The text names both: a signature of the new key says which one it follows.

    Raises:
        NoteError: when the two keys have different names, or are one.

    """
    before, after = parse_vkey(old.vkey), parse_vkey(new.vkey)
    if before.name != after.name or before.id == after.id:
        raise NoteError(
            f"key {before.name}: the new key needs its name and other bytes"
        )
    text = f"{before.name}\n{ROTATION}\n{old.vkey}\n{new.vkey}\n"
    return sign(text, old, new)


def predecessor(note: str, key: Verifier) -> Verifier:
    """Return the key that *key* follows by the rotation *note*, which both signed.

    Format 1 did not name it, so that anybody could claim to be the one.

    Raises:
        NoteError: when it is no rotation to *key*.

    """
    lines = open_note(note, [key]).split("\n")
    if len(lines) != 5 or lines[1] != ROTATION:
        raise NoteError("not a key rotation that names both keys")
    old, new = parse_vkey(lines[2]), parse_vkey(lines[3])
    if new != key or old == new or {old.name, new.name} != {lines[0]}:
        raise NoteError(f"a rotation from {old.name} to {new.name}")
    open_note(note, [old])
    return old


def lineage(key: Verifier, notes: Iterable[str]) -> list[Verifier]:
    """Return *key* and the keys before it, as rotations among *notes* name them.

    Whoever can insert a note can insert nonsense: that counts for nothing.
    """
    found, told = [key], list(notes)
    for one in found:  # which grows meanwhile
        for note in told:
            with suppress(NoteError):
                old = predecessor(note, one)
                if old not in found:
                    found.append(old)
    return found
