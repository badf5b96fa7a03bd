"""Check what FeatBit's server does not check, before anything is sent. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from openfeature.contrib.provider.featbit.conditions import (
    SEGMENT_OPERATORS,
    compile_condition,
    compile_segment,
    segment_ids,
)
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import Condition, Flag
from openfeature.contrib.provider.featbit.management.errors import RefusedError
from openfeature.contrib.provider.featbit.management.models import (
    Json,
    ManagedFlag,
    ManagedSegment,
    NewFlag,
    NewSegment,
)
from openfeature.contrib.provider.featbit.parsing import parse_flag, parse_segment

LONGEST_REASON = 512
"""FeatBit saves a flag with a longer comment, then loses the audit entry."""
LONGEST_NAME = 128
KEY = re.compile(r"[a-zA-Z0-9._-]{1,128}")


def reason(text: str) -> str:
    """Return *text* if it can be the reason of a change.

    Raises:
        RefusedError: it is blank, longer than `LONGEST_REASON`, or not one printable
            line.

    """
    if not isinstance(text, str) or not text.strip():
        raise RefusedError("a reason is required: say why this is changed")
    if len(text) > LONGEST_REASON:
        problem = f"{len(text)} characters, at most {LONGEST_REASON}"
        raise RefusedError(f"the reason has {problem}: FeatBit would lose it")
    if not text.isprintable():
        raise RefusedError("the reason must be one line of printable characters")
    return text.strip()


def key(text: str, noun: str = "flag key") -> str:
    """Return *text* if it can be a key, or an id, in a URL.

    Raises:
        RefusedError: it cannot.

    """
    if not isinstance(text, str) or not KEY.fullmatch(text) or not text.strip("."):
        problem = "1 to 128 letters, digits, dots, dashes or underscores"
        raise RefusedError(f"{text!r} is no {noun}: {problem}")
    return text


def guid(text: str, noun: str) -> str:
    """Return *text* if it is a GUID.

    Raises:
        RefusedError: it is none.

    """
    try:
        return str(UUID(text))
    except (ValueError, AttributeError, TypeError):
        raise RefusedError(f"{text!r} is no id of a {noun}: a GUID is") from None


def line(text: str, noun: str) -> str:
    """Return *text* if it can be a name: not blank, one line, not too long.

    Raises:
        RefusedError: it cannot.

    """
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise RefusedError(f"the {noun} must be one line of printable characters")
    if len(text) > LONGEST_NAME:
        problem = f"{len(text)} characters, at most {LONGEST_NAME}"
        raise RefusedError(f"the {noun} has {problem}")
    return text


def description(text: str) -> str:
    """Return *text* if it can be a description: text, and never null.

    Raises:
        RefusedError: it is no text.

    """
    if not isinstance(text, str) or "\0" in text:
        raise RefusedError("a description must be text, without null characters")
    return text


def tags(given: Iterable[str]) -> list[str]:
    """Return *given* as a list if they can be tags.

    Raises:
        RefusedError: one is blank, too long or repeated.

    """
    listed = [line(tag, "tag") for tag in given]
    if len(set(listed)) < len(listed):
        raise RefusedError(f"tags repeat: {', '.join(listed)}")
    return listed


def new_flag(new: NewFlag) -> NewFlag:
    """Return *new* if it would be a flag that evaluates for everyone.

    Raises:
        RefusedError: it would not; the message names the field.

    """
    key(new.key)
    line(new.name, "name of the flag")
    description(new.description)
    tags(new.tags)
    for variation in new.variations:
        line(variation.name, f'name of variation "{variation.id}"')
    whole = {
        "rollout": [0, 1],
        "id": new.enabled_variation_id,
    }
    _evaluates(
        {
            **new.document(),
            "id": new.key,
            "updatedAt": "2000-01-01T00:00:00Z",
            "targetUsers": [],
            "rules": [],
            "fallthrough": {"variations": [whole]},
        }
    )
    return new


def flag(flag: ManagedFlag, segments: Iterable[str]) -> None:
    """Check that *flag* evaluates for everyone; *segments* are the ids that exist.

    Raises:
        RefusedError: it does not, or FeatBit's audit log could not show a later
            change of it: repeated ids, two targets of one variation, a user in two.

    """
    where = f'flag "{key(flag.key)}"'
    parsed = _evaluates(flag.document())
    known = dict.fromkeys(segments, _nobody)
    for rule in parsed.rules:
        _compiles(rule.conditions, known, f'{where}: rule "{rule.id}"')
    _unique([rule.id for rule in parsed.rules], f"{where}: rules", "id")
    for rule_json in flag.rules:
        names = [str(one.get("id")) for one in rule_json["conditions"]]
        _unique(names, f'{where}: rule "{rule_json["id"]}"', "condition id")
    served = [target.variation_id for target in parsed.targets]
    _unique(served, f"{where}: targetUsers", "variation")
    users = [user for target in parsed.targets for user in target.keys]
    if len(set(users)) < len(users):
        # Which one is personal data.
        raise RefusedError(f"{where}: targetUsers: a user is named twice")


def referenced_segments(flag: ManagedFlag) -> set[str]:
    """Return the ids of the segments that the rules of *flag* name.

    Raises:
        RefusedError: a rule or a list of segments cannot be read.

    """
    try:
        return {
            name
            for condition in parse_flag(flag.document()).conditions()
            for name in segment_ids(condition)
        }
    except FeatBitDataError as error:
        raise RefusedError(str(error)) from None


def new_segment(new: NewSegment) -> NewSegment:
    """Return *new* if it can be created.

    Raises:
        RefusedError: a field is missing or malformed.

    """
    key(new.key, "segment key")
    line(new.name, "name of the segment")
    description(new.description)
    if not new.scopes or any("*" in scope for scope in new.scopes):
        example = "organization/<key>:project/<key>:env/<key>"
        raise RefusedError(f"a segment needs scopes without wildcards, like {example}")
    return new


def segment(segment: ManagedSegment) -> None:
    """Check that *segment* evaluates for everyone.

    Raises:
        RefusedError: it does not; the message names the field.

    """
    where = f'segment "{segment.id}"'
    try:
        compile_segment(parse_segment(segment.document()))
    except FeatBitDataError as error:
        raise RefusedError(f"{where}: {error}") from None
    both = set(segment.included) & set(segment.excluded)
    if both:
        problem = f"{len(both)} users are both included and excluded"
        raise RefusedError(f"{where}: {problem}")
    _unique([str(rule.get("id")) for rule in segment.rules], f"{where}: rules", "id")


def completed(
    rules: Sequence[Json], ids: Iterator[str], **members: object
) -> list[Json]:
    """Return *rules* with ids and names where they had none, and with *members*."""
    return [
        {
            "id": next(ids),
            "name": "",
            **members,
            **rule,
            "conditions": [
                {"id": next(ids), "op": None, **condition}
                for condition in rule.get("conditions") or ()
            ],
        }
        for rule in rules
    ]


def _evaluates(document: Json) -> Flag:
    try:
        return parse_flag(document)
    except FeatBitDataError as error:
        raise RefusedError(str(error)) from None


def _compiles(
    conditions: Iterable[Condition], segments: Mapping[str, Any], where: str
) -> None:
    for one in conditions:
        if one.op is None and one.attribute not in SEGMENT_OPERATORS:
            raise RefusedError(f"{where}: {one.attribute}: op is missing")
        try:
            compile_condition(one, segments)
        except FeatBitDataError as error:
            raise RefusedError(f"{where}: {one.attribute}: {error}") from None


def _unique(names: Sequence[str], where: str, noun: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RefusedError(f"{where}: {noun} {', '.join(twice)} appears twice")


def _nobody(_key: str, _attributes: Mapping[str, str]) -> bool:
    return False
