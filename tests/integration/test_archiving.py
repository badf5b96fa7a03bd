"""Archives under attack and power cuts: what was taken out, and what was done to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest

from openfeature_gov.evidence.archives import Asked, archive_record, standing
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.records import Stamp
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Archive, Report
from openfeature_gov.stores import archiving, history
from tests.full import FULL
from tests.integration.attacker import KEY, PUBLISHED, RECORDS, Attacker
from tests.test_stores_archiving import Vault
from tests.worked import worked

ROOT = Path(__file__).parents[2]


class Scene(NamedTuple):
    """Hold a log of which the first records are in three bundles."""

    folder: Path
    key: str
    held: list[str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Let agents work, archive that, and let them go on."""
    folder = tmp_path_factory.mktemp("log")
    worked(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiving, "BUNDLE", 20)
        Vault(folder).archive(60)
    worked(folder)
    held = gov_verify.held_in([folder / PUBLISHED])
    return Scene(folder, read_key(folder / KEY).vkey, held)


@pytest.fixture
def attacker(scene: Scene, tmp_path: Path) -> Attacker:
    """Lend somebody who has the files."""
    folder = tmp_path / "log"
    shutil.copytree(scene.folder, folder)
    return Attacker(folder, scene.folder)


def verified(scene: Scene, folder: Path, *, restored: bool) -> Report:
    """Run the auditor's check, with or without the bundles."""
    (report,) = gov_verify.verify(
        gov_verify.files([folder / RECORDS]),
        [scene.key],
        scene.held[-1:],
        deep=True,
        sealed=True,
        archives=folder / "bundles" if restored else None,
    )
    return report


def nth(it: Attacker, number: int) -> Path:
    """Return the bundle *number* of the log that is attacked, from 0."""
    return sorted((it.folder / "bundles").glob(f"{it.writer}*"))[number]


def swapped(it: Attacker) -> None:
    """Let two bundles change their names."""
    one, two = nth(it, 0), nth(it, 1)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)


def altered(it: Attacker, *, recorded: bool = False) -> None:
    """Put other records into a bundle; *recorded* also says so in the row."""
    path = nth(it, 1)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    lines = parts["records.jsonl"].splitlines()
    facts = json.loads(lines[3])
    lines[3] = lines[3].replace(str(facts["atUs"]).encode(), b"1700000000000000")
    parts["records.jsonl"] = b"\n".join(lines) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    if recorded:
        digest = sha256(path.read_bytes()).hexdigest()
        it.run(f"UPDATE archives SET sha256 = '{digest}' WHERE first_seq = 21")


def repacked(it: Attacker) -> None:
    """Pack the same files anew: another bundle, be it as good."""
    path = nth(it, 0)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def extended(it: Attacker) -> None:
    """Say that one more record was archived, and delete it."""
    it.run(
        "UPDATE archives SET last_seq = 61 WHERE first_seq = 41",
        "DELETE FROM records WHERE seq = 61",
    )


def forged(it: Attacker, *, told: bool = False) -> None:
    """Archive records into no bundle at all, with the hashes that they have.

    Where it is *told* on record, the frontier is another.
    """
    with closing(gov_verify.Database(it.db)) as evidence:
        stands = standing(evidence, Span(61, 70))
        frontier = zeroed(stands.frontier) if told else stands.frontier
        made = Archive(61, 70, "r", "b.zip", "d", frontier, stands.cover)
    with it.open() as connection:
        if told:
            stamp = Stamp("r", 1, "w")
            record = archive_record(stamp, made, stands, (), Asked("a", "b"))
            (last,) = connection.execute("SELECT max(seq) FROM records").fetchone()
            it.add(connection, last + 1, record.encoded().body)
        connection.execute(
            "INSERT INTO archives SELECT 70, 61, 'r', 'b.zip', 'd', ?, ?, 1",
            (frontier, stands.cover),
        )
        connection.execute("DELETE FROM records WHERE seq BETWEEN 61 AND 70")


