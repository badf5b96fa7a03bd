"""A simulated FeatBit server: real sockets and shapes, and faults on demand.

It speaks to FeatBit's own SDK, and to any client of its REST API. Simplified:

- One workspace, organization, project and environment; everything is in memory.
- A stream gets pushes once it has synced; the real server may push earlier, and the
  SDK can then refuse the full that follows.
- Only the secret of type ``server`` opens a stream, and only its type is served.
"""

from openfeature_gov.testing.featbit.faults import Faults
from openfeature_gov.testing.featbit.server import SimulatedFeatBit

__all__ = ["Faults", "SimulatedFeatBit"]
