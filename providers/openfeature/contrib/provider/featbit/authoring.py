"""Author flag files: build documents, edit them. Pure; `write_document` stores them."""

from openfeature.contrib.provider.featbit.building import (
    UNCHANGED,
    Json,
    boolean_flag,
    condition,
    document,
    flag,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    string_flag,
)
from openfeature.contrib.provider.featbit.editing import (
    serve,
    set_values,
    turn_off,
    turn_on,
)

__all__ = [
    "UNCHANGED",
    "Json",
    "boolean_flag",
    "condition",
    "document",
    "flag",
    "json_flag",
    "number_flag",
    "rule",
    "segment",
    "segment_condition",
    "serve",
    "set_values",
    "string_flag",
    "turn_off",
    "turn_on",
]
