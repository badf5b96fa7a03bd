"""What of rollouts and flags has had its day: proposals, never removals. Pure.

Kill switches, denylists, approvals and incident flags are permanent; a mode flag and a
plan are there for a purpose, and end with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from openfeature_gov.governance import Governance, GovernanceContract
from openfeature_gov.targets import Held
from openfeature_gov_rollout.looking import Look
from openfeature_gov_rollout.placing import owner_of
from openfeature_gov_rollout.plan import Plan
from openfeature_gov_rollout.states import Why, next_step

REASON = '--reason "..."'


@dataclass(frozen=True, slots=True)
class Proposal:
    """Say what could be removed, why, and by which *steps* somebody would do it."""

    subject: str
    why: str
    steps: tuple[str, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """Return it as plain facts."""
        return {"subject": self.subject, "why": self.why, "steps": list(self.steps)}


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """Say what is wrong with a flag or plan: stale, ownerless, overdue and so on."""

    kind: str
    subject: str
    message: str
    advice: str


def proposals(
    looks: Sequence[Look], held: Held, plans: Sequence[Plan], today: date
) -> list[Proposal]:
    """Return what could be removed: rollouts that are done, rules that nobody plans."""
    found = [one for look in looks for one in _done(look, held, today)]
    return [*found, *_orphans(held, plans)]


def _done(look: Look, held: Held, today: date) -> Iterator[Proposal]:
    plan, situation = look.plan, look.situation
    stage = situation.stage
    last = stage is not None and stage.name == plan.stages[-1].name
    layers = plan.layers[stage.name] if stage is not None else ()
    if last and stage is not None and len(layers) == 1:
        blocks = {one.why for one in next_step(situation).blocks}
        mode = stage.mode.label
        why = f"stage {stage.name!r} holds for everybody: {plan.clean_up_condition}"
        if blocks - {Why.LAST}:
            why += f"; but it is {', '.join(sorted(blocks - {Why.LAST}))}"
        raised = f"set defaultMode of {', '.join(plan.tools)} to {mode}"
        steps = [
            f"{raised}, with unsafeDefaultReason where that is above draft_write",
            *_removal(plan, held, mode),
            f"remove plan {plan.name} from its file",
        ]
        yield Proposal(f"plan {plan.name}", why, tuple(steps))
    elif plan.review_date < today:
        why = f"its review date {plan.review_date} has passed"
        step = f"review it with {plan.owner}: go on, or gov rollout abort {plan.name}"
        yield Proposal(f"plan {plan.name}", why, (step,))


def _removal(plan: Plan, held: Held, mode: str) -> Iterator[str]:
    """Yield how the rules of *plan* leave its flag without anybody losing anything."""
    flag = held.flags.get(plan.mode_flag)
    alone = flag is not None and all(
        owner_of(one.id) == plan.name for one in flag.rules
    )
    if alone:
        yield f"gov flags set {plan.mode_flag} {mode} --clear-targeting {REASON}"
    else:
        yield (
            f"remove the rules gov/{plan.name}/... from flag {plan.mode_flag}; others "
            "stay, so --clear-targeting would take too much"
        )


def _orphans(held: Held, plans: Sequence[Plan]) -> Iterator[Proposal]:
    known = {plan.name for plan in plans}
    for flag in held.flags.values():
        names = {owner_of(one.id) for one in flag.rules} - known - {""}
        for name in sorted(names):
            yield Proposal(
                f'flag "{flag.key}"',
                f"it holds rules of plan {name!r}, which no plan file has",
                (f"bring the plan back, or remove the rules gov/{name}/...",),
            )


PERMANENT = frozenset({"switch", "approval", "denylist", "fallback"})
"""The kinds of flags that are for ever; a mode flag ends with its rollout."""


@dataclass(frozen=True, slots=True)
class Used:
    """Say when a tool was last decided on, and what its flags served then.

    *flags* holds for each key the variant and what was wrong with it, if anything.
    """

    at_us: int
    flags: Mapping[str, tuple[str, str]]


def remarks(
    governance: Governance,
    plans: Sequence[Plan],
    held: Held,
    used: Mapping[str, Used],
    *,
    today: date,
    now_us: int,
    stale_us: int,
) -> list[Remark]:
    """Return what is stale, ownerless, overdue, unused or broken among *held*.

    *used* tells by tool what the records hold of its latest decision; a flag that was
    not evaluated for *stale_us* microseconds is unused, and a mode flag that was not
    changed for so long although it serves everybody alike is stale.
    """
    named = _named(governance)
    seen = _seen(used)
    found: list[Remark] = []
    for key, flag in sorted(held.flags.items()):
        rules = named.get(key, [])
        found += _ownerless(key, rules, plans, held.raw[key])
        found += _unused(key, rules, seen, now_us, stale_us)
        modes = [plan.name for plan in plans if plan.mode_flag == key]
        kinds = {kind for kind, _ in rules}
        same = not flag.rules and len(flag.fallthrough.shares) == 1
        old = now_us - flag.version * 1000 >= stale_us
        if rules and not kinds & PERMANENT and same and old and not modes:
            message = "serves everybody alike, and nobody changed it for so long"
            advice = "put its mode into defaultMode, and remove the flag"
            found.append(Remark("stale", key, message, advice))
    found += _overdue(governance, plans, today)
    return sorted(found)


Named = list[tuple[str, GovernanceContract]]


def _named(governance: Governance) -> dict[str, Named]:
    """Return by flag key the kind of flag, and the contract that names it."""
    found: dict[str, Named] = {}
    for rules in governance:
        of = rules.runtime_controls
        for key, kind in (
            (of.global_flag, "switch"),
            (of.mode_flag, "mode"),
            (of.approval_flag, "approval"),
            (of.denylist_flag, "denylist"),
            (of.fallback_flag, "fallback"),
        ):
            if key is not None:
                found.setdefault(key, []).append((kind, rules))
    return found


def _seen(used: Mapping[str, Used]) -> dict[str, tuple[int, str]]:
    """Return by flag key when it was last evaluated, and what was wrong then."""
    seen: dict[str, tuple[int, str]] = {}
    for one in used.values():
        for key, (_, fault) in one.flags.items():
            seen[key] = max(seen.get(key, (0, "")), (one.at_us, fault))
    return seen


def _ownerless(
    key: str, rules: Named, plans: Sequence[Plan], raw: Mapping[str, Any]
) -> Iterator[Remark]:
    told = f"{raw.get('description') or ''} {' '.join(raw.get('tags') or ())}"
    planned = any(plan.mode_flag == key for plan in plans)
    if not rules and not planned and "owner=" not in told:
        message = "no contract and no plan names it, and it says no owner=..."
        yield Remark("ownerless", key, message, "name an owner, or remove the flag")


def _unused(
    key: str,
    rules: Named,
    seen: Mapping[str, tuple[int, str]],
    now_us: int,
    stale_us: int,
) -> Iterator[Remark]:
    at_us, fault = seen.get(key, (0, ""))
    if fault:
        message = f"was lost when it was last evaluated: {fault}"
        yield Remark("broken", key, message, "gov featbit doctor, gov governance check")
    elif not at_us:
        message = "the records tell of no evaluation"
        tools = ", ".join(one.tool for _, one in rules)
        advice = f"is {tools} in use?" if tools else "remove it: no contract names it"
        yield Remark("unused", key, message, advice)
    elif now_us - at_us >= stale_us:
        days = (now_us - at_us) // 86_400_000_000
        message = f"was last evaluated {days} days ago"
        yield Remark("unused", key, message, "is its tool still in use?")


def _overdue(
    governance: Governance, plans: Sequence[Plan], today: date
) -> Iterator[Remark]:
    for rules in governance:
        if rules.review_date is not None and rules.review_date < today:
            message = f"reviewDate {rules.review_date} of the contract has passed"
            for key in _keys(rules):
                yield Remark("overdue", key, message, f"review it with {rules.owner}")
    for plan in plans:
        if plan.review_date < today:
            message = f"reviewDate {plan.review_date} of plan {plan.name} has passed"
            advice = f"review it with {plan.owner}"
            yield Remark("overdue", plan.mode_flag, message, advice)


def _keys(rules: GovernanceContract) -> list[str]:
    mode = rules.runtime_controls.mode_flag
    return [] if mode is None else [mode]
