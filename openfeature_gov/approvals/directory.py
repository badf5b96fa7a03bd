"""`ReviewerDirectory`: who may answer, from one YAML file that is read anew.

The file holds ``reviewers``, a list of ``subject``, ``aliases``, ``groups``,
``osUser``, ``tokenSha256`` and ``tokenSubject``; and it may hold ``rotas``, who is on
call: a list of ``name``, ``handoverMinutes`` and ``shifts``. Whoever can write it
decides who reviews: it is refused where the group or everyone may. Whoever is taken out
of it has no say from then on, and while it cannot be read or is invalid nobody has.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from openfeature.contrib.provider.featbit.reading import regular
from openfeature_gov import strict_yaml as yaml
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.rotas import Rota
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import skeleton

ROOT, ROTAS = "reviewers", "rotas"
WRITABLE = stat.S_IWGRP | stat.S_IWOTH
logger = logging.getLogger(__name__)


def _name(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be one printable line without outer blanks")
    return value


Name = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=200)]


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must be 64 lower-case hexadecimal digits")
    if value == sha256().hexdigest():
        raise ValueError("is of an empty token, which everybody has")
    return value


Digest = Annotated[str, AfterValidator(_digest)]


class Entry(BaseModel):
    """Be one reviewer of the file: one person, under every name that it has."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel
    )

    subject: Name
    aliases: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()
    os_user: Name | None = None
    token_sha256: Annotated[Digest | None, Field(alias="tokenSha256", repr=False)] = (
        None
    )
    token_subject: Name | None = None

    @property
    def names(self) -> frozenset[str]:
        """Return every name of the person, also those that only others know it by."""
        others = (one for one in (self.os_user, self.token_subject) if one)
        return frozenset((self.subject, *self.aliases, *others))

    def reviewer(self, way: str) -> Reviewer:
        """Return the person, authenticated in this *way*."""
        return Reviewer(self.subject, frozenset(self.groups), way)


@dataclass(frozen=True, slots=True)
class _Read:
    """Hold what the file said when it held *data*; *known* finds people by name."""

    data: bytes | None
    entries: tuple[Entry, ...] = ()
    rotas: tuple[Rota, ...] = ()
    known: Mapping[str, Entry] = field(default_factory=dict)


class ReviewerDirectory:
    """Know the reviewers of the file *path* as it stands at each question.

    *now* returns microseconds since 1970. Safe to share between threads.

    Raises:
        InvalidContractError: when the file is refused; names file, line and key.
        OSError: when it cannot be read.

    """

    def __init__(
        self, path: Path, now: Callable[[], int] = lambda: time.time_ns() // 1_000
    ) -> None:
        self._path, self._clock = path, now
        self._read = _load(path, unshared(path))

    def groups(self, subject: str) -> frozenset[str]:
        """Return the groups of *subject*, and what it is on call for.

        None for one that is not known any more.
        """
        read = self._now()
        entry = read.known.get(subject)
        if entry is None:
            return frozenset()
        at_us = self._clock() if read.rotas else 0
        duty = (one.name for one in read.rotas if one.on_duty(entry.names, at_us))
        return frozenset((*entry.groups, *duty))

    def aliases(self, subject: str) -> frozenset[str]:
        """Return every name of the person *subject*; none for one that is not known."""
        entry = self._entry(subject)
        return frozenset() if entry is None else entry.names

    def by_token(self, token: str) -> Reviewer | None:
        """Return whose *token* this is, None for nobody's; takes as long for each."""
        digest = sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        for entry in self._now().entries:
            if compare_digest(digest, entry.token_sha256 or ""):
                found = entry
        return None if found is None else found.reviewer("token")

    def by_token_subject(self, subject: str) -> Reviewer | None:
        """Return whom an issuer's tokens call *subject*, None for nobody.

        Whoever asks has verified the token.
        """
        for entry in self._now().entries:
            if entry.token_subject == subject:
                return entry.reviewer("signed")
        return None

    def by_os_user(self, name: str) -> Reviewer | None:
        """Return who logs in to the operating system as *name*, None for nobody."""
        for entry in self._now().entries:
            if entry.os_user == name:
                return entry.reviewer("cli")
        return None

    def _entry(self, name: str) -> Entry | None:
        return self._now().known.get(name)

    def _now(self) -> _Read:
        """Return what the file says now; nobody, loudly, while it says nothing."""
        held = self._read
        try:
            data = unshared(self._path)
            if data == held.data:
                return held
            fresh = _load(self._path, data)
            logger.warning("reviewers read anew: %d in all", len(fresh.entries))
        except (OSError, InvalidContractError) as error:
            fresh = _Read(None)
            if held.data is not None:
                logger.error("nobody can answer requests for approval: %s", error)  # noqa: TRY400 - the message says it all
        self._read = fresh
        return fresh


