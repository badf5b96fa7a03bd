"""Time one check by the controller: 200 rollouts in one flag file, a million records.

Run it with ``python -m tests.benchmarks.rollout_controller``, in full or ``--quick``,
as a table or ``--json``; ``--log FILE`` keeps the log of `tests.benchmarks.rollout`, or
uses it again. Everything is in it: flags read and placed, the story of each rollout
from its records, every metric counted for two windows, every gate judged, every step
decided. Beside it stands the time of reading every record once, in the same process.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from openfeature.contrib.provider.featbit.authoring import document, string_flag
from openfeature.contrib.provider.featbit.snapshot import read_snapshot
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import governance
from openfeature_gov.evidence.records import Stamp, columns, note_record
from openfeature_gov.ladder import MODES
from openfeature_gov.stores import schema, statements
from openfeature_gov.stores.logs import opened
from openfeature_gov.targets.file import FileTarget
from openfeature_gov_rollout import looking
from openfeature_gov_rollout.controller import Controller
from openfeature_gov_rollout.placing import move
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.recorded import recorded
from openfeature_gov_rollout.states import next_step
from openfeature_gov_rollout.stories import CHANGE, NAMED
from tests.benchmarks.reports import START_US
from tests.benchmarks.rollout import GATES, STAGES, STEP_US, made, mode_of
from tests.conftest import contract_yaml

ENTERED = "2026-01-01T00:00:00.000Z"


def plan_of(number: int) -> Plan:
    """Return the plan of one workflow, with a gate for each metric in each stage."""
    stages = [
        {"name": mode.replace("_", "-"), "mode": mode, "gates": GATES}
        for mode in STAGES
    ]
    return Plan.model_validate(
        {
            "name": f"plan-{number}",
            "workflow": f"workflow-{number}",
            "tools": (f"tool-{number}",),
            "owner": "ann",
            "purpose": "be measured",
            "reviewDate": "2027-01-31",
            "cleanUpCondition": "measured",
            "modeFlag": f"mode-{number}",
            "stages": tuple(stages),
        }
    )


def contracts(workflows: int) -> governance.Governance:
    """Return one contract a workflow."""
    return governance.parse(
        "---\n".join(
            contract_yaml(
                f"tool-{number}",
                workflow=f"workflow-{number}",
                runtimeControls=f"{{modeFlag: mode-{number}}}",
            )
            for number in range(workflows)
        )
    )


def placed(path: Path, log: Path, plans: tuple[Plan, ...]) -> None:
    """Let every flag hold the stage that its decisions are of, and record how."""
    held = document(
        [string_flag(p.mode_flag, [*MODES], serve="off", off="off") for p in plans]
    )
    snapshot = read_snapshot(json.dumps(held))
    known = bool(looking.recorded(log))
    with closing(schema.connect(log)) as connection:
        statement = statements.insert(1)
        connection.execute("BEGIN IMMEDIATE")
        for number, plan in enumerate(plans):
            stage = mode_of(number).replace("_", "-")
            identity = f"rollout-{number:016x}"
            edit = move(plan, stage, plan.layers[stage], identity)
            held = edit(held, snapshot, ENTERED)
            scope = {"plan": plan.name, "verb": "advance", "from": "", "to": stage}
            said: Any = {"change": NAMED, "actor": "ann", "reason": "r", "scope": scope}
            for record in (
                note_record(Stamp(identity, START_US, "w"), CHANGE, **said),
                note_record(
                    Stamp(f"{identity}-done", START_US, "w"),
                    CHANGE,
                    identity,
                    result="applied",
                ),
            ):
                row = (*columns(record, "w"), *record.encoded())
                if not known:
                    connection.execute(statement, row)
        connection.execute("COMMIT")
    write_document(path, held)


class Timed(NamedTuple):
    """Hold what a call found, and the seconds that it took: by the clock, of a CPU."""

    found: Any
    wall: float
    used: float

    def __str__(self) -> str:
        return f"{self.wall:.2f}, of a CPU {self.used:.2f}"


def timed(call: Callable[[], Any]) -> Timed:
    """Call, and say how long that took."""
    wall, used = time.perf_counter(), time.process_time()
    found = call()
    return Timed(found, time.perf_counter() - wall, time.process_time() - used)


def measured(folder: Path, log: Path, workflows: int, until_us: int) -> dict[str, Any]:
    """Check every rollout once, and return how long that took."""
    plans = tuple(map(plan_of, range(workflows)))
    if not (folder / "flags.json").exists():
        placed(folder / "flags.json", log, plans)
    rules = contracts(workflows)
    controller = Controller(
        plans=plans,
        governance=rules,
        target=FileTarget(folder / "flags.json"),
        records=log,
        evidence=recorded(log, rules),
        now_us=lambda: until_us,
    )
    with opened(log) as reading:
        query = "SELECT id, body FROM records"
        read = timed(lambda: sum(1 for _ in reading.rows(query, {})))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check = timed(
        lambda: [(one, next_step(one.situation)) for one in controller.check()]
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    looks = [one for one, _ in check.found]
    verbs = Counter(str(step.verb or "stays") for _, step in check.found)
    return {
        "records": read.found,
        "rollouts": len(looks),
        "reading every record, s": f"{read}",
        "check of all, s": f"{check}",
        "ratio to reading": round(check.used / read.used, 2),
        "memory grew by, MiB": grown // 1024,
        "decisions counted": sum(one.situation.samples for one in looks),
        "altered": sum(bool(one.situation.place.altered) for one in looks),
        "due": dict(verbs),
    }


def main() -> None:
    """Make the log, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 records")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--log", type=Path, help="keep the log here, or use it again")
    parser.add_argument("--workflows", type=int, default=200)
    given = parser.parse_args()
    records = 20_000 if given.quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        log = given.log or Path(folder) / "records.db"
        if not log.exists():
            made(log, records, given.workflows)
        data = measured(
            Path(folder), log, given.workflows, START_US + records * STEP_US
        )
    if given.json:
        print(json.dumps(data, indent=2))
        return
    for name, one in data.items():
        print(f"{name:28}{one}")


if __name__ == "__main__":
    main()
