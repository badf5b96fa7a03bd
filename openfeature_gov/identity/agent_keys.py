"""`AgentKeys`: the API keys of agents, from one file that is read anew when it changes.

A key is ``gov_ID_SECRET``. The file holds the digest of the secret, which is 256 random
bits: nobody can guess one, and nobody who reads the file can use it. Whoever can write
the file decides who acts: it is refused where the group or everyone may.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Annotated, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from openfeature.contrib.provider.featbit.reading import regular
from openfeature_gov.errors import IdentityError
from openfeature_gov.identity.principals import Principal

UNREADABLE = "keys_unavailable"
WRITABLE = stat.S_IWGRP | stat.S_IWOTH
MOST_BYTES = 4_194_304
_KEY = re.compile(r"gov_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = "0" * 64
OpaqueId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Scope = Annotated[str, Field(min_length=1, max_length=200)]
Time = Annotated[int, Field(ge=0, lt=2**53)]


class AgentKey(BaseModel):
    """Be one key of the file: whose it is, what it holds, and when it ends or ended."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
    )

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    agent: OpaqueId
    service: OpaqueId | None = None
    scopes: tuple[Scope, ...] = ()
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    created_us: Time
    expires_us: Time | None = None
    revoked_us: Time | None = None

    def ended(self, now_us: int) -> str:
        """Return why the key does not count at *now_us*, empty while it does."""
        if self.revoked_us is not None:
            return "identity_revoked"
        past = self.expires_us is not None and now_us >= self.expires_us
        return "identity_expired" if past else ""

    def principal(self) -> Principal:
        """Return whom the key stands for."""
        return Principal(
            credential=f"key:{self.id}",
            agent=self.agent,
            service=self.service or "",
            scopes=frozenset(self.scopes),
        )


_FILE: TypeAdapter[tuple[AgentKey, ...]] = TypeAdapter(tuple[AgentKey, ...])


class _Read(NamedTuple):
    stamp: tuple[int, ...]
    keys: dict[str, AgentKey]


