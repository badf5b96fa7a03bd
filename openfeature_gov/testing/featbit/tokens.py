"""Access tokens and the policy statements that say what each may do."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from openfeature_gov.testing.featbit.environment import new_id

Statement = dict[str, Any]
LETTERS = string.ascii_letters + string.digits
EVERYTHING: Statement = {
    "id": "1",
    "resourceType": "*",
    "effect": "allow",
    "actions": ["*"],
    "resources": ["*"],
}


@dataclass(frozen=True, slots=True)
class AccessToken:
    """One service token; *text* is what a client sends."""

    id: str
    name: str
    text: str
    statements: Sequence[Statement]

    def allows(self, action: str, kind: str, resource: str) -> bool:
        """Tell whether the statements grant *action*: one allows it and none denies."""
        effects = {
            statement["effect"]
            for statement in self.statements
            if _applies(statement, action, kind, resource)
        }
        return effects == {"allow"}


class Tokens:
    """The tokens of one server, by their text."""

    def __init__(self) -> None:
        self._known: dict[str, AccessToken] = {}

    def mint(self, statements: Iterable[Statement], *, name: str) -> AccessToken:
        """Return another token with these policy *statements*."""
        text = "api-" + "".join(secrets.choice(LETTERS) for _ in range(40))
        token = AccessToken(new_id(), name, text, tuple(statements))
        self._known[text] = token
        return token

    def revoke(self, text: str) -> None:
        """Delete a token; its entries in the audit log lose their name."""
        del self._known[text]

    def find(self, text: str) -> AccessToken | None:
        """Return the token that a client sent, if it is known."""
        return self._known.get(text)

    def name_of(self, token_id: str) -> str | None:
        """Return the name of the token with this id, if it still exists."""
        names = [one.name for one in self._known.values() if one.id == token_id]
        return names[0] if names else None


def _applies(statement: Statement, action: str, kind: str, resource: str) -> bool:
    if statement["resourceType"] == "*":
        return True
    return (
        statement["resourceType"] == kind
        and bool({action, "*"} & set(statement["actions"]))
        and any(matches(pattern, resource) for pattern in statement["resources"])
    )


def matches(pattern: str, resource: str) -> bool:
    """Tell whether *pattern* covers *resource*: as a prefix, ``*`` within one part."""
    wanted, found = pattern.split(":"), resource.split(":")
    if len(wanted) > len(found):
        return False
    return all(map(_part_matches, wanted, found))


def _part_matches(pattern: str, part: str) -> bool:
    pattern, _, wanted = pattern.partition(";")
    part, _, tags = part.partition(";")
    if wanted and not set(wanted.split(",")) & set(tags.split(",")):
        return False
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    return re.fullmatch(expression, part) is not None
