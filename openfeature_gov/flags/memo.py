"""Remember evaluations: a snapshot provider is a pure function of its generation.

The same flags for the same targeting key and attributes have the same answer until the
data changes, so the second decision of a session need not evaluate again. What changes
without the data (status, age, standing) is never remembered, and nothing is while
anyone else's hook or context takes part, because those are not functions of the data.
"""

from __future__ import annotations

from collections.abc import Mapping

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import FeatureProvider

from openfeature import api
from openfeature_gov.controls.readings import Reading

LIMIT = 4096
"""How many contexts are remembered; then all are forgotten."""
Cells = dict[tuple[object, ...], Mapping[str, Reading]]


class Memo:
    """Hold the answers of one provider generation. Lives as long as the reader.

    INVARIANT: a provider publishes a generation after the data that it stands for, so
    an answer under a generation is at least as new as that generation.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: tuple[FeatureProvider | None, int, Cells] = (None, -1, {})

    def cells(
        self, client: OpenFeatureClient, provider: FeatureProvider, generation: object
    ) -> Cells | None:
        """Return the answers of *generation*; None when nothing may be remembered."""
        if type(generation) is not int or not _alone(client, provider):
            return None
        held, known, cells = self._held
        if held is not provider or known != generation:
            cells = {}
            self._held = (provider, generation, cells)
        elif len(cells) >= LIMIT:
            cells.clear()
        return cells


def key_of(flags: str, context: EvaluationContext) -> tuple[object, ...]:
    """Return what the answers of *flags* for *context* may depend on."""
    return (flags, context.targeting_key, *context.attributes.values())


def _alone(client: OpenFeatureClient, provider: FeatureProvider) -> bool:
    """Say that no hook and no context but ours takes part in an evaluation."""
    if api.get_hooks() or client.hooks or provider.get_provider_hooks():
        return False
    return not (
        _says(api.get_evaluation_context())
        or _says(api.get_transaction_context())
        or _says(client.context)
    )


def _says(context: EvaluationContext) -> bool:
    return bool(context.targeting_key or context.attributes)