class AgentKeys:
    """Know the keys in the file *path*, as it stands at each question.

    *now* returns microseconds since 1970. Safe to share between threads.
    """

    def __init__(self, path: Path, now: Callable[[], int]) -> None:
        self._path, self._now = path, now
        self._read: _Read | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AgentKeys({str(self._path)!r})"

    def get(self, key_id: str) -> AgentKey | None:
        """Return the key *key_id*, None for no such key.

        Raises:
            IdentityError: code ``keys_unavailable`` when the file cannot be read, is no
                list of keys, or others may write it.

        """
        return self._current().get(key_id)

    def every(self) -> list[AgentKey]:
        """Return all keys, the oldest first.

        Raises:
            IdentityError: as `get`.

        """
        return sorted(self._current().values(), key=lambda one: one.created_us)

    def authenticate(self, text: str) -> Principal:
        """Return whom the key *text* stands for.

        Raises:
            IdentityError: ``key_unknown`` for what is no key of the file,
                ``identity_revoked`` and ``identity_expired`` for one that ended, and
                as `get`.

        """
        found = _KEY.fullmatch(text) if type(text) is str else None
        key_id, secret = found.groups() if found is not None else ("", "")
        key = self.get(key_id)
        # Compared in any case: how long it takes tells nothing of what is known.
        same = compare_digest(_digest(secret), _NOBODY if key is None else key.digest)
        if key is None or not same:
            raise IdentityError("key_unknown", "no such key")
        ended = key.ended(self._now())
        if ended:
            raise IdentityError(ended, "the key ended")
        return key.principal()

    def add(
        self,
        agent: str,
        *,
        service: str = "",
        scopes: Iterable[str] = (),
        lifetime_s: int | None = None,
    ) -> tuple[AgentKey, str]:
        """Return a new key for *agent* and its text, which is kept nowhere.

        *lifetime_s* is in seconds.

        Raises:
            ValueError: for an id or a scope that is none.
            IdentityError: as `get`, where there is a file.

        """
        with self._changing() as keys:
            made, text = self._made(agent, service, tuple(scopes), lifetime_s)
            keys.append(made)
        return made, text

    def rotate(self, agent: str, *, overlap_s: int) -> tuple[AgentKey, str]:
        """Return a new key for *agent* like its newest; the old end in *overlap_s*.

        Raises:
            ValueError: when *agent* has no key that counts.
            IdentityError: as `get`.

        """
        with self._changing() as keys:
            now = self._now()
            own = [one for one in keys if one.agent == agent and not one.ended(now)]
            if not own:
                raise ValueError(f"{agent!r} has no key that counts; add one")
            last = max(own, key=lambda one: one.created_us)
            left = (
                None if last.expires_us is None else last.expires_us - last.created_us
            )
            lifetime_s = None if left is None else left // 1_000_000
            until = now + overlap_s * 1_000_000
            for number, one in enumerate(keys):
                if one in own and (one.expires_us or until) >= until:
                    keys[number] = one.model_copy(update={"expires_us": until})
            made, text = self._made(agent, last.service or "", last.scopes, lifetime_s)
            keys.append(made)
        return made, text

    def revoke(self, name: str) -> list[AgentKey]:
        """Revoke the key *name*, or every key of the agent *name*; return those.

        Raises:
            ValueError: when nothing that counts is called so.
            IdentityError: as `get`.

        """
        done = []
        with self._changing() as keys:
            for number, one in enumerate(keys):
                if name in (one.id, one.agent) and one.revoked_us is None:
                    keys[number] = one.model_copy(update={"revoked_us": self._now()})
                    done.append(keys[number])
            if not done:
                raise ValueError(f"{name!r} is no key, and no agent with one")
        return done

    def _made(
        self, agent: str, service: str, scopes: tuple[str, ...], lifetime_s: int | None
    ) -> tuple[AgentKey, str]:
        now, secret = self._now(), token_urlsafe(32)
        ends = None if lifetime_s is None else now + lifetime_s * 1_000_000
        try:
            made = AgentKey(
                id=token_hex(6),
                agent=agent,
                service=service or None,
                scopes=tuple(sorted(set(scopes))),
                digest=_digest(secret),
                created_us=now,
                expires_us=ends,
            )
        except ValidationError as error:
            raise ValueError(_told(error)) from None
        return made, f"gov_{made.id}_{secret}"

    def _current(self) -> dict[str, AgentKey]:
        try:
            found = self._path.stat()
            held = self._read
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)
            if held is not None and held.stamp == stamp:
                return held.keys
            data = _bytes(self._path)
        except OSError as error:
            self._read, told = None, error.strerror or type(error).__name__
            raise IdentityError(UNREADABLE, f"{self._path}: {told}") from error
        keys = {key.id: key for key in _parsed(self._path, data)}
        self._read = _Read(stamp, keys)
        return keys

    @contextmanager
    def _changing(self) -> Iterator[list[AgentKey]]:
        """Lend the keys to be changed; write them, whole and durable, at the end."""
        beside = self._path.with_name(f".{self._path.name}.lock")
        with self._lock, beside.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = list(self._current().values()) if self._path.exists() else []
            yield keys
            _write(self._path, keys)


def _parsed(path: Path, data: bytes) -> tuple[AgentKey, ...]:
    try:
        keys = _FILE.validate_json(data)
    except ValidationError as error:
        raise IdentityError(UNREADABLE, f"{path}: {_told(error)}") from None
    ids = [key.id for key in keys]
    if len(set(ids)) != len(ids):
        raise IdentityError(UNREADABLE, f"{path}: two keys have one id")
    return keys


def _told(error: ValidationError) -> str:
    """Return where and what, without the value: it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}"


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _bytes(path: Path) -> bytes:
    with regular(path) as file:
        if os.fstat(file.fileno()).st_mode & WRITABLE:
            told = "others may write it and so decide who acts; run chmod go-w"
            raise IdentityError(UNREADABLE, f"{path}: {told}")
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise IdentityError(UNREADABLE, f"{path}: over {MOST_BYTES} bytes")
    return data


def _write(path: Path, keys: list[AgentKey]) -> None:
    told = [key.model_dump(by_alias=True, exclude_none=True) for key in keys]
    fresh = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        made = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "wb") as file:
            file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with suppress(FileNotFoundError):
            fresh.unlink()