def removed(it: Attacker) -> None:
    """Archive records into no bundle, tell of it as the store does, and seal that."""
    with closing(gov_verify.Database(it.db)) as evidence:
        stands = standing(evidence, Span(61, 70))
        told = Archive(61, 70, "r", "b.zip", "d", stands.frontier, stands.cover)
    with it.open() as connection:
        record = archive_record(Stamp("r", 1, "w"), told, stands, (), Asked("a", "b"))
        (last,) = connection.execute("SELECT max(seq) FROM records").fetchone()
        it.add(connection, last + 1, record.encoded().body)
        connection.execute(
            "INSERT INTO archives SELECT 70, 61, 'r', 'b.zip', 'd', ?, ?, 1",
            (stands.frontier, stands.cover),
        )
        connection.execute("DELETE FROM records WHERE seq BETWEEN 61 AND 70")
    worked(it.folder)


def test_a_forged_archive_needs_its_bundle(scene: Scene, attacker: Attacker) -> None:
    """Who may append can say that records were archived: then they must be shown."""
    removed(attacker)
    held = gov_verify.held_in([attacker.folder / PUBLISHED])[-1:]
    now = scene._replace(held=held)
    assert codes(verified(now, attacker.folder, restored=False)) == {"archived"}
    assert codes(verified(now, attacker.folder, restored=True)) == {"archive"}


def covered(it: Attacker, change: Callable[[bytes], bytes], what: str) -> None:
    """Edit the hashes that stand for records."""
    with it.open() as connection:
        ((data,),) = connection.execute(
            f"SELECT {what} FROM archives WHERE first_seq = 21"
        ).fetchall()
        connection.execute(
            f"UPDATE archives SET {what} = ? WHERE first_seq = 21", (change(data),)
        )


def zeroed(data: bytes) -> bytes:
    """Return *data* with another hash at its end."""
    return data[:-32] + bytes(32)


def other_hash(data: bytes) -> bytes:
    """Return a cover with another first hash."""
    at = data.index(b',"') + 2
    return data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]


def sql(*statements: str) -> Callable[[Attacker], object]:
    """Return how to execute *statements* with the triggers out of the way."""
    return lambda it: it.run(*statements)


ROWS: dict[str, tuple[str, Callable[[Attacker], object]]] = {
    "deleted beyond": ("sequence", sql("DELETE FROM records WHERE seq < 65")),
    "one more said": ("archive", extended),
    "archived into nothing": ("archive", forged),
    "with a false frontier": ("archive", lambda it: forged(it, told=True)),
    "row deleted": ("sequence", sql("DELETE FROM archives WHERE first_seq = 41")),
    "first row deleted": ("archive", sql("DELETE FROM archives WHERE first_seq = 1")),
    "all rows deleted": ("sequence", sql("DELETE FROM archives")),
    "digest edited": ("archive", sql("UPDATE archives SET sha256 = 'x'")),
    "bundle renamed": ("archive", sql("UPDATE archives SET bundle = 'x.zip'")),
    "another record": ("archive", sql("UPDATE archives SET record = record || 'x'")),
    "range moved": ("archive", sql("UPDATE archives SET first_seq = first_seq + 1")),
    "frontier edited": ("archive", lambda it: covered(it, zeroed, "frontier")),
    "hashes edited": ("root", lambda it: covered(it, other_hash, "cover")),
    "rows put back": (
        "loose",
        sql(
            "INSERT INTO records (seq, id, kind, at_us, writer, executes, body)"
            " SELECT 5, 'forged', kind, at_us, writer, executes, body FROM records"
            " WHERE seq = 90"
        ),
    ),
    "trigger weaker": ("loose", lambda it: it.bare("DROP TRIGGER archives_no_delete")),
    "table dropped": ("schema", lambda it: it.bare("DROP TABLE archives")),
}
FILES: dict[str, Callable[[Attacker], object]] = {
    "missing": lambda it: nth(it, 1).unlink(),
    "all missing": lambda it: shutil.rmtree(it.folder / "bundles"),
    "altered": altered,
    "altered and recorded": lambda it: altered(it, recorded=True),
    "repacked": repacked,
    "swapped": swapped,
    "cut": lambda it: nth(it, 2).write_bytes(nth(it, 2).read_bytes()[:-9]),
    "no bundle": lambda it: nth(it, 0).write_bytes(b"records"),
}


def codes(report: Report) -> set[str]:
    """Return the codes of the findings."""
    assert report.verified == (not report.findings)
    return {one.code for one in report.findings}


