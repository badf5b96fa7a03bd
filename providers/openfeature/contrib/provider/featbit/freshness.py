"""How old the held flag data may be."""

from typing import NamedTuple

NEVER = -(1 << 62)
"""A `Freshness.verified_ns` older than any machine."""


class Freshness(NamedTuple):
    """What a provider holds and when that was last known to be the current data.

    *generation* counts the snapshots held so far; 0 is none. *verified_ns* is
    `time.monotonic_ns` at the last moment at which the source was read and equalled
    the held snapshot: it stands still while the source is bad or nobody reads it. What
    the machine slept since is taken off, for that clock stands still meanwhile.
    *source* says where the data comes from, *revision* is its SHA-256. *epoch* is a
    random id of this following of the source: another one means that generations
    count anew, in another process or after another start.
    """

    generation: int
    verified_ns: int
    source: str
    revision: str
    epoch: str = ""
