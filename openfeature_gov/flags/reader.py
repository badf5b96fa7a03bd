"""`FlagReader`: every flag of one contract, read once, checked again, with its age."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import (
    FlagEvaluationDetails,
    FlagEvaluationOptions,
    FlagType,
)
from openfeature.provider import FeatureProvider, ProviderStatus

from openfeature import api
from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.flags.hook import HINT, GovernanceHook, Notes
from openfeature_gov.flags.kinds import KINDS, Kind
from openfeature_gov.flags.lifecycle import evaluate
from openfeature_gov.governance import GovernanceContract, RuntimeControls

DOMAIN = "governance"
_NOOP = "No-op Provider"
_TRUSTED = (ProviderStatus.READY, ProviderStatus.STALE, ProviderStatus.ERROR)
_OPTIONS = (GovernanceHook(),)
Named = tuple[tuple[Kind, str], ...]
Details = FlagEvaluationDetails[Any]


@runtime_checkable
class Dated(Protocol):
    """Be a provider that says how old its data is.

    ``freshness()`` returns an object with *verified_ns* (`time.monotonic_ns` of the
    moment at which the data was last known to be current), *generation*, *source* and
    *revision*.
    """

    def freshness(self) -> Any:
        """Return the state of the provider's data."""
        ...


class FlagReader:
    """Read the flags of a contract through one OpenFeature client.

    Lives as long as the Governor. *client* belongs to a domain of its own; *bound* is
    the provider that was bound to it, where the caller knows. A provider that is
    missing, replaced or borrowed from another domain is a fault, never an answer.
    """

    def __init__(
        self,
        client: OpenFeatureClient,
        *,
        bound: FeatureProvider | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._client = client
        self._bound = bound
        self._clock = clock
        self._batched = type(client) is OpenFeatureClient
        self._named: dict[RuntimeControls, tuple[Named, dict[str, Kind]]] = {}
        self._trusted: tuple[object, str | None, str] = (None, None, "")
        self._ready_ns = clock()

    def read(self, contract: ActionContract, rules: GovernanceContract) -> Readings:
        """Return a reading for each flag that *rules* names.

        Never raises for the flag layer's sake: what fails is a reading with a fault.
        """
        named, kinds = self._flags(rules.runtime_controls)
        if not named:
            return Readings()
        try:
            return self._read(contract, named, kinds)
        except Exception as error:  # noqa: BLE001 - the SDK may raise (1.4.10 broken)
            code = f"flag_layer_failed:{type(error).__name__}"
            return _lost(named, code)

    def _read(
        self, contract: ActionContract, named: Named, kinds: dict[str, Kind]
    ) -> Readings:
        provider, status = self._client.provider, self._client.get_provider_status()
        standing, name = self._standing(provider)
        if standing is None and status not in _TRUSTED:
            standing = f"provider_{status.value.lower()}"
        notes = Notes(kinds)
        context = EvaluationContext(
            contract.context.actor.targeting_key, {**contract.attributes()}
        )
        answers = self._evaluate(provider, status, named, context, notes)
        readings = {
            kind.name: _reading(kind, key, answer, notes, standing)
            for (kind, key), answer in zip(named, answers, strict=True)
        }
        return Readings(
            flags=readings,
            provider=name,
            status=status.value,
            standing=standing,
            **self._dated(provider, status),
        )

    def _evaluate(
        self,
        provider: FeatureProvider,
        status: ProviderStatus,
        named: Named,
        context: EvaluationContext,
        notes: Notes,
    ) -> Sequence[Details | None]:
        hints: dict[str, Any] = {HINT: notes}
        if self._batched:
            requests = [(kind.type, key, kind.default) for kind, key in named]
            return evaluate(
                self._client, provider, status, requests, context, _OPTIONS, hints
            )
        options = FlagEvaluationOptions(hooks=list(_OPTIONS), hook_hints=hints)
        return [self._single(kind, key, context, options) for kind, key in named]

    def _single(
        self,
        kind: Kind,
        key: str,
        context: EvaluationContext,
        options: FlagEvaluationOptions,
    ) -> Details | None:
        """Ask an injected client of another class for one flag; None if it raised."""
        method = f"get_{_CALLS[kind.type]}_details"
        try:
            answer: Details = getattr(self._client, method)(
                key, kind.default, context, options
            )
        except UnboundLocalError as error:
            # The SDK's finally block hides an interrupt behind this error.
            if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
                raise error.__context__ from None
            return None
        except Exception:  # noqa: BLE001 - one lost flag must not lose the others
            return None
        return answer

    def _flags(self, controls: RuntimeControls) -> tuple[Named, dict[str, Kind]]:
        try:
            return self._named[controls]
        except KeyError:
            keys = {
                "switch": controls.global_flag,
                "mode": controls.mode_flag,
                "approval": controls.approval_flag,
                "denylist": controls.denylist_flag,
                "fallback": controls.fallback_flag,
            }
            named = tuple(
                (kind, key) for kind in KINDS if (key := keys[kind.name]) is not None
            )
            found = named, {key: kind for kind, key in named}
            self._named[controls] = found
            return found

    def _standing(self, provider: FeatureProvider) -> tuple[str | None, str]:
        known, standing, name = self._trusted
        if known is not provider:
            standing, name = self._examine(provider)
            self._trusted = (provider, standing, name)
        return standing, name

    def _examine(self, provider: FeatureProvider) -> tuple[str | None, str]:
        about = provider.get_metadata()
        if about.name == _NOOP or getattr(about, "is_default_provider", False):
            return "provider_missing", about.name
        if self._bound is not None and provider is not self._bound:
            return "provider_replaced", about.name
        domain = getattr(self._client, "domain", None)
        if (
            self._bound is None
            and domain is not None
            and provider is api.get_client().provider
        ):
            return "provider_borrowed", about.name
        return None, about.name

    def _dated(
        self, provider: FeatureProvider, status: ProviderStatus
    ) -> Mapping[str, Any]:
        now = self._clock()
        if status is ProviderStatus.READY:
            self._ready_ns = now
        if not isinstance(provider, Dated):
            return {"age_ns": now - self._ready_ns, "source": "status"}
        dated = provider.freshness()
        return {
            "age_ns": now - dated.verified_ns,
            "generation": dated.generation,
            "revision": dated.revision,
            "source": dated.source,
        }


_CALLS = {
    FlagType.BOOLEAN: "boolean",
    FlagType.STRING: "string",
    FlagType.OBJECT: "object",
}


def _reading(
    kind: Kind, key: str, answer: Details | None, notes: Notes, standing: str | None
) -> Reading:
    fault = standing or _fault(kind, key, answer, notes)
    seen = notes.seen.get(key)
    value = notes.values[key] if fault is None else None
    if seen is None:
        return Reading(key, None, fault=fault or "flag_unchecked")
    return Reading(
        key, value, seen.variant, seen.reason, fault, seen.version, seen.metadata
    )


def _fault(kind: Kind, key: str, answer: Details | None, notes: Notes) -> str | None:
    """Re-check what came back: any hook may have changed it (SDK defects S1 to S10)."""
    if answer is None:
        return "flag_layer_failed"
    if answer.error_code is not None:
        return f"flag_{str(answer.error_code.value).lower()}"
    if key not in notes.values:
        return "flag_unchecked"
    if not kind.legal(answer.value):
        return "flag_illegal_value"
    if kind.copy(answer.value) != notes.values[key]:
        return "flag_altered"
    return None


def _lost(named: Named, code: str) -> Readings:
    readings = {kind.name: Reading(key, None, fault=code) for kind, key in named}
    return Readings(flags=readings, standing="flag_layer_failed")
