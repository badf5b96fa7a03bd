"""`gov flags` where files or records are missing: a kill goes on, nothing widens."""

import shutil
from pathlib import Path

import pytest

from openfeature_gov.stores.history import records
from tests.commands import gov, told
from tests.flag_folder import WHY, project, reason, recorded

__all__ = ["project"]


def _break(folder: Path, how: str) -> None:
    """Put something at records.db that is no database."""
    for path in folder.glob("records.db*"):
        if path.is_file():
            path.unlink()
    if how == "folder":
        (folder / "records.db").mkdir()
    else:
        (folder / "records.db").write_text("this is a text and no database" * 99)


@pytest.mark.parametrize("broken", ["text", "folder"])
def test_a_kill_takes_effect_although_it_cannot_be_recorded(
    project: Path, broken: str
) -> None:
    """Exit 1 and a warning, and the tool is stopped."""
    _break(project, broken)
    result = gov("flags", "kill", "erase", *WHY)
    assert result.exit_code == 1
    assert "not recorded" in result.stderr
    assert told(result, 1)["record"] is None
    assert reason("erase") == "denylisted"


@pytest.mark.parametrize("broken", ["text", "folder"])
@pytest.mark.parametrize(
    "arguments", [["unkill", "erase"], ["set", "find.mode", "search_only"]]
)
def test_nothing_widens_without_its_record(
    project: Path, arguments: list[str], broken: str
) -> None:
    """Exit 3, the flag file as it was."""
    gov("flags", "kill", "erase", *WHY)
    _break(project, broken)
    before = (project / "flags.json").read_bytes()
    result = gov("flags", *arguments, *WHY)
    assert result.exit_code == 3
    assert (project / "flags.json").read_bytes() == before


def _unrecorded(folder: Path) -> None:
    """Remove the record database, as after a fresh init."""
    for path in folder.glob("records.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "find.mode", "search_only"],
        ["kill", "erase"],
        ["kill", "--all"],
    ],
)
def test_the_first_change_makes_the_record_database(
    project: Path, arguments: list[str]
) -> None:
    """Beside the flag file, wherever the command runs; and what it did is in it."""
    _unrecorded(project)
    place = project / "sub"
    place.mkdir()
    for name in ("flags.json", "governance.yaml"):
        (project / name).rename(place / name)
    result = gov("flags", *arguments, *WHY, "--flags", str(place / "flags.json"))
    assert result.exit_code == 0
    (record,) = recorded(place)
    assert record["id"] == told(result)["record"]
    assert not (project / "records.db").exists()


def test_the_named_record_database_is_used_instead(project: Path) -> None:
    """With --records nothing is made beside the flag file."""
    _unrecorded(project)
    result = gov("flags", "kill", "erase", *WHY, "--records", "other.db")
    assert [one["id"] for one in records(project / "other.db", kind="policy_change")]
    assert told(result)["record"] is not None
    assert not (project / "records.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "find.mode", "search_only"], 3),
        (["unkill", "erase"], 3),
        (["kill", "read"], 1),
    ],
)
def test_a_database_that_cannot_be_made_stops_only_what_widens(
    project: Path, arguments: list[str], code: int
) -> None:
    """A release is refused and changes nothing; a kill works and says exit 1."""
    gov("flags", "kill", "erase", *WHY)
    before = (project / "flags.json").read_bytes()
    place = str(project / "governance.yaml" / "r.db")
    result = gov("flags", *arguments, *WHY, "--records", place)
    assert result.exit_code == code
    assert ((project / "flags.json").read_bytes() == before) is (code == 3)
    assert (reason("read") == "denylisted") is (code == 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "find.mode", "observe"],
        ["set", "nope", "off"],
        ["unkill", "erase"],
        ["kill", "--workflow", "nope"],
        ["kill", "erase", "--dry-run"],
        ["set", "find.mode", "search_only", "--dry-run"],
    ],
)
def test_no_database_is_made_where_nothing_changes(
    project: Path, arguments: list[str]
) -> None:
    """What has no effect leaves no file either."""
    _unrecorded(project)
    gov("flags", *arguments, *WHY)
    assert not (project / "records.db").exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("flags.json", ["kill", "erase"]),
        ("flags.json", ["kill", "--all"]),
        ("flags.json", ["set", "find.mode", "off"]),
        ("governance.yaml", ["unkill", "erase"]),
    ],
)
def test_missing_files_are_named(
    project: Path, name: str, arguments: list[str]
) -> None:
    """Exit 3, the file, no traceback, and no record database made for it."""
    _unrecorded(project)
    (project / name).unlink()
    result = gov("flags", *arguments, *WHY)
    assert result.exit_code == 3
    assert name in result.stderr
    assert "Traceback" not in result.output
    assert not (project / "records.db").exists()
