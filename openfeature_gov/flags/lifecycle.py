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
    status: ProviderStatus,
    requests: Iterable[Request],
    context: EvaluationContext,
    hooks: Sequence[Hook],
    hints: Mapping[str, Any],
) -> list[FlagEvaluationDetails[Any]]:
    """Return the details of each (type, key, default) of *requests*, in order.

    *context* is the invocation context, *hooks* and *hints* are those of the
    invocation. Only what an evaluation may not hide comes out: KeyboardInterrupt,
    SystemExit, and whatever the set-up raises.
    """
    merged = (
        api.get_evaluation_context()
        .merge(api.get_transaction_context())
        .merge(client.context)
        .merge(context)
    )
    chain = [*api.get_hooks(), *client.hooks, *hooks, *provider.get_provider_hooks()]
    batch = _Batch(
        provider, status, merged, chain, client.get_metadata(), provider.get_metadata()
    )
    return [batch.one(kind, key, default, hints) for kind, key, default in requests]


class _Batch:
    """Hold what the flags of one decision share; lives for one `evaluate`."""

    __slots__ = ("about", "client", "context", "hooks", "provider", "status")

    def __init__(
        self,
        provider: FeatureProvider,
        status: ProviderStatus,
        context: EvaluationContext,
        hooks: list[Hook],
        client: Any,
        about: Any,
    ) -> None:
        self.provider, self.status, self.context = provider, status, context
        self.hooks, self.client, self.about = hooks, client, about

    def one(
        self, kind: FlagType, key: str, default: Any, hints: Mapping[str, Any]
    ) -> FlagEvaluationDetails[Any]:
        chain: Chain = [
            (
                hook,
                HookContext(
                    key, kind, default, self.context, self.client, self.about, {}
                ),
            )
            for hook in self.hooks
            if hook.supports_flag_value_type(kind)
        ]
        error: Exception | None = None
        try:
            details = self.resolve(kind, key, default, chain, hints)
            error = details.get_exception() if details.error_code else None
            if error is not None:
                details.value = default
            else:
                _check(kind, details)
                for hook, about in reversed(chain):
                    hook.after(hook_context=about, details=details, hints=hints)
        except Exception as raised:  # noqa: BLE001 - OpenFeature 1.4.10
            error = raised
            details = _failed(key, default, raised)
        if error is not None:
            _finish("error", chain, exception=error, hints=hints)
        _finish("finally_after", chain, details=details, hints=hints)
        return details

    def resolve(
        self,
        kind: FlagType,
        key: str,
        default: Any,
        chain: Chain,
        hints: Mapping[str, Any],
    ) -> FlagEvaluationDetails[Any]:
        if self.status in _BLOCKED:
            blocked = _BLOCKED[self.status]()
            raise blocked
        context = self.context
        added = [hook.before(hook_context=about, hints=hints) for hook, about in chain]
        for extra in added:
            if extra is not None:
                context = context.merge(extra)
        resolution = getattr(self.provider, _METHODS[kind])(
            flag_key=key, default_value=default, evaluation_context=context
        )
        details: FlagEvaluationDetails[Any] = resolution.to_flag_evaluation_details(key)
        return details


def _check(kind: FlagType, details: FlagEvaluationDetails[Any]) -> None:
    value = details.value
    wrong = not isinstance(value, _SHAPES[kind])
    if wrong or (kind is FlagType.INTEGER and isinstance(value, bool)):
        raise TypeMismatchError(f"expected {kind.value}, got {type(value).__name__}")


def _failed(key: str, default: Any, error: Exception) -> FlagEvaluationDetails[Any]:
    return FlagEvaluationDetails(
        flag_key=key,
        value=default,
        reason=Reason.ERROR,
        error_code=getattr(error, "error_code", ErrorCode.GENERAL),
        error_message=getattr(error, "error_message", None) or str(error),
    )


def _finish(stage: str, chain: Chain, **kwargs: Any) -> None:
    for hook, about in reversed(chain):
        try:
            getattr(hook, stage)(hook_context=about, **kwargs)
        except Exception:  # noqa: BLE001, S112 - OpenFeature 4.4.3, 4.4.4
            continue
