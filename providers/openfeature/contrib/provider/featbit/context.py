"""Turn an OpenFeature evaluation context into FeatBit's user: a key and text.

Nothing is dropped: an attribute that cannot be passed on faithfully refuses the
whole context, because a rule on a dropped attribute may grant what it should not.
"""

import math
from collections.abc import Mapping
from enum import Enum

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import InvalidContextError, TargetingKeyMissingError

from openfeature.contrib.provider.featbit.conditions import KEY_NAMES

RESERVED = KEY_NAMES | {"self"}
"""FeatBit's own names, and one that its Python SDK cannot take."""


def user_of(context: EvaluationContext | None) -> tuple[str, Mapping[str, str]]:
    """Return the targeting key and the attributes of *context* as text.

    Raises:
        TargetingKeyMissingError: there is no targeting key, or it is blank.
        InvalidContextError: the key is not text, an attribute has a reserved name,
            or a value that is not text, a boolean, a finite number or an enum of text.

    """
    if context is None or context.targeting_key is None:
        raise TargetingKeyMissingError("the evaluation context has no targeting key")
    key = context.targeting_key
    if type(key) is not str:
        raise InvalidContextError(f"targeting key must be str, not {_type(key)}")
    if not key or key.isspace():
        raise TargetingKeyMissingError("the targeting key is blank")
    return key, _texts(context.attributes)


def _texts(attributes: Mapping[str, object]) -> Mapping[str, str]:
    texts = {}
    for name, value in attributes.items():
        if type(name) is not str or name.lower() in RESERVED:
            raise InvalidContextError(f"attribute name {name!r} is not usable")
        texts[name] = value if type(value) is str else _text(name, value)
    return texts


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        if isinstance(value, str) and type(value.value) is str:
            return value.value
    elif type(value) is int and abs(value) < 10**400:
        return str(value)
    elif type(value) is float and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    raise InvalidContextError(
        f'attribute "{name}" must be text, a boolean, a finite number or an enum of '
        f"text, not {_type(value)}"
    )


def _type(value: object) -> str:
    return "infinite or NaN" if isinstance(value, float) else type(value).__name__
