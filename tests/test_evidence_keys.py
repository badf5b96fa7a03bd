"""The signing key: made once, for its owner's eyes only, and handed on by a record."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import keys
from openfeature_gov.evidence.keys import (
    FileSigner,
    generate,
    lineage,
    open_key,
    predecessor,
    read_key,
    rotation,
)
from openfeature_gov.evidence.notes import NoteError, open_note, parse_vkey, sign


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.key"


def test_key_is_made_on_first_use_and_stays(path: Path) -> None:
    """The second use reads the first one's key, which only the owner may read."""
    first, second = open_key(path), open_key(path)
    assert first.vkey == second.vkey
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["log.key"]
    note = sign("text\n", second)
    assert open_note(note, [parse_vkey(first.vkey)]) == "text\n"


def test_first_use_by_many_at_once_makes_one_key(path: Path) -> None:
    """Whoever comes at the same moment gets the same key."""
    found: list[str] = []
    together = threading.Barrier(8)

    def use() -> None:
        together.wait()
        found.append(open_key(path).vkey)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_key_that_others_could_read_is_refused(path: Path, mode: int) -> None:
    """Any right of group or others is one too many, and the error says what to do."""
    open_key(path)
    path.chmod(mode)
    with pytest.raises(RecordStoreError, match=f"mode {mode:04o}.*chmod 600"):
        open_key(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_of_another_user_is_refused(path: Path) -> None:
    """A key that someone else owns is not ours to trust."""
    open_key(path)
    os.chown(path, 12345, -1)
    with pytest.raises(RecordStoreError, match="user 12345"):
        open_key(path)


def test_key_behind_a_link_is_refused(path: Path) -> None:
    """A link could lead to a key of someone else's choice."""
    other = path.with_name("other")
    open_key(other)
    path.symlink_to(other)
    with pytest.raises(OSError, match=r"log\.key"):
        open_key(path)


@pytest.mark.parametrize("alter", [b"", b"x", b"PRIVATE+KEY+a+b+c\n"])
def test_file_that_holds_no_key_is_refused(path: Path, alter: bytes) -> None:
    """The error names the file and nothing of what is in it."""
    path.write_bytes(alter)
    path.chmod(0o600)
    with pytest.raises(RecordStoreError) as caught:
        open_key(path)
    assert str(caught.value) == f"{path}: holds no signing key"
    assert caught.value.__cause__ is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 120), byte=st.integers(0, 255))
def test_altered_key_files_are_refused_or_the_same(
    path: Path, at: int, byte: int
) -> None:
    """No single byte turns a key into another one."""
    made = FileSigner("log.example/a", KEY)
    line = bytearray(made.secret().encode())
    line[at % len(line)] = byte
    path.write_bytes(line)
    path.chmod(0o600)
    try:
        found = read_key(path)
    except RecordStoreError:
        return
    assert found.vkey == made.vkey


KEY = generate()._key


def test_no_secret_shows(path: Path) -> None:
    """Neither the text of a signer nor an error holds the private key."""
    made = open_key(path)
    secret = made.secret().split("+", 4)[-1].strip()
    assert secret not in repr(made) + str(made) + str(vars(keys))
    path.write_text(made.secret().replace("PRIVATE", "PUBLIC"))
    with pytest.raises(RecordStoreError) as caught:
        read_key(path)
    assert secret not in str(caught.value)


def test_new_key_replaces_the_old_one_whole(path: Path) -> None:
    """After a rotation the file holds the new key, with the same rights."""
    old = open_key(path)
    new = generate(old.verifier.name)
    keys.store(path, new, replace=True)
    assert read_key(path).vkey == new.vkey
    assert path.stat().st_mode & 0o777 == 0o600
    keys.store(path, old, replace=False)
    assert read_key(path).vkey == new.vkey


def test_both_keys_name_each_other() -> None:
    """A rotation is signed by both keys; the old one is known from the new one."""
    old, new = generate("log.example/a"), generate("log.example/a")
    note = rotation(old, new)
    assert predecessor(note, new.verifier) == old.verifier
    for stranger in (old, generate("log.example/a")):
        with pytest.raises(NoteError, match=r"pinned|from"):
            predecessor(note, stranger.verifier)


def test_rotation_that_is_not_one_is_refused() -> None:
    """Another name, the same key, another note, or no consent of either key."""
    old, new = generate("log.example/a"), generate("log.example/a")
    with pytest.raises(NoteError, match="name"):
        rotation(old, generate("log.example/b"))
    with pytest.raises(NoteError, match="other bytes"):
        rotation(old, old)
    with pytest.raises(NoteError, match="not a key rotation"):
        predecessor(sign("a\nb\nc\n", new), new.verifier)
    text = rotation(old, new).partition("\n\n")[0] + "\n"
    with pytest.raises(NoteError, match="not a key rotation"):
        predecessor(sign(text.replace("rotation", "x"), old, new), new.verifier)
    for alone in (old, new):
        with pytest.raises(NoteError, match="pinned"):
            predecessor(sign(text, alone), new.verifier)
    other = text.replace("log.example/a\n", "log.example/b\n", 1)
    with pytest.raises(NoteError, match="a rotation from"):
        predecessor(sign(other, old, new), new.verifier)


def test_nobody_can_take_the_place_of_the_old_key() -> None:
    """A text that does not name the old key is no rotation: any key could sign it."""
    old, new, thief = (generate("log.example/a") for _ in range(3))
    text = f"log.example/a\ngov-key-rotation/1\n{new.vkey}\n"
    with pytest.raises(NoteError, match="names both"):
        predecessor(sign(text, thief, new), new.verifier)
    genuine = rotation(old, new)
    swapped = genuine.replace(old.vkey, thief.vkey)
    with pytest.raises(NoteError, match="does not verify"):
        predecessor(swapped, new.verifier)
    forged = sign(text, thief, new)
    assert lineage(new.verifier, [forged, swapped]) == [new.verifier]


def test_lineage_goes_back_to_the_first_key() -> None:
    """In whatever order rotations are told, and with nonsense among them."""
    held = [generate("log.example/a") for _ in range(4)]
    told = [rotation(old, new) for old, new in pairwise(held)]
    found = lineage(held[-1].verifier, ["x", *told, "y", told[0]])
    assert found == [one.verifier for one in reversed(held)]
    assert lineage(held[0].verifier, told) == [held[0].verifier]
