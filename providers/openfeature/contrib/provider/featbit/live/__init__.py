"""Follow a live FeatBit environment: a stream, checked against full pulls.

``timing``, ``frames``, ``mirror`` and ``sync`` decide and do no I/O; ``streaming``,
``pulling``, ``last_good`` and ``insights`` touch the world; ``feed`` owns them all.
"""

from openfeature.contrib.provider.featbit.live.timing import Timing

__all__ = ["Timing"]
