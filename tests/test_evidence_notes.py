"""Signed notes and checkpoints: C2SP's vectors, and whatever is not one is refused."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from openfeature_gov.evidence.keys import FileSigner, generate
from openfeature_gov.evidence.notes import (
    MAX_SIGNATURES,
    Checkpoint,
    NoteError,
    Verifier,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_vkey,
    sign,
    verifier,
)

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
GOLDEN = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1"
    "Yu72IneyaQM=\n"
)
KEY = FileSigner("log.example/a", Ed25519PrivateKey.from_private_bytes(b"k" * 32))
OTHER = FileSigner("log.example/b", Ed25519PrivateKey.from_private_bytes(b"o" * 32))
NAMESAKE = FileSigner("log.example/a", Ed25519PrivateKey.from_private_bytes(b"n" * 32))
MADE = Checkpoint("log.example/a/1", 7, bytes(range(32)))
NOTE = sign(MADE.text(), KEY)
ROOT = b64encode(bytes(32)).decode()
texts = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32), min_size=1)


def test_golden_note_verifies() -> None:
    """The example of the format's authors verifies under its key."""
    key = parse_vkey(VKEY)
    assert (key.name, key.id.hex(), key.vkey) == ("example.com/foo", "530d903a", VKEY)
    assert open_note(GOLDEN, [key]) == "This is an example message.\n"


def test_checkpoint_round_trips() -> None:
    """What was signed comes back: origin, size and root."""
    assert open_checkpoint(NOTE, [KEY.verifier]) == MADE
    lines = NOTE.split("\n")
    assert lines[:2] == ["log.example/a/1", "7"]
    assert lines[4].startswith("\u2014 log.example/a ")


def test_any_changed_character_is_refused() -> None:
    """Each character of a note that is another, missing or doubled spoils it."""
    for at, one in enumerate(NOTE):
        other = "x" if one != "x" else "y"
        for changed in (other, "", one + one):
            with pytest.raises(NoteError):
                open_checkpoint(NOTE[:at] + changed + NOTE[at + 1 :], [KEY.verifier])


def test_only_pinned_keys_count() -> None:
    """Unknown signatures are passed over; without a known one the note is refused."""
    both = sign(MADE.text(), OTHER, KEY)
    for keys in ([KEY.verifier], [OTHER.verifier], [OTHER.verifier, KEY.verifier]):
        assert open_checkpoint(both, keys) == MADE
    pinned: list[list[Verifier]] = [[], [generate().verifier], [NAMESAKE.verifier]]
    for keys in pinned:
        with pytest.raises(NoteError, match="not signed by a pinned key"):
            open_checkpoint(both, keys)


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    """A second, good signature does not make up for a bad one."""
    both = sign(MADE.text(), OTHER, KEY)
    raw = OTHER.verifier.id + bytes(64)
    forged = f"\u2014 {OTHER.verifier.name} {b64encode(raw).decode()}\n"
    parts = both.splitlines(keepends=True)
    assert parts[4].startswith("\u2014 log.example/b ")
    note = "".join([*parts[:4], forged, *parts[5:]])
    assert open_checkpoint(note, [KEY.verifier]) == MADE
    with pytest.raises(NoteError, match=r"log\.example/b does not verify"):
        open_checkpoint(note, [KEY.verifier, OTHER.verifier])


def test_sixteen_signatures_are_accepted_and_a_flood_is_not() -> None:
    """The cap on signatures is above what the format demands."""
    line = NOTE.splitlines(keepends=True)[-1]
    assert open_checkpoint(NOTE + line * 15, [KEY.verifier]) == MADE
    with pytest.raises(NoteError, match="101 signatures"):
        open_checkpoint(NOTE + line * MAX_SIGNATURES, [KEY.verifier])


def test_signature_has_one_spelling() -> None:
    """Base64 of other letters for the same bytes would make two notes of one."""
    other = GOLDEN.replace("eyaQM=", "eyaQN=")
    assert other != GOLDEN
    with pytest.raises(NoteError, match="canonical"):
        open_note(other, [parse_vkey(VKEY)])


