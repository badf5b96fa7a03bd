"""One OpenFeature lifecycle for several flags of one decision.

Four single evaluations repeat the same set-up (context merges, metadata, status, hook
list) four times, and may see four states of the provider. Here it is done once and all
flags see the same provider, status and context. Stage order and error rules follow the
OpenFeature specification: 4.4.2 (stack-wise order), 4.4.3 to 4.4.7 (exceptions in
hooks), 1.4.10 (no exception for an evaluation). `tests/test_flags_lifecycle.py` holds
it equal to the SDK's own client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    ErrorCode,
    OpenFeatureError,
    ProviderFatalError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagType, Reason
from openfeature.hook import Hook, HookContext
from openfeature.provider import FeatureProvider, ProviderStatus

from openfeature import api

Request = tuple[FlagType, str, Any]
Chain = list[tuple[Hook, HookContext]]

_BLOCKED: dict[ProviderStatus, Callable[[], OpenFeatureError]] = {
    ProviderStatus.NOT_READY: ProviderNotReadyError,
    ProviderStatus.FATAL: ProviderFatalError,
}
_SHAPES: dict[FlagType, type | tuple[type, ...]] = {
    FlagType.BOOLEAN: bool,
    FlagType.STRING: str,
    FlagType.OBJECT: (dict, list),
    FlagType.INTEGER: int,
    FlagType.FLOAT: float,
}
_METHODS = {kind: f"resolve_{kind.value.lower()}_details" for kind in FlagType}


def evaluate(
    client: OpenFeatureClient,
    provider: FeatureProvider,
    answering: FeatureProvider,
    status: ProviderStatus,
    requests: Iterable[Request],
    context: EvaluationContext,
    hooks: Sequence[Hook],
    hints: Mapping[str, Any],
) -> list[FlagEvaluationDetails[Any]]:
    """Return the details of each (type, key, default) of *requests*, in order.

    *answering* resolves the flags: *provider* itself, or its view of one state of the
    data. *context* is the invocation context, *hooks* and *hints* are those of the
    invocation. Only what an evaluation may not hide comes out: KeyboardInterrupt,
    SystemExit, and whatever the set-up raises.
    """
    below = (api.get_evaluation_context(), api.get_transaction_context())
    merged = context
    # Later wins: invocation over client over transaction over API (OpenFeature 3.2.3).
    for lower in (client.context, *reversed(below)):
        if lower.attributes or lower.targeting_key:
            merged = lower.merge(merged)
    batch = _Batch(
        answering,
        status,
        merged,
        [*api.get_hooks(), *client.hooks, *hooks, *provider.get_provider_hooks()],
        {
            "evaluation_context": merged,
            "client_metadata": client.get_metadata(),
            "provider_metadata": provider.get_metadata(),
        },
        hints,
    )
    return [batch.one(kind, key, default) for kind, key, default in requests]


class _Batch:
    """Hold what the flags of one decision share; lives for one `evaluate`."""

    __slots__ = ("context", "hints", "hooks", "provider", "shared", "status")

    def __init__(
        self,
        provider: FeatureProvider,
        status: ProviderStatus,
        context: EvaluationContext,
        hooks: list[Hook],
        shared: dict[str, Any],
        hints: Mapping[str, Any],
    ) -> None:
        self.provider, self.status, self.context = provider, status, context
        self.hooks, self.shared, self.hints = hooks, shared, hints

    def about(self, kind: FlagType, key: str, default: Any) -> HookContext:
        """Return a HookContext, filled in one step instead of seven guarded ones."""
        context = HookContext.__new__(HookContext)
        context.__dict__.update(
            self.shared,
            flag_key=key,
            flag_type=kind,
            default_value=default,
            hook_data={},
        )
        return context

    def one(self, kind: FlagType, key: str, default: Any) -> FlagEvaluationDetails[Any]:
        hints = self.hints
        chain: Chain = [
            (hook, self.about(kind, key, default))
            for hook in self.hooks
            if hook.supports_flag_value_type(kind)
        ]
        error: Exception | None = None
        try:
            details = self.resolve(kind, key, default, chain)
            if details.error_code is not None:
                error = details.get_exception()
                details.value = default
            else:
                _check(kind, details.value)
                for hook, about in reversed(chain):
                    hook.after(hook_context=about, details=details, hints=hints)
        except Exception as raised:  # noqa: BLE001 - OpenFeature 1.4.10
            error = raised
            details = _failed(key, default, raised)
        if error is not None:
            for hook, about in reversed(chain):
                _shielded(hook.error, hook_context=about, exception=error, hints=hints)
        for hook, about in reversed(chain):
            try:
                hook.finally_after(hook_context=about, details=details, hints=hints)
            except Exception:  # noqa: BLE001, S112 - OpenFeature 4.4.4
                continue
        return details

    def resolve(
        self, kind: FlagType, key: str, default: Any, chain: Chain
    ) -> FlagEvaluationDetails[Any]:
        if self.status in _BLOCKED:
            blocked = _BLOCKED[self.status]()
            raise blocked
        context = self.context
        for hook, about in chain:
            extra = hook.before(hook_context=about, hints=self.hints)
            if extra is not None:
                context = context.merge(extra)
        details: FlagEvaluationDetails[Any] = getattr(self.provider, _METHODS[kind])(
            flag_key=key, default_value=default, evaluation_context=context
        ).to_flag_evaluation_details(key)
        return details


def _check(kind: FlagType, value: object) -> None:
    wrong = not isinstance(value, _SHAPES[kind])
    if wrong or (kind is FlagType.INTEGER and isinstance(value, bool)):
        raise TypeMismatchError(f"expected {kind.value}, got {type(value).__name__}")


def _failed(key: str, default: Any, error: Exception) -> FlagEvaluationDetails[Any]:
    return FlagEvaluationDetails(
        flag_key=key,
        value=default,
        reason=Reason.ERROR,
        error_code=getattr(error, "error_code", ErrorCode.GENERAL),
        error_message=getattr(error, "error_message", str(error)),
    )


def _shielded(stage: Callable[..., Any], **kwargs: Any) -> None:
    with suppress(Exception):  # OpenFeature 4.4.3
        stage(**kwargs)
