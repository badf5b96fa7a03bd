"""A bundle answers as the log does; what is no bundle is refused by name."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.stores.bundled import is_bundle, unpacked
from openfeature_gov.stores.logs import opened
from tests.foreign_log import Log, canonical, event, packed

PART = '{"user":"u"}'


def bundle(path: Path, first: int = 1, **parts: str) -> Path:
    """Write a bundle of two records from *first* on, with *parts* in place of its own.

    The second has a personal part.
    """
    log = Log()
    for number in range(1, first):
        log.add(*event(number, "mark"))
    digest = sha256(PART.encode()).hexdigest()
    log.add(*event(first, "mark"))
    log.add(event(first + 1, "mark", personalDigest=digest)[0], PART.encode())
    log.seal()
    given = {name.replace("_", "."): text.encode() for name, text in parts.items()}
    return packed(path, {**log.parts(first, first + 1), **given})


def test_records_keep_their_places(tmp_path: Path) -> None:
    """And their personal parts, where these were handed over."""
    path = bundle(tmp_path / "some.zip", 7)
    assert is_bundle(path)
    with opened(path) as log:
        first, second = log.recorded("true ORDER BY seq")
    assert (first["seq"], second["seq"]) == (7, 8)
    assert "user" not in first
    assert second["user"] == "u"


def test_what_fails_while_it_is_read_is_no_fault_of_the_bundle(tmp_path: Path) -> None:
    """An error of whoever reads is passed on as it is."""
    path = bundle(tmp_path / "some.zip")
    with pytest.raises(BrokenPipeError), unpacked(path):
        raise BrokenPipeError


def part(**facts: str) -> str:
    """Return a line of the personal parts."""
    return canonical(facts).decode() + "\n"


RECORD = event(1, "mark")[0].decode() + "\n"
THREE = "".join(event(one, "mark")[0].decode() + "\n" for one in (1, 2, 3))
MANIFEST = (
    '{"firstSeq":1,"format":"gov.bundle/1","lastSeq":2,"origin":"gov.example/log",'
    '"size":2}'
)
BAD: dict[str, Any] = {
    "one record too many": {"records_jsonl": THREE, "personal_jsonl": ""},
    "one record twice": {"records_jsonl": RECORD * 2, "personal_jsonl": ""},
    "one record too few": {"records_jsonl": RECORD, "personal_jsonl": ""},
    "a part of nobody": {"personal_jsonl": part(id="r", personal=PART)},
    "a part of another": {"personal_jsonl": part(id="e-1", personal=PART)},
    "a part with more": {"personal_jsonl": part(id="e-2", personal=PART, user="v")},
    "another log": {"manifest_json": MANIFEST.replace("example", "else")},
    "more in the manifest": {"manifest_json": MANIFEST.replace("{", '{"a":1,')},
    "format": {"manifest_json": MANIFEST.replace("bundle/1", "bundle/9")},
    "no manifest": {"manifest_json": "{}"},
    "no json": {"records_jsonl": "{\n"},
    "no record": {"records_jsonl": "[]\n"},
    "no part": {"personal_jsonl": "5\n"},
    "more than its files": {"more": ""},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_bundle_is_refused(tmp_path: Path, case: str) -> None:
    """Whole, with its name."""
    path = bundle(tmp_path / "bad.zip", **BAD[case])
    with pytest.raises(RecordStoreError, match=r"bad\.zip"), unpacked(path):
        pass
