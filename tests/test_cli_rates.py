"""`gov rates`: a new server of counters is said to be new, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from openfeature_gov.allowances.rates import RatesDownError
from openfeature_gov.allowances.shared import RedisRates
from openfeature_gov.cli import app
from tests.integration.redis_server import PROGRAM, REASON, running


@pytest.mark.skipif(PROGRAM is None, reason=REASON)
def test_a_new_server_begins_when_it_is_told_to(tmp_path: Path) -> None:
    """No process waits for it any longer; one that is away is said to be."""
    with running(tmp_path) as server:
        rates = RedisRates(server.url, timeout_s=20)
        with pytest.raises(RatesDownError, match="or are new"):
            rates.take("k", 2, 86_400)
        shown = CliRunner().invoke(app, ["rates", "begin", server.url, "--no-json"])
        assert (shown.exit_code, shown.stdout.count("counts from now on")) == (0, 1)
        assert rates.take("k", 2, 86_400)  # it counted before as well
        assert not rates.take("k", 2, 86_400)
        rates.close()
        server.kill()
        away = CliRunner().invoke(app, ["rates", "begin", server.url])
        assert away.exit_code == 3
        assert "away" in away.stderr


def test_an_address_that_is_none_is_wrong_usage() -> None:
    """What was given may hold a password and is not repeated."""
    shown = CliRunner().invoke(app, ["rates", "begin", "http://:secret@127.0.0.1"])
    assert shown.exit_code == 2
    assert "redis://" in shown.stderr
    assert "secret" not in shown.stderr
