"""The verifier and bundles: five files in an archive, and nothing beside them."""

from __future__ import annotations

import json
import struct
import zipfile
from base64 import b64encode
from pathlib import Path

import pytest

from tests.foreign_log import Log, canonical, codes, decision, event, packed, verified


def test_a_bundle_ends_at_its_last_checkpoint(tmp_path: Path) -> None:
    """Records that nothing protects may not be slipped in behind it."""
    log = Log(9)
    parts = log.parts(1, 9)
    parts["records.jsonl"] += decision(10)[0] + b"\n"
    more = canonical({"id": "d-10", "personal": decision(10)[1].decode()})
    parts["personal.jsonl"] += more + b"\n"
    report = verified(log, packed(tmp_path / "b.zip", parts))
    assert (codes(report), report.unsealed) == (["unsealed"], 1)


def test_bombs_are_refused(tmp_path: Path) -> None:
    """Archives that would not end, in files, in size or in names."""
    log = Log(3)
    parts = log.parts(1, 3)
    bomb = packed(tmp_path / "a.zip", {**parts, "records.jsonl": b" " * 50_000_000})
    assert codes(verified(log, bomb)) == ["bundle"]
    many = packed(tmp_path / "g.zip", {**parts, "records.jsonl": b"{}\n" * 3_000_000})
    (found,) = verified(log, many).findings
    assert "expand" in found.what
    more = packed(tmp_path / "b.zip", {**parts, "more.txt": b""})
    assert codes(verified(log, more)) == ["bundle"]
    fewer = packed(tmp_path / "c.zip", dict(list(parts.items())[1:]))
    assert codes(verified(log, fewer)) == ["bundle"]
    parted = dict(list(parts.items())[1:])
    double = packed(tmp_path / "d.zip", {**parted, "Records.jsonl": b""}).read_bytes()
    (tmp_path / "d.zip").write_bytes(double.replace(b"Records", b"records"))
    assert codes(verified(log, tmp_path / "d.zip")) == ["bundle"]
    long = packed(tmp_path / "e.zip", {**parts, "manifest.json": b" " * 70_000})
    assert codes(verified(log, long)) == ["bundle"]
    tail = packed(tmp_path / "f.zip", parts).read_bytes() + b"x" * 50
    (tmp_path / "f.zip").write_bytes(tail)
    assert codes(verified(log, tmp_path / "f.zip")) == ["bundle"]


def test_a_bundle_of_a_first_release_holds_no_rotations(tmp_path: Path) -> None:
    """It verifies as one that says that there are none."""
    log = Log(6)
    parts = log.parts(2, 5)
    assert "rotations" not in json.loads(parts["manifest.json"])
    assert codes(verified(log, packed(tmp_path / "a.zip", parts))) == []
    said = {**json.loads(parts["manifest.json"]), "rotations": []}
    parts["manifest.json"] = canonical(said)
    assert codes(verified(log, packed(tmp_path / "b.zip", parts))) == []


UNSIGNED = event(7, "key_rotation", note="x", old="y")[0].decode()
NEW_KEY = b',"rotations":' + canonical([UNSIGNED]) + b',"size"'
INVENTED = {
    "another log": ("manifest.json", b'"gov.example/log"', b'"gov.example/other"'),
    "another first": ("manifest.json", b'"firstSeq":2', b'"firstSeq":9000'),
    "true for one": ("manifest.json", b'"firstSeq":1', b'"firstSeq":true'),
    "another last": ("manifest.json", b'"lastSeq":5', b'"lastSeq":-1'),
    "another size": ("manifest.json", b'"size":6', b'"size":7'),
    "a size that is no integer": ("manifest.json", b'"size":6', b'"size":6.0'),
    "a sentence": ("manifest.json", b'{"', b'{"a":"none was denied","'),
    "the size twice": ("manifest.json", b'"size"', b'"size":9,"size"'),
    "a space": ("manifest.json", b'{"', b'{ "'),
    "a new key": ("manifest.json", b',"size"', NEW_KEY),
    "a text for a new key": ("manifest.json", b',"size"', b',"rotations":["a"],"size"'),
    "a word for new keys": ("manifest.json", b',"size"', b',"rotations":"a","size"'),
    "a name in the cover": ("cover.json", b'{"', b'{"a":"none was denied","'),
    "the cover twice": ("cover.json", b'{"', b'{"left":[["record","x"]],"'),
    "a cover that ends with a line": ("cover.json", b"]}", b"]}\n"),
    "a level that is true": ("cover.json", b"[0,", b"[false,"),
    "a part twice": ("personal.jsonl", b'"personal"', b'"personal":"x","personal"'),
    "a part with more": ("personal.jsonl", b'"}\n', b'","user":"framed"}\n'),
    "a part with a space": ("personal.jsonl", b'"}\n', b'"} \n'),
    "a part in escapes": ("personal.jsonl", b'"id":"d', b'"id":"\\u0064'),
}


