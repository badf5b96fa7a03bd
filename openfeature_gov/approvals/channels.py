"""Channels: who is told where, from one YAML file.

The file holds ``channels``, a list of ``group``, ``name`` and either ``url``, any that
apprise knows, or ``webhook`` and ``secretFile``. URLs and secrets open the door to
whoever reads them: they are in no error, log or repr, and the files that hold them are
refused where others may read them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.approvals.signing import SHORTEST
from openfeature_gov.errors import InvalidContractError

ROOT = "channels"
KEYS = ("name", "group", "url", "webhook", "secretFile")
OTHERS = stat.S_IWGRP | stat.S_IRWXO
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
HERE = ("127.0.0.1", "::1", "localhost")


def _line(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be one printable line without outer blanks")
    return value


def _address(value: str) -> str:
    """Return the URL *value* if nobody on the way can read what is sent there."""
    if not is_safe(value):
        raise ValueError(
            "must be an https:// URL without user, or http:// on this machine"
        )
    return value


Line = Annotated[str, AfterValidator(_line), Field(min_length=1, max_length=2_000)]
Hidden = Annotated[Line | None, Field(repr=False)]
Address = Annotated[str, AfterValidator(_address)]


class Entry(BaseModel):
    """Be one channel of the file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel
    )

    group: Line
    name: str = ""
    url: Hidden = None
    webhook: Annotated[Address | None, Field(repr=False)] = None
    secret_file: Line | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.webhook is None):
            raise ValueError("needs either url, or webhook and secretFile")
        if (self.webhook is None) != (self.secret_file is None):
            raise ValueError("webhook and secretFile go together")
        if not NAME.fullmatch(self.name or self.group):
            raise ValueError("needs a name of letters, digits, - and _, 64 at most")
        return self


@dataclass(frozen=True, slots=True)
class Channel:
    """Lead to one place where *group*, or the person of that name, is told.

    *name* stands in messages and in the name of the cursor. Either *url* is one of
    apprise, or *webhook* a URL that gets JSON signed with *secret*.
    """

    name: str
    group: str
    url: str = field(default="", repr=False)
    webhook: str = field(default="", repr=False)
    secret: bytes = field(default=b"", repr=False)


def is_safe(url: str) -> bool:
    """Say whether *url* is https, or http to this machine, and names no user."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in HERE)
    return secure and bool(host) and "@" not in parts.netloc and url.isprintable()


def load_channels(path: Path) -> tuple[Channel, ...]:
    """Return the channels of the file *path*; secret files are beside it.

    Raises:
        InvalidContractError: when the file is refused; names file, line and key.
        OSError: when it, or a secret file, cannot be read.

    """
    source = str(path)
    text = yaml.decoded(private(path), source)
    try:
        documents = yaml.parse(text, source)
    except InvalidContractError as error:
        # What is wrong in YAML is quoted, and it may be a URL.
        problems = [(line, "", "is no plain YAML") for line, _, _ in error.problems]
        raise InvalidContractError(source, problems) from None
    problems = []
    found = tuple(_channels(documents, path.parent, problems))
    if problems:
        raise InvalidContractError(source, problems)
    return found


def private(path: Path) -> bytes:
    """Return what the file *path* holds, if nobody else may read or change it.

    Raises:
        InvalidContractError: when others may.
        OSError: when it cannot be read.

    """
    with path.open("rb") as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & OTHERS:
            problem = "others may read or change it; run chmod o-rwx,g-w"
            raise InvalidContractError(str(path), [(0, "", problem)])
        return file.read(yaml.MAX_BYTES + 1)


def _channels(
    documents: list[yaml.Document], folder: Path, problems: list[yaml.Problem]
) -> Iterator[Channel]:
    data = documents[0].data if len(documents) == 1 else None
    listed = data.get(ROOT) if isinstance(data, dict) and len(data) == 1 else None
    if not isinstance(listed, list) or not listed:
        problems.append((1, ROOT, "expected one document with this key alone, a list"))
        return
    names: dict[str, int] = {}
    for index, item in enumerate(listed):
        line = documents[0].line((ROOT, index))
        where = f"{ROOT}[{index}]"
        try:
            made = _channel(Entry.model_validate(item), folder)
        except ValidationError as error:
            items = error.errors(include_url=False, include_input=False)
            problems.extend((line, *_problem(where, dict(one))) for one in items)
            continue
        except ValueError as error:
            problems.append((line, f"{where}.secretFile", str(error)))
            continue
        # Its cursor is a file, and some file systems know no capitals.
        if made.name.lower() in names:
            problem = f"duplicate, of the channel on line {names[made.name.lower()]}"
            problems.append((line, f"{where}.name", problem))
        names.setdefault(made.name.lower(), line)
        yield made


def _channel(entry: Entry, folder: Path) -> Channel:
    """Return the channel that *entry* describes, with its secret."""
    name = entry.name or entry.group
    if entry.webhook is None or entry.secret_file is None:
        return Channel(name, entry.group, url=entry.url or "")
    secret = private(folder / entry.secret_file).strip()
    if len(secret) < SHORTEST:
        raise ValueError(f"holds no secret of at least {SHORTEST} bytes")
    return Channel(name, entry.group, webhook=entry.webhook, secret=secret)


def _problem(where: str, item: Mapping[str, Any]) -> tuple[str, str]:
    """Return where and what is wrong, in words that quote nothing of the file."""
    words = {
        "extra_forbidden": f"unknown key; known are {', '.join(KEYS)}",
        "missing": "missing",
        "model_type": "expected a mapping",
    }
    message = words.get(item["type"], str(item["msg"]).removeprefix("Value error, "))
    key = ".".join(str(one) for one in item["loc"] if one in KEYS)
    return f"{where}.{key}" if key else where, message
