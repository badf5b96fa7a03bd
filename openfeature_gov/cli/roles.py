"""`gov audit roles`: who may do what in a database that many processes share."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.errors import RecordStoreError
from openfeature_gov.stores.opening import SCHEMES, shown

MAY = {
    "owner": "owns the tables; no application may be a member of it",
    "writer": "adds records, checkpoints and requests for approval",
    "eraser": "also empties personal parts",
    "reader": "reads",
    "archiver": "also removes what was archived",
}


def roles(
    *,
    records: Annotated[
        str,
        typer.Option("--records", envvar="GOV_RECORDS", help="URL of the database."),
    ],
    as_json: output.Json = None,
) -> None:
    """Create the roles of a PostgreSQL record database, and give each its part.

    Run it as a superuser: the tables are made where they are missing, and rights that
    anybody else had on them are taken away. Then make each login a member of one
    (GRANT gov_writer TO app). Again, it mends what was changed.
    """
    if not records.startswith(SCHEMES):
        raise typer.BadParameter(
            "a file has no roles: its owner and its mode say who may do what",
            param_hint="'--records'",
        )
    try:
        from openfeature_gov.stores import postgres_roles  # noqa: PLC0415 - the extra
    except ImportError as error:
        raise RecordStoreError(
            f"records in PostgreSQL need {error.name}; run"
            " pip install 'openfeature-gov[sql]'"
        ) from error
    named = postgres_roles.ROLES._asdict()
    postgres_roles.set_up_roles(records)
    data = {"place": shown(records), "roles": named}

    def render(console: Console) -> None:
        console.print(Text(shown(records), "bold"))
        output.facts(console, [(named[name], MAY[name]) for name in MAY])

    output.show(data, render, as_json=as_json)
