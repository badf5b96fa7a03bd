"""`FlagReader`: every flag of one contract, read once, checked again, with its age."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
from openfeature_gov.flags.memo import Memo, key_of
from openfeature_gov.governance import GovernanceContract, RuntimeControls

DOMAIN = "governance"
CATCH_UP_S = 2.0
BEHIND = "flags_behind"
_NOOP = "No-op Provider"
_TRUSTED = (ProviderStatus.READY, ProviderStatus.STALE, ProviderStatus.ERROR)
_OPTIONS = (GovernanceHook(),)
Named = tuple[tuple[Kind, str], ...]
Flags = tuple[Named, dict[str, Kind], str]
Details = FlagEvaluationDetails[Any]


class Demanded(NamedTuple):
    """Hold a freshness token that a caller demands, and what `demand` said of it."""

    token: str = ""
    standing: str | None = None


NOTHING_DEMANDED = Demanded()


class FlagReader:
    """Read the flags of a contract through one OpenFeature client.

    Lives as long as the Governor. *client* belongs to a domain of its own; *bound* is
    the provider that was bound to it, where the caller knows. A provider that is
    missing, replaced or borrowed from another domain is a fault, never an answer.

    A provider says how old its data is by a method ``freshness()``, whose result has
    *verified_ns* (`time.monotonic_ns` when the data was last known to be current),
    *generation* (an integer published after the data it stands for), *source* and
    *revision*. Without one, the age is the time since the provider was last seen READY.
    By a method ``pinned()`` it offers resolve methods on one state of its data, with
    *generation* and *revision*, so that all flags of a decision agree; without it a
    change in the middle is a fault. By ``catch_up(token, timeout_s)`` it says whether
    its data is at least as new as *token*, and may fetch newer data to get there.
    *latched*, a tuple, names the flags it holds off although its source says otherwise.
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
        self._named: dict[str, tuple[RuntimeControls, Flags]] = {}
        self._memo = Memo()
        self._trusted: tuple[Any, str | None, str, Any] = (None, None, "", None)
        self._ready_ns = clock()

    def demand(self, token: str) -> str | None:
        """Wait up to `CATCH_UP_S` for data as new as *token*; None when it is there.

        *token* comes from whoever changed a flag. Otherwise the reason code for which
        nothing that the flags say may be believed. Never raises.
        """
        try:
            caught_up = self._client.provider.catch_up(token, CATCH_UP_S)  # type: ignore[attr-defined] # not of OpenFeature: see the class
        except Exception:  # noqa: BLE001 - who cannot tell is behind
            caught_up = False
        return None if caught_up is True else BEHIND

    def read(
        self,
        contract: ActionContract,
        rules: GovernanceContract,
        demanded: Demanded = NOTHING_DEMANDED,
    ) -> Readings:
        """Return a reading for each flag that *rules* names.

        *demanded* is a freshness token and what `demand` said of it. Never raises for
        the flag layer's sake: what fails is a reading with a fault.
        """
        named, kinds, label = self._flags(rules)
        if not named:
            return Readings()
        try:
            return self._read(contract, named, kinds, label, demanded)
        except Exception as error:  # noqa: BLE001 - the SDK may raise (1.4.10 broken)
            code = f"flag_layer_failed:{type(error).__name__}"
            return _lost(named, code)

    def _read(
        self,
        contract: ActionContract,
        named: Named,
        kinds: dict[str, Kind],
        label: str,
        demanded: Demanded,
    ) -> Readings:
        provider, status = self._client.provider, self._client.get_provider_status()
        standing, name, dated = self._standing(provider)
        if standing is None and status not in _TRUSTED:
            standing = f"provider_{status.value.lower()}"
        standing = standing or demanded.standing
        pin, state = self._pinned(provider), self._dated(dated, status)
        if pin is not None:
            state = {**state, "generation": pin.generation, "revision": pin.revision}
        context = EvaluationContext(
            contract.context.actor.targeting_key, contract.attributes()
        )
        generation = state.get("generation") if standing is None else None
        cells = self._memo.cells(self._client, provider, generation)
        key = key_of(label, context)
        readings = None if cells is None else cells.get(key)
        if readings is None:
            notes = Notes(kinds, context)
            answers = self._evaluate(provider, pin or provider, status, named, notes)
            # Without a pinned batch the data may have changed between two flags.
            whole = self._batched and pin is not None
            if not whole and self._moved(provider, pin, dated, generation):
                standing, cells = standing or "flags_changing", None
            readings = {
                kind.name: _checked(kind, name, answer, notes, standing)
                for (kind, name), answer in zip(named, answers, strict=True)
            }
            if cells is not None:
                cells[key] = readings
        return Readings(
            flags=readings,
            provider=name,
            status=status.value,
            standing=standing,
            demanded=demanded.token,
            latched=getattr(provider, "latched", ()),
            **state,
        )

    def _pinned(self, provider: FeatureProvider) -> Any:
        pinned = getattr(provider, "pinned", None)
        return None if pinned is None else pinned()

    def _moved(
        self,
        provider: FeatureProvider,
        pin: Any,
        dated: Callable[[], Any] | None,
        generation: Any,
    ) -> bool:
        if pin is not None:
            return self._pinned(provider) is not pin
        return (
            dated is not None
            and generation is not None
            and dated().generation != generation
        )

    def _evaluate(
        self,
        provider: FeatureProvider,
        answering: Any,
        status: ProviderStatus,
        named: Named,
        notes: Notes,
    ) -> Sequence[Details | None]:
        hints: dict[str, Any] = {HINT: notes}
        context = notes.context
        defaults = [kind.default() for kind, _ in named]
        if self._batched:
            requests = [
                (kind.type, key, default)
                for (kind, key), default in zip(named, defaults, strict=True)
            ]
            answers: Sequence[Details | None] = evaluate(
                self._client,
                provider,
                answering,
                status,
                requests,
                context,
                _OPTIONS,
                hints,
            )
        else:
            options = FlagEvaluationOptions(hooks=list(_OPTIONS), hook_hints=hints)
            answers = [
                self._single(kind, key, default, context, options)
                for (kind, key), default in zip(named, defaults, strict=True)
            ]
        # A default that someone edited was not the strictest value any more.
        return [
            answer if default == kind.default() else None
            for (kind, _), answer, default in zip(named, answers, defaults, strict=True)
        ]

    def _single(
        self,
        kind: Kind,
        key: str,
        default: Any,
        context: EvaluationContext,
        options: FlagEvaluationOptions,
    ) -> Details | None:
        """Ask an injected client of another class for one flag; None if it raised."""
        method = f"get_{_CALLS[kind.type]}_details"
        try:
            answer: Details = getattr(self._client, method)(
                key, default, context, options
            )
        except UnboundLocalError as error:
            # The SDK's finally block hides an interrupt behind this error.
            if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
                raise error.__context__ from None
            return None
        except Exception:  # noqa: BLE001 - one lost flag must not lose the others
            return None
        return answer

    def _flags(self, rules: GovernanceContract) -> Flags:
        controls, known = rules.runtime_controls, self._named.get(rules.tool)
        # By identity: to hash or to compare a model takes as long as all the rest.
        if known is None or known[0] is not controls:
            known = self._named[rules.tool] = controls, _flags_of(controls)
        return known[1]

    def _standing(self, provider: FeatureProvider) -> tuple[str | None, str, Any]:
        known, standing, name, dated = self._trusted
        if known is not provider:
            standing, name = self._examine(provider)
            dated = getattr(provider, "freshness", None)
            self._trusted = (provider, standing, name, dated)
        return standing, name, dated

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
        self, dated: Callable[[], Any] | None, status: ProviderStatus
    ) -> Mapping[str, Any]:
        # The clock comes last: data that arrives in between would seem from the future.
        state = None if dated is None else dated()
        now = self._clock()
        if status is ProviderStatus.READY:
            self._ready_ns = now
        if state is None:
            return {"age_ns": now - self._ready_ns, "source": "status"}
        return {
            "age_ns": now - state.verified_ns,
            "generation": state.generation,
            "revision": state.revision,
            "source": state.source,
            "epoch": getattr(state, "epoch", ""),
        }