def test_nothing_was_done_to_it(scene: Scene) -> None:
    """The log as it is verifies both ways, or the rest would show nothing."""
    for restored in (False, True):
        report = verified(scene, scene.folder, restored=restored)
        found = set() if restored else {"archived"}
        assert (codes(report), report.archived, report.bundles) == (found, 60, 3)
        assert report.restored == 3 * restored


@pytest.mark.parametrize("kind", ROWS)
def test_whatever_is_done_to_the_database_is_found(
    scene: Scene, attacker: Attacker, kind: str
) -> None:
    """Without a single bundle at hand."""
    code, act = ROWS[kind]
    act(attacker)
    assert code in codes(verified(scene, attacker.folder, restored=False))


@pytest.mark.parametrize("kind", FILES)
def test_whatever_is_done_to_bundles_is_found(
    scene: Scene, attacker: Attacker, kind: str
) -> None:
    """Once the bundles are asked for; the rest of the log is verified all the same."""
    FILES[kind](attacker)
    report = verified(scene, attacker.folder, restored=True)
    more = {"root"} if kind == "altered and recorded" else set()
    assert codes(report) == {"archive"} | more
    assert report.last_seq is not None
    assert report.last_seq > 60


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log of which nothing is archived."""
    folder = tmp_path_factory.mktemp("full")
    worked(folder)
    worked(folder)
    return folder


STEPS = {
    "before the bundle": "bundles.export",
    "before it is durable": "_sync",
    "before it is read back": "_read_back",
    "before it is recorded": "archive_record",
    "before the removal": "REMOVE",
    "within the removal": "WITHIN",
    "after the removal": "AFTER",
}
SCRIPT = """
import os, signal, sys
from pathlib import Path
from openfeature_gov.stores import archiving, sqlite_archiving
from tests.test_stores_archiving import Vault

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

step, count = sys.argv[2], int(sys.argv[3])
calls = 0

def at(owner, name, after=False):
    real = getattr(owner, name)
    def act(*a, **k):
        global calls
        calls += 1
        if calls == count and not after:
            die()
        found = real(*a, **k)
        if calls == count:
            die()
        return found
    setattr(owner, name, act)

class Dying:
    def __init__(self, connection):
        self.connection = connection
    def execute(self, text, *values):
        if text == "COMMIT":
            die()
        return self.connection.execute(text, *values)

archiving.BUNDLE = 30
if step == "bundles.export":
    at(archiving.bundles, "export")
elif step == "WITHIN":
    real = sqlite_archiving._remove
    sqlite_archiving._remove = lambda c, *a: real(Dying(c), *a)
elif step in ("REMOVE", "AFTER"):
    at(sqlite_archiving, "_remove", after=step == "AFTER")
else:
    at(archiving, step)
Vault(Path(sys.argv[1])).archive(90)
"""


@pytest.mark.parametrize("count", [1, 2] if FULL else [1])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_loses_nothing(
    full: Path, tmp_path: Path, step: str, count: int
) -> None:
    """What was there is there, the log verifies, and the next run goes on."""
    folder = tmp_path / "log"
    shutil.copytree(full, folder)
    with closing(sqlite3.connect(folder / RECORDS)) as connection:
        query = "SELECT body FROM records ORDER BY seq"
        before = [body for (body,) in connection.execute(query)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'providers'}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), STEPS[step], str(count)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    vault = Vault(folder)
    assert vault.verify(restored=True).findings == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archiving, "BUNDLE", 30)
        vault.archive(90)
    report = vault.verify(restored=True)
    assert (report.findings, report.archived) == ([], 90)
    bodies = []
    for path in sorted(vault.bundles.glob("*.zip")):
        with closing(gov_verify.Bundle(path)) as bundle:
            bodies += [leaf.body for leaf in bundle.records(0)]
    with closing(sqlite3.connect(folder / RECORDS)) as connection:
        bodies += [body for (body,) in connection.execute(query)]
    assert bodies[: len(before)] == before
    assert "tamper" not in {one["kind"] for one in history.records(folder / RECORDS)}
    assert [one.name for one in vault.bundles.iterdir() if one.suffix == ".part"] == []