def unshared(path: Path) -> bytes:
    """Return what the file *path* holds, if nobody else may write it.

    Raises:
        InvalidContractError: when others may write it.
        OSError: when it cannot be read or is no regular file.

    """
    with regular(path) as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & WRITABLE:
            problem = "others may write it and so decide who reviews; run chmod go-w"
            raise InvalidContractError(str(path), [(0, "", problem)])
        return file.read(yaml.MAX_BYTES + 1)


def _load(path: Path, data: bytes) -> _Read:
    source = str(path)
    documents = yaml.parse(yaml.decoded(data, source), source)
    if len(documents) != 1:
        problem = f"expected one document with the key {ROOT}"
        raise InvalidContractError(source, [(1, "", problem)])
    problems: list[yaml.Problem] = []
    entries = tuple(_entries(documents[0], problems))
    rotas = tuple(_rotas(documents[0], entries, problems))
    if problems:
        raise InvalidContractError(source, problems)
    known = {name: entry for entry in entries for name in entry.names}
    return _Read(data, entries, rotas, known)


def _entries(document: yaml.Document, problems: list[yaml.Problem]) -> Iterator[Entry]:
    data = document.data
    listed = data.get(ROOT) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(listed, list):
        problems.append((document.line(()), ROOT, "expected a list"))
        return
    odd = sorted(data.keys() - {ROOT, ROTAS})
    problems.extend(document.problem((key,), "unknown key") for key in odd)
    found: dict[yaml.Path, Entry] = {}
    for index, item in enumerate(listed):
        path: yaml.Path = (ROOT, index)
        entry = yaml.validated(document, path, item, Entry.model_validate, problems)
        if entry is not None:
            found[path] = entry
    problems.extend(_duplicates(document, found))
    yield from found.values()


def _rotas(
    document: yaml.Document, entries: Iterable[Entry], problems: list[yaml.Problem]
) -> Iterator[Rota]:
    """Yield who is on call; a shift of nobody known is a mistake."""
    data = document.data if isinstance(document.data, dict) else {}
    listed = data.get(ROTAS, [])
    if not isinstance(listed, list):
        problems.append(document.problem((ROTAS,), "expected a list"))
        return
    names = {name for entry in entries for name in entry.names}
    taken = {skeleton(one) for one in names}
    for index, item in enumerate(listed):
        path: yaml.Path = (ROTAS, index)
        rota = yaml.validated(document, path, item, Rota.model_validate, problems)
        if rota is None:
            continue
        for number, shift in enumerate(rota.shifts):
            if shift.subject not in names:
                where = (*path, "shifts", number, "subject")
                told = "is no reviewer of this file"
                problems.append(document.problem(where, told))
        if skeleton(rota.name) in taken:
            told = "is the name of a reviewer, or of another rota"
            problems.append(document.problem((*path, "name"), told))
        taken.add(skeleton(rota.name))
        yield rota


def _duplicates(
    document: yaml.Document, found: Mapping[yaml.Path, Entry]
) -> Iterator[yaml.Problem]:
    """Yield what two reviewers share, look-alike spellings too: it would be neither's.

    A name that is a group's as well would make its owner stand for the whole group.
    """
    groups = {skeleton(one) for entry in found.values() for one in entry.groups}
    held: dict[tuple[str, str], yaml.Path] = {}
    for path, entry in found.items():
        for where, kind, value in _keys(path, entry):
            other = held.setdefault((kind, value), path)
            if other != path:
                told = f"duplicate, of the reviewer on line {document.line(other)}"
                yield document.problem(where, told)
            if kind == "name" and value in groups:
                yield document.problem(where, "is the name of a group too")


def _keys(path: yaml.Path, entry: Entry) -> Iterable[tuple[yaml.Path, str, str]]:
    """Return what must be this reviewer's alone: where it stands, its kind, itself."""
    names = chain(
        [((*path, "subject"), entry.subject)],
        (((*path, "aliases", n), one) for n, one in enumerate(entry.aliases)),
        [((*path, "osUser"), entry.os_user)] if entry.os_user else [],
        [((*path, "tokenSubject"), entry.token_subject)] if entry.token_subject else [],
    )
    for where, name in names:
        yield where, "name", skeleton(name)
    if entry.token_sha256:
        yield (*path, "tokenSha256"), "token", entry.token_sha256