_CALLS = {
    FlagType.BOOLEAN: "boolean",
    FlagType.STRING: "string",
    FlagType.OBJECT: "object",
}


def _flags_of(controls: RuntimeControls) -> Flags:
    keys = {
        "switch": controls.global_flag,
        "mode": controls.mode_flag,
        "approval": controls.approval_flag,
        "denylist": controls.denylist_flag,
        "fallback": controls.fallback_flag,
    }
    named = tuple((kind, key) for kind in KINDS if (key := keys[kind.name]) is not None)
    kinds = {key: kind for kind, key in named}
    return named, kinds, " ".join(f"{kind.name}:{key}" for kind, key in named)


def _checked(
    kind: Kind, key: str, answer: Details | None, notes: Notes, standing: str | None
) -> Reading:
    """Return the hook's reading if what came back is still what the hook passed.

    Any hook may change a value after ours (SDK defects S1 to S10).
    """
    reading = notes.readings.get(key)
    if reading is None or answer is None:
        return Reading(key, None, fault=standing or "flag_layer_failed")
    fault = standing or reading.fault
    if fault is None:
        value = answer.value
        if not kind.legal(value):
            fault = "flag_illegal_value"
        elif value is not reading.value and kind.copy(value) != reading.value:
            fault = "flag_altered"
    return reading if fault is None else reading._replace(value=None, fault=fault)


def _lost(named: Named, code: str) -> Readings:
    readings = {kind.name: Reading(key, None, fault=code) for kind, key in named}
    return Readings(flags=readings, standing="flag_layer_failed")
