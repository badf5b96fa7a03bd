"""Which flags a command is about: those of a file, or of a FeatBit environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from openfeature_gov.cli.lending import lent
from openfeature_gov.cli.options import (
    FLAGS,
    ApiUrl,
    Env,
    FeatBit,
    Flags,
    Project,
    TokenFile,
)
from openfeature_gov.targets import FlagTarget
from openfeature_gov.targets.file import FileTarget

if TYPE_CHECKING:
    from openfeature_gov.targets.featbit import FeatBitTarget

TOKEN = "GOV_FEATBIT_TOKEN"  # noqa: S105 - the name of the variable
SECRET = "GOV_FEATBIT_SECRET"  # noqa: S105 - the name of the variable
HINTS = {
    "api_url": "--api-url or GOV_FEATBIT_API_URL",
    "project": "--project or GOV_FEATBIT_PROJECT",
    "env": "--env or GOV_FEATBIT_ENV",
}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Say where an evaluation server is; a URL that was not given is empty."""

    streaming_url: str
    event_url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Aim:
    """Hold which flags a command is about: its *target*, and what may lie beside."""

    target: FlagTarget
    folder: Path

    def beside(self, name: str) -> Path:
        """Return the file *name* beside the flag file; here, for FeatBit."""
        return self.folder / name


def aim(
    context: typer.Context,
    *,
    flags: Flags = Path(FLAGS),
    featbit: FeatBit = False,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
) -> Aim:
    """Return the flags that the options name; nothing is read or reached yet.

    *context* tells whether --flags was said, or is the default or in the environment.

    Raises:
        typer.BadParameter: when they name two, or what FeatBit needs is missing.
        OSError: when the token file cannot be read.

    """
    if not featbit:
        return Aim(FileTarget(flags), flags.parent)
    source = context.get_parameter_source("flags")
    if source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter("say --flags FILE or --featbit, not both")
    return Aim(environment_of(api_url, token_file, project, env), Path())


aimed = lent(aim, Controller=object)
"""Give a command, whose first argument is an `Aim`, the options of `aim`."""


def environment_of(
    api_url: str,
    token_file: Path | None,
    project: str,
    env: str,
    *,
    timeout_s: float = 10.0,
) -> FeatBitTarget:
    """Return the FeatBit environment that the options name; it is not reached yet.

    *timeout_s* bounds the wait for each answer, in seconds.

    Raises:
        typer.BadParameter: when an option is missing, or the URL or token is malformed.
        OSError: when the token file cannot be read.

    """
    # The client's libraries take a while to load, and a flag file needs none.
    from openfeature.contrib.provider.featbit.management import (  # noqa: PLC0415
        ManagementClient,
        RefusedError,
    )
    from openfeature_gov.targets.featbit import FeatBitTarget  # noqa: PLC0415

    given = {"api_url": api_url, "project": project, "env": env}
    missing = [HINTS[name] for name, value in given.items() if not value]
    if missing:
        raise typer.BadParameter(f"FeatBit needs {'; '.join(missing)}")
    try:
        token = private(token_file, TOKEN, "access token", "--token-file")
        client = ManagementClient(api_url, token, timeout_s=timeout_s)
    except RefusedError as error:
        raise typer.BadParameter(str(error)) from None
    return FeatBitTarget(client, project, env)


def evaluation_of(
    streaming_url: str, event_url: str, secret_file: Path | None
) -> Evaluation | None:
    """Return the evaluation server that the options name, None if they name none.

    Raises:
        typer.BadParameter: when a URL or the secret is malformed, or there is none.
        OSError: when the secret file cannot be read.

    """
    if not streaming_url and not event_url:
        return None
    _check_url("--streaming-url", streaming_url, ("ws", "wss"))
    _check_url("--event-url", event_url, ("http", "https"))
    secret = private(secret_file, SECRET, "server secret", "--secret-file")
    if not (secret.isascii() and secret.isprintable() and " " not in secret):
        raise typer.BadParameter("the server secret is no printable ASCII text")
    return Evaluation(streaming_url.rstrip("/"), event_url.rstrip("/"), secret)


def _check_url(option: str, url: str, schemes: tuple[str, ...]) -> None:
    """Refuse a URL that cannot be used; what stands in it is not repeated."""
    if not url:
        return
    wanted = " or ".join(f"{scheme}://host" for scheme in schemes)
    try:
        parts = urlsplit(url)
        fit = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise typer.BadParameter(f"{option} must be {wanted}") from None
    if not fit:
        raise typer.BadParameter(f"{option} must be {wanted}")
    if parts.username is not None or parts.query or parts.fragment:
        raise typer.BadParameter(f"{option} must hold no user, query or fragment")


def private(path: Path | None, variable: str, noun: str, option: str) -> str:
    """Return a token or secret; it never stands on a command line, which others see."""
    text = os.environ.get(variable, "") if path is None else path.read_text("utf-8")
    if not text.strip():
        where = variable if path is None else str(path)
        raise typer.BadParameter(
            f"{where} holds no {noun}; set {variable} or give {option}"
        )
    return text.strip()
