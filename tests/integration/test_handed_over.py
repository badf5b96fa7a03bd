"""The retail run handed over: a bundle, verified where nothing of this project is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import closing
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from examples import retail_support as retail
from openfeature_gov.cli import app
from openfeature_gov.demo.recorded import CALLS, SHOP, read_calls, read_store
from openfeature_gov.demo.session import opened
from openfeature_gov.evidence.standalone import gov_verify

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ALONE = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
try:
    import openfeature_gov
except ImportError:
    pass
else:
    sys.exit("this machine has the project")
sys.argv.pop(0)
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
    print(*sorted(foreign), file=sys.stderr)
"""
"""Run a file as ``-I -S`` leaves Python: the standard library, and one folder."""


REPORTS = ("actions", "authority", "data", "cost", "boundaries")


class Handed(NamedTuple):
    """What an auditor has: a folder with the verifier, the bundle and a checkpoint."""

    folder: Path
    packages: Path
    key: str
    calls: int
    log: Path

    def verify(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the verifier in the folder, with nothing else to import."""
        pins = ("--key", self.key, "--checkpoint", "checkpoint.txt", "--json")
        command = [sys.executable, "-I", "-S", "-c", ALONE, str(self.packages)]
        return subprocess.run(
            [*command, "gov_verify.py", name, *pins, *options],
            capture_output=True,
            check=False,
            cwd=self.folder,
            encoding="utf-8",
            env={},
            timeout=120,
        )


def gov(*arguments: object) -> dict[str, Any]:
    """Run `gov audit`, return what it says."""
    result = CliRunner().invoke(app, ["audit", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


@pytest.fixture(scope="module", params=["scenario", "recorded"])
def handed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Handed:
    """Govern the calls in every mode, and hand the evidence over."""
    calls, shop = CALLS, SHOP
    if request.param == "recorded":
        calls, shop = SHARED / "retail_tool_calls.jsonl", SHARED / "retail_db.json"
        if not (calls.exists() and shop.exists()):
            pytest.skip(f"the recorded retail calls are not in {SHARED}")
    run, folder = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("auditor")
    recorded = read_calls(calls)
    with (
        closing(read_store(shop)) as pristine,
        opened(run, pristine, mode="off", poll_seconds=retail.POLL_S) as session,
    ):
        for name in retail.SETTINGS:
            retail.run_setting(
                session, pristine, calls=recorded, name=name, advance=_idle
            )
        retail.kill_midway(session, pristine, calls=recorded, advance=_idle)
    log = run / "records.db"
    sealed = gov("seal", "--records", log)
    (folder / "checkpoint.txt").write_text(sealed["checkpoint"], "utf-8")
    gov("export", "--records", log, "--bundle", folder / "all.zip")
    shutil.copy(gov_verify.__file__, folder)
    key = gov("key", "show", "--records", log)["key"]
    packages = tmp_path_factory.mktemp("packages")
    for name in ("cryptography", "cffi", "pycparser"):
        _link(name, packages)
    count = len(recorded) * (len(retail.SETTINGS) + 1)
    return Handed(folder, packages, key, count, log)


def _idle() -> None:
    """Show no progress."""


def _link(name: str, packages: Path) -> None:
    """Let *packages* hold what the distribution *name* installed, and nothing else."""
    for file in distribution(name).files or ():
        top, place = file.parts[0], packages / file.parts[0]
        if top not in ("..", "__pycache__") and not place.exists():
            installed = Path(str(file.locate()))
            place.symlink_to(installed.parents[len(file.parts) - 1] / top)


def test_the_bundle_verifies_on_a_machine_with_the_verifier_alone(
    handed: Handed,
) -> None:
    """Every record of the run, in one file, without this project."""
    done = handed.verify("all.zip", "--deep")
    assert done.returncode == 0, done.stderr + done.stdout
    (report,) = json.loads(done.stdout)["logs"]
    assert (report["verified"], report["findings"], report["unsealed"]) == (True, [], 0)
    assert report["last_seq"] == report["size"] > handed.calls
    assert (
        set(done.stderr.split()) & {"openfeature", "openfeature_gov", "orjson"} == set()
    )
    assert "cryptography" in done.stderr.split()


def test_the_bundle_holds_every_decision(handed: Handed) -> None:
    """As many decisions as calls were made, each with what became of it."""
    with zipfile.ZipFile(handed.folder / "all.zip") as archive:
        bodies = [json.loads(one) for one in archive.read("records.jsonl").splitlines()]
    decisions = {one["id"] for one in bodies if one["kind"] == "decision"}
    assert len(decisions) == handed.calls
    executing = {one["id"] for one in bodies if one.get("executes")}
    assert executing <= {one["ref"] for one in bodies if one["kind"] == "outcome"}


@pytest.mark.parametrize("question", REPORTS)
def test_the_five_questions_are_answered_from_the_bundle(
    handed: Handed, question: str
) -> None:
    """With the answers that the log itself gives."""
    asked = [
        gov("report", question, "--records", records)
        for records in (handed.folder / "all.zip", handed.log)
    ]
    assert asked[0] == asked[1]
    assert asked[0]["rows"]


def test_a_forged_bundle_does_not_verify(handed: Handed) -> None:
    """One denial turned into a permission is found, with the range that it is in."""
    with zipfile.ZipFile(handed.folder / "all.zip") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    forged = parts["records.jsonl"].replace(b'"effect":"deny"', b'"effect":"pass"', 1)
    assert forged != parts["records.jsonl"]
    target = handed.folder / "forged.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**parts, "records.jsonl": forged}.items():
            archive.writestr(name, data)
    done = handed.verify("forged.zip")
    assert done.returncode == 4, done.stderr
    (report,) = json.loads(done.stdout)["logs"]
    assert [one["code"] for one in report["findings"]] == ["root"]


def test_one_record_of_the_run_is_proved(handed: Handed) -> None:
    """The proof of a single decision, in the same place."""
    (report,) = json.loads(handed.verify("all.zip").stdout)["logs"]
    with zipfile.ZipFile(handed.folder / "all.zip") as archive:
        body = archive.read("records.jsonl").splitlines()[report["size"] // 2]
    arguments = ["audit", "prove", json.loads(body)["id"], "--records", str(handed.log)]
    arguments += ["--checkpoint", str(handed.folder / "checkpoint.txt")]
    text = CliRunner().invoke(app, arguments).stdout
    (handed.folder / "one.tlog-proof").write_text(text, "utf-8")
    done = handed.verify("one.tlog-proof")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["logs"][0]["record"].encode() == body
