"""Kill by a flag file that is broken: set it aside, and leave nothing allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from openfeature.contrib.provider.featbit.authoring import Json, document, turn_off
from openfeature.contrib.provider.featbit.snapshot import Snapshot
from openfeature_gov.cli import drafts, provisioning
from openfeature_gov.cli.carrying import Scope
from openfeature_gov.cli.exits import text_of
from openfeature_gov.embedded import load_governance
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance
from openfeature_gov.targets import FlagTarget, Switch
from openfeature_gov.targets.broken import BrokenFile, broken
from openfeature_gov.targets.file import FileTarget

HELP = (
    "nothing was killed: mend what the next line names (free some space, make it "
    "writable, or name the flag file with --flags) and run this again. Until then end "
    "the processes of the agents. To damage or remove the flag file stops nothing at "
    "once: a process goes on with what it read, by default in full for 15 s, then "
    "asking people for a minute, then drafting, and only searching after 15 minutes"
)
NEXT = (
    "next: mend it and put it back, then look at what it allows (gov flags list) and "
    "change anew what is to work again, because running processes hold off what is "
    "older than this kill; or release the new flags one by one: gov flags set KEY "
    "VARIANT --turn-on --reason ..."
)


def broken_of(target: FlagTarget) -> BrokenFile | None:
    """Return *target* as a broken file, None if it is none or can be read.

    Raises:
        OSError: when the file is missing and was never there, or cannot be opened.

    """
    if not isinstance(target, FileTarget):
        return None
    return broken(target.path, f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")


def stopped(lost: BrokenFile, contracts: Path) -> Scope:
    """Return what puts flags in the place of *lost* that allow nothing.

    Every flag that *contracts* names, turned off; none where they cannot be loaded: a
    flag that is missing counts as its strictest value, and so does one that is off.
    """
    notes = [
        lost.problem,
        "so EVERYTHING that it governed is stopped, whatever was named",
    ]
    governance: Governance | None = None
    try:
        governance = load_governance(contracts)
    except (InvalidContractError, OSError) as error:
        notes.append(f"{text_of(error)}; so the new file holds no flag at all")
    wanted = {} if governance is None else provisioning.wanted(governance)
    kinds = {key: one.kind for key, one in wanted.items()}

    def edit(_: Json, __: Snapshot, at: str) -> Json:
        new = document(
            [drafts.new_flag(kind, key, at=at) for key, kind in kinds.items()]
        )
        for key in kinds:
            new = turn_off(new, key, at=at)
        return new

    facts: dict[str, object] = {"all": True, "found": "broken"}
    if lost.aside is not None:
        notes.append(f"what was there is kept as {lost.aside}")
        facts["aside"] = lost.aside.name
    notes.append(NEXT)
    switch = Switch("kill", edit, _allowing, facts, widens=False, whole=True)
    tools = () if governance is None else tuple(governance.contracts)
    return Scope(switch, "everything", tuple(kinds), tools, notes=tuple(notes))


def _allowing(snapshot: Snapshot) -> tuple[str, ...]:
    found = snapshot.flag_set.flags.values()
    return tuple(f'flag "{one.key}" is still on' for one in found if one.enabled)
