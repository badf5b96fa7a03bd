"""The one environment of a simulated server: its names, ids and secrets."""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from dataclasses import dataclass, field

DIGITS = {letter: str(number) for number, letter in enumerate("QBWSPHDXZU")}
SECRET_LENGTH = 44
HALF = SECRET_LENGTH // 2
LONGEST_AGE_MS = 30_000
"""The age of a stream token that FeatBit accepts unless configured otherwise."""


def new_id() -> str:
    """Return a fresh GUID."""
    return str(uuid.uuid4())


def _encoded(guid: str) -> str:
    data = uuid.UUID(guid).bytes_le
    return base64.b64encode(data, altchars=b"-_").decode()[:HALF]


def new_secret(env_id: str) -> str:
    """Return a secret of *env_id*: a random GUID and the environment's, encoded."""
    return _encoded(new_id()) + _encoded(env_id)


def environment_of(secret: str) -> str | None:
    """Return the environment id inside *secret*, or None if it has another shape."""
    if len(secret) != SECRET_LENGTH:
        return None
    try:
        data = base64.b64decode(secret[HALF:] + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return str(uuid.UUID(bytes_le=data))


def read_token(token: str) -> tuple[str, int] | None:
    """Return the secret and the time (ms since 1970) in a stream *token*, or None."""
    try:
        position = _number(token[:3])
        length = _number(token[3:5])
        rest = token[5:]
        stamp = _number(rest[position : position + length])
    except (KeyError, ValueError):
        return None
    return rest[:position] + rest[position + length :], stamp


def _number(letters: str) -> int:
    return int("".join(DIGITS[letter] for letter in letters))


@dataclass(frozen=True, slots=True)
class Environment:
    """One workspace, organization, project and environment."""

    workspace_id: str = field(default_factory=new_id)
    organization_id: str = field(default_factory=new_id)
    organization: str = "playground"
    project_id: str = field(default_factory=new_id)
    project_key: str = "agents"
    project_name: str = "Agents"
    env_id: str = field(default_factory=new_id)
    env_key: str = "prod"
    env_name: str = "Prod"
    server_secret: str = ""
    client_secret: str = ""

    @classmethod
    def create(cls) -> Environment:
        """Return an environment with fresh ids and the secrets that belong to them."""
        env_id = new_id()
        return cls(
            env_id=env_id,
            server_secret=new_secret(env_id),
            client_secret=new_secret(env_id),
        )

    @property
    def resource(self) -> str:
        """The environment's name in policies."""
        return f"project/{self.project_key}:env/{self.env_key}"

    @property
    def scope(self) -> str:
        """The environment's name in the scopes of segments."""
        return f"organization/{self.organization}:{self.resource}"

    def admits(self, token: str, kind: str, *, now_ms: float) -> bool:
        """Tell whether a stream may open with *token* as type *kind*."""
        read = read_token(token)
        if read is None or kind != "server":
            return False
        secret, stamp = read
        known = secrets.compare_digest(secret.encode(), self.server_secret.encode())
        return known and abs(now_ms - stamp) <= LONGEST_AGE_MS
