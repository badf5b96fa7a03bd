"""The batch lifecycle equals the SDK's own client: details, and every hook call."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode, FlagNotFoundError
from openfeature.flag_evaluation import (
    FlagEvaluationOptions,
    FlagResolutionDetails,
    FlagType,
    Reason,
)
from openfeature.hook import Hook
from openfeature.provider import ProviderStatus

from openfeature import api
from openfeature_gov.flags.lifecycle import evaluate
from tests.conftest import KEYS
from tests.test_flags_reader import Scripted

OUTCOMES: dict[str, Any] = {
    "ok": "observe",
    "missing": FlagNotFoundError("nope"),
    "raised": RuntimeError("down"),
    "returned error": FlagResolutionDetails(
        "observe", error_code=ErrorCode.PARSE_ERROR, reason=Reason.ERROR, variant="v"
    ),
    "wrong type": 5,
    "with metadata": FlagResolutionDetails(
        "observe", reason=Reason.SPLIT, variant="v", flag_metadata={"version": 3}
    ),
}
STAGES = (None, "before", "after", "error", "finally_after")
STATUSES = (
    ProviderStatus.READY,
    ProviderStatus.STALE,
    ProviderStatus.ERROR,
    ProviderStatus.NOT_READY,
    ProviderStatus.FATAL,
)


class Logger(Hook):
    """A hook that logs what it saw, and raises where it is told to."""

    def __init__(self, name: str, log: list[Any], *, raises: str | None) -> None:
        self.name, self.log, self.raises = name, log, raises

    def _note(self, stage: str, about: Any, *more: Any) -> None:
        self.log.append(
            (
                self.name,
                stage,
                about.flag_key,
                about.flag_type,
                about.default_value,
                about.evaluation_context.targeting_key,
                dict(about.evaluation_context.attributes),
                about.client_metadata.domain,
                about.provider_metadata.name,
                dict(about.hook_data),
                *more,
            )
        )
        about.hook_data[stage] = self.name
        if stage == self.raises:
            raise ValueError(stage)

    def before(self, hook_context: Any, hints: Any) -> EvaluationContext | None:
        self._note("before", hook_context, dict(hints))
        return EvaluationContext(attributes={self.name: "was here"})

    def after(self, hook_context: Any, details: Any, hints: Any) -> None:
        self._note("after", hook_context, _plain(details))

    def error(self, hook_context: Any, exception: Any, hints: Any) -> None:
        self._note("error", hook_context, type(exception).__name__)

    def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:
        self._note("finally_after", hook_context, _plain(details))


def _plain(details: Any) -> tuple[Any, ...]:
    return (
        details.flag_key,
        details.value,
        details.variant,
        details.reason,
        details.error_code,
        details.error_message is not None,
        dict(details.flag_metadata),
    )


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.filterwarnings("ignore")
def test_batch_equals_the_client(
    status: ProviderStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each status, outcome and raising stage: same details, same hook calls."""
    provider = Scripted()
    api.set_provider_and_wait(provider, "governance")
    api.set_evaluation_context(EvaluationContext("low", {"a": "api", "b": "api"}))
    client = api.get_client("governance")
    client.context = EvaluationContext(attributes={"b": "client", "c": "client"})
    context = EvaluationContext("subject", {"c": "call"})
    monkeypatch.setattr(client, "get_provider_status", lambda: status)
    key = KEYS["modeFlag"]
    for outcome, stage, place in product(OUTCOMES, STAGES, range(3)):
        provider.answers[key] = OUTCOMES[outcome]
        seen = []
        for batch in (False, True):
            log: list[Any] = []
            hooks: list[Hook] = [
                Logger(str(number), log, raises=stage if number == place else None)
                for number in range(3)
            ]
            api.clear_hooks()
            api.add_hooks(hooks[:1])
            client.hooks = hooks[1:2]
            hints: dict[str, Any] = {"h": 1}
            if batch:
                request = (FlagType.STRING, key, "off")
                details = evaluate(
                    client,
                    provider,
                    provider,
                    status,
                    [request],
                    context,
                    hooks[2:],
                    hints,
                )[0]
            else:
                options = FlagEvaluationOptions(hooks=hooks[2:], hook_hints=hints)
                details = client.get_string_details(key, "off", context, options)
            seen.append((_plain(details), log))
        assert seen[0] == seen[1], (outcome, stage, place)
