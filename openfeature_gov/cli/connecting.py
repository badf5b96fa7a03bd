"""Which flags a command is about: those of a file, or of a FeatBit environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from openfeature_gov.targets import FlagTarget
from openfeature_gov.targets.file import FileTarget

if TYPE_CHECKING:
    from openfeature_gov.targets.featbit import FeatBitTarget

TOKEN = "GOV_FEATBIT_TOKEN"  # noqa: S105 - the name of the variable
HINTS = {
    "api_url": "--api-url or GOV_FEATBIT_API_URL",
    "project": "--project or GOV_FEATBIT_PROJECT",
    "env": "--env or GOV_FEATBIT_ENV",
}


def target_of(
    context: typer.Context,
    flags: Path,
    featbit: bool,
    api_url: str,
    token_file: Path | None,
    project: str,
    env: str,
) -> FlagTarget:
    """Return the target that a command names; nothing is read or reached yet.

    *context* tells whether --flags was said, or is the default or in the environment.

    Raises:
        typer.BadParameter: when it names two, or what FeatBit needs is missing.
        OSError: when the token file cannot be read.

    """
    if not featbit:
        return FileTarget(flags)
    source = context.get_parameter_source("flags")
    if source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter("say --flags FILE or --featbit, not both")
    return environment_of(api_url, token_file, project, env)


def environment_of(
    api_url: str, token_file: Path | None, project: str, env: str
) -> FeatBitTarget:
    """Return the FeatBit environment that the options name; it is not reached yet.

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
        client = ManagementClient(api_url, _token(token_file))
    except RefusedError as error:
        raise typer.BadParameter(str(error)) from None
    return FeatBitTarget(client, project, env)


def _token(path: Path | None) -> str:
    """Return the access token; it never stands on a command line, which others see."""
    token = os.environ.get(TOKEN, "") if path is None else path.read_text("utf-8")
    if not token.strip():
        where = TOKEN if path is None else str(path)
        raise typer.BadParameter(
            f"{where} holds no access token; set {TOKEN} or give --token-file"
        )
    return token.strip()


def beside(flags: Path, featbit: bool, name: str) -> Path:
    """Return the file *name* beside the flag file; here, for FeatBit."""
    return Path(name) if featbit else flags.with_name(name)
