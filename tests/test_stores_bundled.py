"""A bundle answers as the log does; what is no bundle is refused by name."""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.stores.bundled import is_bundle, unpacked
from openfeature_gov.stores.logs import opened

PART = '{"user":"u"}'


def bundle(path: Path, *, last: int = 6, **parts: str) -> Path:
    """Write a zip with *parts* in place of those of an empty bundle."""
    whole = {
        "manifest.json": json.dumps(
            {"format": "gov.bundle/1", "firstSeq": 7, "lastSeq": last}
        ),
        "personal.jsonl": "",
        "records.jsonl": "",
        **{name.replace("_", "."): text for name, text in parts.items()},
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in whole.items():
            archive.writestr(name, text)
    return path


def test_records_keep_their_places(tmp_path: Path) -> None:
    """And their personal parts, where these were handed over."""
    digest = {"personalDigest": sha256(PART.encode()).hexdigest()}
    bodies = [
        {"id": f"r{n}", "kind": "mark", "atUs": n, "writer": "w", **digest}
        for n in range(2)
    ]
    path = bundle(
        tmp_path / "some.zip",
        last=8,
        records_jsonl="".join(json.dumps(one) + "\n" for one in bodies),
        personal_jsonl=json.dumps({"id": "r1", "personal": PART}),
    )
    assert is_bundle(path)
    with opened(path) as log:
        first, second = log.recorded("true ORDER BY seq")
    assert (first["seq"], second["seq"]) == (7, 8)
    assert "user" not in first
    assert second["user"] == "u"


RECORD = json.dumps({"id": "r", "kind": "mark", "atUs": 1, "writer": "w"}) + "\n"
BAD = {
    "one record too many": {"records_jsonl": RECORD},
    "one record too few": {
        "manifest_json": '{"format": "gov.bundle/1", "firstSeq": 7, "lastSeq": 7}'
    },
    "a part of nobody": {"personal_jsonl": json.dumps({"id": "r", "personal": PART})},
    "a part of another": {
        "manifest_json": '{"format": "gov.bundle/1", "firstSeq": 7, "lastSeq": 7}',
        "records_jsonl": RECORD,
        "personal_jsonl": json.dumps({"id": "r", "personal": PART}),
    },
    "format": {"manifest_json": '{"format": "other", "firstSeq": 1}'},
    "no manifest": {"manifest_json": "{}"},
    "no json": {"records_jsonl": "{"},
    "no record": {"records_jsonl": "[]"},
    "no part": {"personal_jsonl": "5"},
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_bundle_is_refused(tmp_path: Path, case: str) -> None:
    """Whole, with its name."""
    path = bundle(tmp_path / "bad.zip", last=6, **BAD[case])
    with pytest.raises(RecordStoreError, match=r"bad\.zip"), unpacked(path):
        pass
