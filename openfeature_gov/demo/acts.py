"""The demo's script: acts, each with the flags that someone changes and some tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from openfeature_gov.demo.flags import APPROVAL, DENYLIST, GLOBAL, INCIDENT, MODE
from openfeature_gov.demo.recorded import RecordedCall, by_task


@dataclass(frozen=True, slots=True)
class Act:
    """Change the flags *serve*, then let the agent work on *tasks*.

    *name* is what the records call it; *title* says what someone decided, *lesson*
    what to look at, if that is known.
    """

    name: str
    title: str
    lesson: str
    serve: Mapping[str, str]
    tasks: tuple[str, ...]


ACTS = (
    Act(
        "draft",
        "a new agent starts in draft_write",
        "Look-ups run, and so does what can be undone; other writes become drafts.",
        {},
        ("1",),
    ),
    Act(
        "review",
        "released to approval_required",
        "What has consequences waits for a person, and nothing is lost meanwhile.",
        {MODE: "approval_required"},
        ("2",),
    ),
    Act(
        "autonomy",
        "released to autonomous, approval waived up to 1000 dollars",
        "The agent acts by itself; a forged amount and a look-alike tool go nowhere.",
        {MODE: "autonomous", APPROVAL: "false"},
        ("4", "6"),
    ),
    Act(
        "tool-off",
        "one tool is taken away",
        "Cancelling is denied, the rest goes on; a refund waits in every mode.",
        {DENYLIST: "cancellations"},
        ("5",),
    ),
    Act(
        "incident",
        "an incident is declared",
        "Catalogue look-ups go on; what would change something goes to a person.",
        {INCIDENT: "true"},
        ("3",),
    ),
    Act(
        "kill",
        "the kill switch",
        "Nothing runs any more.",
        {GLOBAL: "false"},
        ("2",),
    ),
)
CALM: Mapping[str, str] = {
    GLOBAL: "true",
    MODE: "draft_write",
    APPROVAL: "true",
    DENYLIST: "nothing",
    INCIDENT: "false",
}
"""What the flags serve at the beginning."""


def spread(calls: Iterable[RecordedCall]) -> tuple[Act, ...]:
    """Return the acts with the tasks of *calls* dealt out evenly, in order.

    With fewer tasks than acts, tasks are played again.
    """
    tasks = list(dict.fromkeys(task for task, _ in by_task(calls)))
    shares = [
        tasks[i * len(tasks) // len(ACTS) : (i + 1) * len(tasks) // len(ACTS)]
        for i in range(len(ACTS))
    ]
    return tuple(
        replace(act, lesson="", tasks=tuple(share or tasks[i % len(tasks) :][:1]))
        for i, (act, share) in enumerate(zip(ACTS, shares, strict=True))
    )


def calls_of(act: Act, calls: Sequence[RecordedCall]) -> list[RecordedCall]:
    """Return the calls that *act* plays, task by task, in the order of its tasks."""
    return [call for task in act.tasks for call in calls if call.task == task]
