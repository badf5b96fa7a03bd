"""A caller may demand flag data that holds a change it knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from openfeature.contrib.provider.featbit import FeatBitProvider, Snapshot
from openfeature.contrib.provider.featbit.snapshot import read_snapshot
from openfeature_gov import Effect, Governor, Outcome, ToolCall
from openfeature_gov.stores import history
from tests.conftest import CONTEXT, contract_yaml, flag_document

CALL = ToolCall("pay", {"amount": 5}, CONTEXT)
TOKEN = "gov.mode@1795255200000"
Decide = Callable[..., Outcome]


def snapshot(**values: Any) -> Snapshot:
    return read_snapshot(orjson.dumps(flag_document(**values)))


class Behind(FeatBitProvider):
    """A provider that gets a kill only when someone asks for newer data."""

    answer: Any = True

    def catch_up(self, token: str, timeout_s: float) -> Any:
        assert token == TOKEN
        assert 0 < timeout_s <= 10
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is True:
            self.replace(snapshot(mode="off"))
        return self.answer


@pytest.fixture
def provider() -> Behind:
    made = Behind()
    made.replace(snapshot())
    return made


@pytest.fixture
def governor(tmp_path: Path, provider: Behind) -> Iterator[Governor]:
    contracts = tmp_path / "governance.yaml"
    contracts.write_text(contract_yaml("pay"))
    with Governor.open(contracts, provider, tmp_path / "records.db") as made:
        made.tool("pay")(lambda amount: "paid")
        yield made


@pytest.fixture(params=["plan", "decide", "enforce", "run"])
def decide(request: pytest.FixtureRequest, governor: Governor) -> Decide:
    return getattr(governor, request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=["aplan", "adecide", "aenforce", "arun"])
def adecide(request: pytest.FixtureRequest, governor: Governor) -> Decide:
    twin = getattr(governor, request.param)
    return lambda call, **kwargs: asyncio.run(twin(call, **kwargs))


def test_nobody_asks_unless_told(decide: Decide, provider: Behind) -> None:
    """Without a demand the held data decides, and nothing is fetched."""
    provider.answer = AssertionError("asked")
    assert decide(CALL).effect is Effect.ALLOW


def test_demand_waits_for_the_change(decide: Decide) -> None:
    """A kill that the data did not hold yet is obeyed."""
    outcome = decide(CALL, at_least_as_fresh=TOKEN)
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "mode_off")


@pytest.mark.parametrize("answer", [False, None, 1, "yes", OSError("down")])
def test_unmet_demand_denies(
    decide: Decide, provider: Behind, answer: Any, tmp_path: Path
) -> None:
    """Whatever is not plainly caught up is behind, and behind is off."""
    provider.answer = answer
    outcome = decide(CALL, at_least_as_fresh=TOKEN)
    assert (outcome.effect, outcome.reason) == (Effect.DENY, "flags_behind")
    assert decide(CALL).effect is Effect.ALLOW


@pytest.mark.parametrize("answer", [True, False])
def test_async_twins_demand_too(
    adecide: Decide, provider: Behind, answer: bool
) -> None:
    """The twins wait in a thread and come to the same decision."""
    provider.answer = answer
    outcome = adecide(CALL, at_least_as_fresh=TOKEN)
    reason = "mode_off" if answer else "flags_behind"
    assert (outcome.effect, outcome.reason) == (Effect.DENY, reason)


def test_provider_that_cannot_tell_is_behind(tmp_path: Path) -> None:
    """A demand on a provider without ``catch_up`` is not met."""
    provider = FeatBitProvider()
    vars(provider)["catch_up"] = None
    provider.replace(snapshot())
    contracts = tmp_path / "governance.yaml"
    contracts.write_text(contract_yaml("pay"))
    with Governor.open(contracts, provider, tmp_path / "records.db") as governor:
        governor.tool("pay")(lambda amount: "paid")
        outcome = governor.decide(CALL, at_least_as_fresh=TOKEN)
        assert outcome.reason == "flags_behind"


def test_demand_is_evidence(governor: Governor, tmp_path: Path) -> None:
    """The record says which change the caller insisted on."""
    governor.decide(CALL, at_least_as_fresh=TOKEN)
    governor.close()
    found = [r for r in history.records(tmp_path / "records.db") if "flagSource" in r]
    assert [r["flagSource"]["demanded"] for r in found] == [TOKEN]