def test_huge_note_is_refused_unread() -> None:
    """A note of more than a million characters is none, signed or not."""
    with pytest.raises(NoteError, match="a note of 1000"):
        open_note(sign("x" * 1_000_000 + "\n", KEY), [KEY.verifier])


def test_text_ends_at_the_last_empty_line() -> None:
    """A text with empty lines of its own is signed and returned whole."""
    text = "one\n\ntwo\n"
    assert open_note(sign(text, KEY), [KEY.verifier]) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no line break",
        "a\tcontrol character\n",
        "nul \x00\n",
        "carriage return\r\n",
        "surrogate \ud800\n",
    ],
)
def test_what_no_note_can_carry_is_not_signed(text: str) -> None:
    """Control characters and text without a UTF-8 form have no signature."""
    with pytest.raises(NoteError):
        sign(text, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "origin\n7\n",
        f"origin\n07\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n\u0667\n{ROOT}\n",
        f"origin\n7.0\n{ROOT}\n",
        f"origin\n{'9' * 20}\n{ROOT}\n",
        f"origin\n\n{ROOT}\n",
        "origin\n7\nAAAA\n",
        "origin\n7\nnot base64\n",
        f"\n7\n{ROOT}\n",
        f"origin\n7\n{ROOT}\n\n",
        f"origin\n7\n{ROOT}",
        f"origin\n7\n{b64encode(bytes(33)).decode()}\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    """Sizes, roots and lines have one spelling each."""
    with pytest.raises(NoteError):
        parse_checkpoint(text)


def test_extension_lines_are_passed_over() -> None:
    """A later format may add lines; the first three stay what they are."""
    assert parse_checkpoint(MADE.text() + "extension\n") == MADE


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "name",
        "name+00000000",
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("example.com/foo", "example.com/fool"),
        VKEY[:-1] + "l",
        VKEY.replace("+Aeky", "+Beky"),
        VKEY[:-4],
        "na me" + VKEY[15:],
        "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ],
)
def test_malformed_keys_are_refused(vkey: str) -> None:
    """A key whose hash, type, length or name is off is none."""
    with pytest.raises(NoteError):
        parse_vkey(vkey)


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "tab\t", "\u2003"])
def test_names_that_no_note_can_carry_are_refused(name: str) -> None:
    """A key's name stands between a dash and a blank."""
    with pytest.raises(NoteError, match="key name"):
        verifier(name, bytes(32))


@given(st.text(max_size=300))
def test_hostile_notes_are_refused(note: str) -> None:
    """Whatever text comes, the one error comes back."""
    with pytest.raises(NoteError):
        open_checkpoint(note, [KEY.verifier])


@given(
    st.lists(st.sampled_from(["\n", "\u2014 ", "a", "+", "AAAA", " ", "7", "\ud800"]))
)
def test_almost_notes_are_refused(parts: list[str]) -> None:
    """Text of a note's own pieces is refused the same way, and so as key or text."""
    joined = "".join(parts)
    for read in (parse_vkey, parse_checkpoint):
        with pytest.raises(NoteError):
            read(joined)
    with pytest.raises(NoteError):
        open_note(joined, [KEY.verifier])


@given(texts, st.integers(0, 10**18), st.binary(min_size=32, max_size=32))
def test_every_checkpoint_comes_back(origin: str, size: int, root: bytes) -> None:
    """Signing loses nothing, for any origin on one line."""
    made = Checkpoint(origin, size, root)
    assert open_checkpoint(sign(made.text(), KEY, OTHER), [OTHER.verifier]) == made


@given(st.integers(0, len(NOTE)), st.integers(0, len(NOTE)))
def test_cut_notes_are_refused(one: int, two: int) -> None:
    """No piece of a note is a note."""
    for start, end in pairwise(sorted({0, one, two, len(NOTE)})):
        if (start, end) != (0, len(NOTE)):
            with pytest.raises(NoteError):
                open_checkpoint(NOTE[start:end], [KEY.verifier])
