"""The first governance file and flag file of a project: safe before anyone decides."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    document,
    json_flag,
    string_flag,
)
from openfeature_gov.governance import FALLBACK, ROOT, UNDO
from openfeature_gov.ladder import MODES, Mode, Reversibility, RiskClass

KEY_LIMIT = 128
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]*[A-Za-z0-9]")
MODE_VALUES = (*MODES, FALLBACK)
BEGINNINGS = {
    "switch": (True, False),
    "approval": (True, True),
    "fallback": (False, True),
}
"""What a boolean flag serves at first, and when it is off."""
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


@dataclass(frozen=True, slots=True)
class Planned:
    """One tool to be governed: its name, class and mode flag.

    *note* says why the class is what it is where nobody stated it.
    """

    name: str
    risk: RiskClass
    mode_flag: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Shared:
    """The flags that all tools of a workflow share."""

    switch: str
    approval: str
    denylist: str
    fallback: str


def flag_key(name: str, suffix: str, taken: Sequence[str] = ()) -> str:
    """Return a flag key for *name*: legal, at most 128 long, not among *taken*."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "workflow"
    room = KEY_LIMIT - len(suffix) - 1
    key = f"{stem}.{suffix}"
    if len(stem) > room or key in taken:
        # Two names that differ only in characters that a key cannot hold.
        mark = sha256(name.encode()).hexdigest()[:8]
        key = f"{stem[: room - 9]}-{mark}.{suffix}"
    return key


def shared_flags(workflow: str) -> Shared:
    """Return the keys of the flags that the tools of *workflow* share."""
    suffixes = ("global", "approval", "denylist", "fallback")
    return Shared(*(flag_key(workflow, suffix) for suffix in suffixes))


def flags_document(
    tools: Sequence[Planned], shared: Shared, *, environment: str, at: str
) -> Json:
    """Return the flag file: every flag there, on, and as safe as it can be.

    A flag that is turned off serves its strictest value.
    """
    named = [
        ("switch", shared.switch),
        ("approval", shared.approval),
        ("denylist", shared.denylist),
        ("fallback", shared.fallback),
        *(("mode", tool.mode_flag) for tool in tools),
    ]
    return document(
        [new_flag(kind, key, env_id=environment, at=at) for kind, key in named]
    )


def new_flag(
    kind: str, key: str, *, mode: Mode = Mode.OBSERVE, env_id: str = "", at: str
) -> Json:
    """Return the flag *key* of *kind* as it begins; one for modes serves *mode*.

    Off, it serves its strictest value. Once released it can serve every legal value.
    """
    match kind:
        case "mode":
            return string_flag(
                key, MODE_VALUES, serve=mode.label, off="off", env_id=env_id, at=at
            )
        case "denylist":
            lists: dict[str, list[str]] = {"listed": [], "everything": ["*"]}
            return json_flag(
                key, lists, serve="listed", off="everything", env_id=env_id, at=at
            )
    serve, off = BEGINNINGS[kind]
    return boolean_flag(key, serve=serve, off=off, env_id=env_id, at=at)


def governance_text(
    tools: Sequence[Planned], shared: Shared, *, workflow: str, owner: str
) -> str:
    """Return the governance file: one contract a tool, every one at observe."""
    entries = "\n".join(_entry(tool, shared, workflow, owner) for tool in tools)
    return _HEAD + entries


def scalar(text: str) -> str:
    """Return *text* as one YAML scalar that reads back as exactly *text*."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


_HEAD = f"""\
# What each tool of the agent is, who answers for it, and which flags govern it.
# Check after every edit:  gov governance check governance.yaml --flags flags.json
#
# At "observe" calls are recorded and nothing runs. To release a tool, raise its mode
# flag:  gov flags set <modeFlag> search_only --reason "..."
{ROOT}:
"""


def _entry(tool: Planned, shared: Shared, workflow: str, owner: str) -> str:
    note = f"    # {tool.note}\n" if tool.note else ""
    worst, words = UNDO[tool.risk], ", ".join(Reversibility)
    lines = "".join(f"      - {mode}\n" for mode in MODE_VALUES)
    return f"""\
  - tool: {scalar(tool.name)}
    workflow: {scalar(workflow)}
    owner: {scalar(owner)}
{note}    riskClass: {tool.risk}
    # Counts as "{worst}" to undo unless stated: {words}.
    # reversibility: {worst}
    defaultMode: observe
    allowedModes:
{lines}    rollback:
      safestMode: observe # where an incident sends the tool
      owner: {scalar(owner)}
    runtimeControls:
      modeFlag: {scalar(tool.mode_flag)} # how much the tool may do
      approvalFlag: {scalar(shared.approval)} # true: what needs autonomy waits
      denylistFlag: {scalar(shared.denylist)} # tools that are stopped right now
      fallbackFlag: {scalar(shared.fallback)} # true: incident, safest mode
      globalFlag: {scalar(shared.switch)} # false: nothing runs at all
"""
