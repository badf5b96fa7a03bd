"""Typed answers from one snapshot: what a provider is between two changes of data."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    OpenFeatureError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason

from openfeature.contrib.provider.featbit import values
from openfeature.contrib.provider.featbit.context import user_of
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.snapshot import Resolution, Snapshot

T = TypeVar("T")


class Answers:
    """Answer for the flags of one snapshot, under one generation; immutable.

    It has the resolve methods of a provider, so that several flags can be evaluated
    on the same data. Every error is returned as error details with the caller's
    default, never raised.
    """

    __slots__ = ("generation", "revision", "snapshot")

    def __init__(self, snapshot: Snapshot | None, generation: int) -> None:
        self.snapshot, self.generation = snapshot, generation
        self.revision = "" if snapshot is None else snapshot.revision

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Answer for a flag declared ``boolean``."""
        return self._resolve(
            flag_key, default_value, evaluation_context, values.BOOLEAN, _boolean
        )

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Answer for a flag declared ``string``."""
        return self._resolve(
            flag_key, default_value, evaluation_context, values.STRING, _string
        )

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Answer for a flag declared ``number`` whose value is integral."""
        return self._resolve(
            flag_key, default_value, evaluation_context, values.NUMBER, _integer
        )

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Answer for a flag declared ``number``; integers are widened."""
        return self._resolve(
            flag_key, default_value, evaluation_context, values.NUMBER, _float
        )

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Answer for a flag declared ``json``: a dict or list of the caller's own."""
        return self._resolve(
            flag_key, default_value, evaluation_context, values.JSON, _object
        )

    def _resolve(
        self,
        flag_key: str,
        default_value: T,
        context: EvaluationContext | None,
        kind: str,
        read: Callable[[Resolution], T],
    ) -> FlagResolutionDetails[T]:
        try:
            resolution = self._evaluate(flag_key, context, kind)
            return FlagResolutionDetails(
                value=read(resolution),
                reason=resolution.reason,
                variant=resolution.variant,
                flag_metadata=resolution.metadata,
            )
        except OpenFeatureError as error:
            return _failed(default_value, error.error_code, str(error))
        except Exception as error:  # noqa: BLE001 - the boundary to the SDK
            seen = f"{type(error).__name__}: {error}"
            return _failed(default_value, ErrorCode.GENERAL, seen)

    def _evaluate(
        self, flag_key: str, context: EvaluationContext | None, kind: str
    ) -> Resolution:
        snapshot = self.snapshot
        if snapshot is None:
            raise ProviderNotReadyError("no flag data was loaded yet")
        flag = snapshot.flags.get(flag_key) if isinstance(flag_key, str) else None
        if flag is None:
            raise _missing(flag_key, snapshot)
        if flag.kind != kind:
            raise TypeMismatchError(f'flag "{flag_key}" is {flag.kind}, not {kind}')
        return flag.evaluate(*user_of(context))


def _missing(flag_key: str, snapshot: Snapshot) -> OpenFeatureError:
    if isinstance(flag_key, str) and flag_key in snapshot.refused:
        return FeatBitDataError(snapshot.refused[flag_key])
    return FlagNotFoundError(f"flag {flag_key!r} is unknown or archived")


def _failed(
    default_value: T, error_code: ErrorCode, message: str
) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(
        value=default_value,
        reason=Reason.ERROR,
        error_code=error_code,
        error_message=message,
    )


def _boolean(resolution: Resolution) -> bool:
    return _exact(resolution.content, bool)


def _string(resolution: Resolution) -> str:
    return _exact(resolution.content, str)


def _integer(resolution: Resolution) -> int:
    return _exact(resolution.content, int)


def _float(resolution: Resolution) -> float:
    content = resolution.content
    return float(
        _exact(content, int) if type(content) is int else _exact(content, float)
    )


def _object(
    resolution: Resolution,
) -> Sequence[FlagValueType] | Mapping[str, FlagValueType]:
    value: dict[str, FlagValueType] | list[FlagValueType] | None = resolution.value
    return value if type(value) is list else _exact(value, dict)


def _exact(value: object, wanted: type[T]) -> T:
    # Not isinstance alone: a bool is an int, and would pass as a limit of 1.
    if type(value) is wanted and isinstance(value, wanted):
        return value
    raise TypeMismatchError(f"value is {type(value).__name__}, not {wanted.__name__}")
