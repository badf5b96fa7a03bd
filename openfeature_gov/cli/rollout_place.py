"""Which rollouts a command is about: plans, contracts, flags and records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openfeature_gov.cli.connecting import Aim, aimed
from openfeature_gov.cli.lending import lent
from openfeature_gov.cli.options import (
    CONTRACTS,
    RECORDS,
    BesideContracts,
    BesideRecords,
)
from openfeature_gov.embedded import load_governance, yaml_text

if TYPE_CHECKING:
    from openfeature_gov_rollout.controller import Controller
    from openfeature_gov_rollout.plan import Plan

PLANS = "rollout.yaml"
BEGINNING = 'write your plan there: the section "Rollout" of the README shows one'
Plans = Annotated[
    Path | None,
    typer.Option(
        "--plans",
        readable=False,
        envvar="GOV_ROLLOUT",
        help=f"Rollout plans (default: {PLANS} beside the flag file).",
    ),
]


@aimed
def place(
    aim: Aim,
    *,
    plans: Plans = None,
    governance: BesideContracts = None,
    records: BesideRecords = None,
) -> Controller:
    """Return the controller that the options describe; only plans are read yet.

    Raises:
        InvalidContractError: when plans or contracts were refused.
        typer.BadParameter: when an option is missing or malformed.
        OSError: when a file cannot be read.

    """
    # Statistics and stores take a while to load, and other commands need none.
    from openfeature_gov_rollout.controller import Controller  # noqa: PLC0415
    from openfeature_gov_rollout.recorded import recorded  # noqa: PLC0415

    contracts = load_governance(governance or aim.beside(CONTRACTS))
    path = plans or aim.beside(PLANS)
    log = records or str(aim.beside(RECORDS))
    return Controller(
        plans=load_plans(path, contracts),
        governance=contracts,
        target=aim.target,
        records=log,
        evidence=recorded(log, contracts),
    )


def load_plans(path: Path, contracts: Any = None) -> tuple[Plan, ...]:
    """Return the plans of the file *path*.

    Raises:
        InvalidContractError: with every problem of it.
        OSError: when it cannot be read; where it is missing, what makes one.

    """
    from openfeature_gov_rollout.plans import parse  # noqa: PLC0415

    try:
        text = yaml_text(path)
    except FileNotFoundError as error:
        told = f"{error.strerror}; {BEGINNING}"
        raise FileNotFoundError(error.errno, told, str(path)) from None
    return parse(text, str(path), contracts)


at_place = lent(place, Controller=object)
"""Give a command, whose first argument is a controller, the options of `place`."""
