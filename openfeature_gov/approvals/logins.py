"""Log in with the signed tokens of an issuer, such as a company's single sign-on.

The token says who somebody is; one that was delegated (RFC 8693, ``act``) is nobody's.
The reviewers file still says who reviews, and names each one by ``tokenSubject``. What
the token says about groups can only narrow that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.approvals.directory import ReviewerDirectory, unshared
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.errors import IdentityError, InvalidContractError
from openfeature_gov.governance.parts import Part
from openfeature_gov.identity.key_sets import KeySet
from openfeature_gov.identity.tokens import Token, TokenRules, Tokens

ROOT = "reviewerLogin"
UNAVAILABLE = "keys_unavailable"
Word = Annotated[str, Field(min_length=1, max_length=500)]
Login = Callable[[str], Reviewer | None]


class GroupClaim(Part):
    """Say which claim holds groups, and which of ours each of its values is."""

    claim: Word
    names: Annotated[dict[Word, Word], Field(min_length=1)]


class LoginRules(Part):
    """Say whose tokens count, for whom they must be made, and where the keys are.

    *keys* is a file beside this one, or an https URL.
    """

    issuer: Word
    audience: Word
    keys: Word
    algorithms: tuple[Word, ...] = ("EdDSA", "ES256", "PS256", "RS256")
    groups: GroupClaim | None = None


class SignedLogins:
    """Know reviewers of *directory* by their tokens. Safe to share between threads."""

    def __init__(
        self,
        tokens: Tokens,
        directory: ReviewerDirectory,
        groups: GroupClaim | None = None,
    ) -> None:
        self._tokens, self._directory, self._groups = tokens, directory, groups

    def __call__(self, token: str) -> Reviewer | None:
        """Return whose *token* this is, None for nobody's, or one that counts no more.

        Raises:
            IdentityError: code ``keys_unavailable`` when nobody can tell now.

        """
        try:
            found = self._tokens.verify(token)
        except IdentityError as error:
            if error.code == UNAVAILABLE:
                raise
            return None
        known = self._directory.by_token_subject(found.subject)
        # Where somebody acts for the subject, such as an agent, it is not the subject.
        if known is None or found.actors:
            return None
        return Reviewer(known.subject, known.groups, known.way, self._within(found))

    def _within(self, token: Token) -> frozenset[str] | None:
        if self._groups is None:
            return None
        told = token.texts(self._groups.claim)
        names = self._groups.names
        return frozenset(names[one] for one in told if one in names)


def load(path: Path, directory: ReviewerDirectory) -> SignedLogins:
    """Return the logins that the file *path* describes, of reviewers in *directory*.

    Raises:
        InvalidContractError: when it is refused, or others may write it or the keys.
        IdentityError: when its rules are not safe, or the keys cannot be read.
        OSError: when it cannot be read.

    """
    rules = _rules(path)
    if "://" in rules.keys:
        keys = KeySet.of_url(rules.keys)
    else:
        place = path.parent / rules.keys
        unshared(place)
        keys = KeySet(lambda: _keys(place))
    told = TokenRules(
        issuer=rules.issuer, audience=rules.audience, algorithms=rules.algorithms
    )
    return SignedLogins(Tokens(told, keys), directory, rules.groups)


def _keys(path: Path) -> bytes:
    try:
        return unshared(path)
    except InvalidContractError as error:
        raise OSError(str(error)) from error


def _rules(path: Path) -> LoginRules:
    source = str(path)
    documents = yaml.parse(yaml.decoded(unshared(path), source), source)
    data = documents[0].data if len(documents) == 1 else None
    if not isinstance(data, dict) or data.keys() != {ROOT}:
        problem = f"expected one document with the key {ROOT} alone"
        raise InvalidContractError(source, [(1, "", problem)])
    problems: list[yaml.Problem] = []
    rules = yaml.validated(
        *(documents[0], (ROOT,), data[ROOT], LoginRules.model_validate, problems)
    )
    if rules is None:
        raise InvalidContractError(source, problems)
    return rules
