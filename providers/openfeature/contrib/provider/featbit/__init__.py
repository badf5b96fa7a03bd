"""FeatBit flags for OpenFeature, evaluated in process from one immutable snapshot.

The semantics are FeatBit's; the bulk of them is checked against the evaluator of
FeatBit's own Python SDK (``tests/properties/test_featbit_agreement.py``). They differ
on purpose where FeatBit's answer could grant what nobody decided:

======================================  =================  =========================
case                                    FeatBit's SDK      here
======================================  =================  =========================
missing attribute, negative operator    matches            cannot match
missing attribute, "not in segment"     matches            cannot match
number that is none, "not in segment"   matches            cannot match
inf, 1_000, digits of other scripts     numbers            no numbers: cannot match
comparison of numbers                   5 decimals         exact doubles, as server
pattern on more than 128 characters     matched            cannot match
attribute to split by is missing        one shared bucket  INVALID_CONTEXT
integer value above 2**53               rounded            exact
top bucket, exactly 1.0                 nobody's           the last share's
blank ``dispatchKey``                   attribute ``" "``  targeting key, as server
======================================  =================  =========================

Refused when loaded, whole: a rollout with a gap or overlap, a value that does not
parse as its declared type, an unknown operator, variation or segment, a list that is
not a JSON list of text, a number condition without a number, a pattern that does not
compile or whose cost can explode, repeated flag keys or JSON members, NaN.
"""

from openfeature.contrib.provider.featbit.errors import (
    FeatBitDataError,
    FeatBitEditError,
)
from openfeature.contrib.provider.featbit.freshness import Freshness
from openfeature.contrib.provider.featbit.provider import FeatBitProvider
from openfeature.contrib.provider.featbit.snapshot import (
    Resolution,
    Snapshot,
    read_snapshot,
)
from openfeature.contrib.provider.featbit.writing import write_document

__all__ = [
    "FeatBitDataError",
    "FeatBitEditError",
    "FeatBitProvider",
    "Freshness",
    "Resolution",
    "Snapshot",
    "read_snapshot",
    "write_document",
]