@pytest.mark.parametrize("case", INVENTED)
def test_nobody_reads_in_a_bundle_what_nothing_vouches_for(
    tmp_path: Path, case: str
) -> None:
    """Each file is what an exporter writes for these records, byte for byte."""
    name, said, instead = INVENTED[case]
    log = Log(6)
    first = 1 if case == "true for one" else 2
    parts = log.parts(first, 5)
    true = parts[name]
    parts[name] = true.replace(said, instead, 1)
    assert parts[name] != true
    assert codes(verified(log, packed(tmp_path / "b.zip", parts)))


def reshaped(data: bytes, how: str) -> bytes:
    """Return the archive *data* with something beside its five files."""
    inside = data.index(b"PK\3\4", 1)
    directory = data.index(b"PK\1\2")
    forged = {
        "before": data + data,
        "between": data[:inside] + b"forged" + data[inside:],
        "behind the files": data[:directory] + b"forged" + data[directory:],
        "behind": data + b"forged",
        "comment": data[:-2] + b"\6\0forged",
        "local name": data.replace(b"records.jsonl", b"Records.jsonl", 1),
        "local size": data[:22] + b"\0\0\0\0" + data[26:],
        "local checksum": data[:14] + b"\0\0\0\0" + data[18:],
        "local flags": data[:6] + b"\0\10" + data[8:],
    }[how]
    if how in ("between", "behind the files"):  # with offsets that fit
        grown, end = bytearray(forged), len(forged) - 22
        at = directory + 6
        struct.pack_into("<L", grown, end + 16, at)
        while how == "between" and (at := grown.find(b"PK\1\2", at + 1)) > 0:
            (offset,) = struct.unpack_from("<L", grown, at + 42)
            struct.pack_into("<L", grown, at + 42, offset + 6)
        forged = bytes(grown)
    return forged


@pytest.mark.parametrize(
    "how",
    [
        *("before", "between", "behind the files", "behind", "comment"),
        *("local name", "local size", "local checksum", "local flags"),
    ],
)
def test_an_archive_holds_its_five_files_and_nothing_else(
    tmp_path: Path, how: str
) -> None:
    """Whoever reads it from its beginning reads what was verified."""
    log = Log(6)
    bundle = packed(tmp_path / "b.zip", log.parts(2, 5))
    bundle.write_bytes(reshaped(bundle.read_bytes(), how))
    with zipfile.ZipFile(bundle) as archive:
        if how not in ("local name", "local flags"):
            assert archive.read("manifest.json")  # to many, it is an archive
    assert codes(verified(log, bundle)) == ["bundle"]


def test_nothing_follows_the_end_of_a_packed_file(tmp_path: Path) -> None:
    """Its stream ends where the next file begins."""
    log, bundle = Log(6), tmp_path / "b.zip"
    packed(bundle, log.parts(2, 5))
    data = bytearray(bundle.read_bytes())
    inside, directory = data.index(b"PK\3\4", 1), data.index(b"PK\1\2")
    for at in (18, directory + 20):
        (size,) = struct.unpack_from("<L", data, at)
        struct.pack_into("<L", data, at, size + 6)
    at = directory
    while (at := data.find(b"PK\1\2", at + 1)) > 0:
        (offset,) = struct.unpack_from("<L", data, at + 42)
        struct.pack_into("<L", data, at + 42, offset + 6)
    struct.pack_into("<L", data, len(data) - 6, directory + 6)
    bundle.write_bytes(data[:inside] + b"forged" + data[inside:])
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
    (found,) = verified(log, bundle).findings
    assert "not as long as the directory says" in found.what


def test_the_files_of_a_bundle_stand_in_their_order(tmp_path: Path) -> None:
    """In another one, or not packed, they are no exporter's."""
    log = Log(6)
    parts = log.parts(2, 5)
    turned = packed(tmp_path / "a.zip", dict(reversed(parts.items())))
    assert codes(verified(log, turned)) == ["bundle"]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    assert codes(verified(log, tmp_path / "b.zip")) == ["bundle"]


def test_hostile_parts_never_crash_it(tmp_path: Path) -> None:
    """Each file of a bundle may hold anything; nothing but the true one verifies."""
    log = Log(6)
    good = log.parts(2, 5)
    deep = b"[" * 200_000
    hostile = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        deep,
        b"\n",
        b"{}\n" * 9,
        b"NaN",
        b'"x"',
    ]
    hostile += [
        b'{"left":1}',
        b'{"left":[[0]]}',
        b'{"left":[[64,""]]}',
        b'{"left":[[0,"AA=="]]}',
    ]
    hostile += [b'{"left":[["record",1]]}', b'{"left":{"a":1}}', b'{"right":[1]}']
    hostile += [canonical({"left": [[2, b64encode(bytes(32)).decode()]], "right": []})]
    hostile += [b'{"id":1}\n', b'{"id":"d-2","personal":"\\ud800"}\n', b"x" * 2_000_000]
    for name in good:
        for data in hostile:
            bundle = packed(tmp_path / "bundle.zip", {**good, name: data})
            report = verified(log, bundle)
            assert not report.verified, (name, data[:40])
