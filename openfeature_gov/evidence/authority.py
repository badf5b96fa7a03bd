"""Who authorized actions, and under what policy. Pure.

Source: article 002, "Governance Readiness", the second of its questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from openfeature_gov.evidence.actions import Action, Facts, Record, named
from openfeature_gov.evidence.reports import Group, Report, report_of, stretch

REVISION = ""
"""No flag's key: stands for a whole flag file."""


def authority(
    groups: Iterable[Group],
    samples: Mapping[str, Record],
    items: Iterable[Action],
    changes: Sequence[Record] = (),
    answers: Sequence[Record] = (),
) -> Report:
    """Answer by whom and under what policy: contract, flags, approvals, who set them.

    *samples* holds the last decision of each group by id; *changes* the changes of
    policy, *answers* the reviewers' answers in the same time.
    """
    setters = {place: one for one in changes for place in _set(one)}
    rows = []
    for group in groups:
        sample = samples.get(group.last, {})
        row = {
            "agent": group.agent,
            "tool": group.tool,
            "effect": group.effect,
            "reason": group.reason,
            "modeVariant": group.variant,
            "decided": group.decided,
            **_policy(sample),
            "setBy": _set_by(sample, setters),
        }
        stretch(row, group)
        rows.append(row)
    totals = {
        "decided": sum(row["decided"] for row in rows),
        "policyChanges": [_change(one) for one in changes],
        "answers": [_answer(one) for one in answers],
    }
    return report_of(
        "authority", totals, rows, (_authorized(one, setters) for one in items)
    )


def _policy(decision: Record) -> Facts:
    contract = decision.get("contract") or {}
    return {
        "workflow": contract.get("workflow"),
        "owner": contract.get("owner"),
        "contractRevision": contract.get("revision"),
        "authorization": decision.get("authorization"),
        "flags": [
            f"{flag.get('key')}={flag.get('variant')}@{flag.get('version')}"
            for flag in decision.get("flags") or ()
        ],
    }


def _set(change: Record) -> Iterator[tuple[str, Any]]:
    """Yield what *change* put in force: a flag's version, or a whole flag file."""
    if change.get("versionAfter"):
        yield str(change.get("key")), change["versionAfter"]
    elif change.get("revisionAfter"):
        yield REVISION, change["revisionAfter"]


def _set_by(decision: Record, setters: Mapping[tuple[str, Any], Record]) -> list[str]:
    """Return who put the policy of *decision* in force, where the log holds that."""
    places = [
        (str(flag.get("key")), flag.get("version"))
        for flag in decision.get("flags") or ()
    ]
    source = decision.get("flagSource") or {}
    found = [setters.get(one) for one in (*places, (REVISION, source.get("revision")))]
    told = [f"{_keys(one)}: {_name(one.get('actor'))}" for one in found if one]
    return list(dict.fromkeys(told))


def _keys(change: Record) -> str:
    listed = [one.get("key") for one in change.get("flags") or ()]
    return " ".join(map(str, listed)) or str(change.get("key"))


def _name(actor: object) -> str:
    if isinstance(actor, Mapping):
        actor = actor.get("name") or actor.get("id")
    return str(actor or "unknown")


def _change(record: Record) -> Facts:
    return {
        "seq": record.get("seq"),
        "atUs": record.get("atUs"),
        "flags": _keys(record),
        "operation": record.get("change") or record.get("operation"),
        "by": _name(record.get("actor")),
        "comment": record.get("reason") or record.get("comment"),
        "version": record.get("versionAfter") or record.get("revisionAfter"),
    }


def _answer(record: Record) -> Facts:
    return {
        "seq": record.get("seq"),
        "atUs": record.get("atUs"),
        "decision": record.get("ref"),
        "reviewer": record.get("reviewer"),
        "answer": record.get("denied") or record.get("state"),
        "rationale": record.get("rationale") or None,
    }


def _authorized(action: Action, setters: Mapping[tuple[str, Any], Record]) -> Facts:
    decision = action.decision
    context = decision.get("context") or {}
    person = {**context, **decision}
    return {
        **named(action),
        "user": person.get("user") or None,
        "account": person.get("account") or None,
        "service": context.get("service") or None,
        "delegation": person.get("delegation") or [],
        **_policy(decision),
        "setBy": _set_by(decision, setters),
        "approved": decision.get("approved"),
        "reviewer": action.answer.get("reviewer"),
    }
