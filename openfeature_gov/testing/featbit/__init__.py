"""A simulated FeatBit server: real sockets and shapes, and faults on demand.

It speaks to FeatBit's own SDK and to any client of its REST API, and needs the extra
``testing``. It behaves as FeatBit 5.4.2 with PostgreSQL. Simplified:

- One workspace, organization, project and environment, in memory; no users, so all
  that takes a signed-in person is refused. No rate limits, experiments, schedules.
- A stream gets pushes once it has synced; the real server may push earlier, and the
  SDK can then refuse the full that follows. Client and relay streams are refused.
- What is sent to a frozen server is lost, not answered late.
- Writes run one at a time; on the real server two with one revision can both pass.
- `put_flag`, `put_segment`, `toggle`, `archive` and `remove` of the simulator leave no
  audit entry and fire no webhook; the management API does.
- Error codes of rare validations, the order of the checks of ``PUT targeting`` and
  most texts in a webhook's ``changes`` are guesses. JSON Patch cannot move or copy.
- Version 6 differs in targeting alone: the off variation is taken from it, and it is
  validated.
- Evaluation over HTTP uses Python's numbers and regular expressions.
"""

from openfeature_gov.testing.featbit.faults import Faults
from openfeature_gov.testing.featbit.server import SimulatedFeatBit

__all__ = ["Faults", "SimulatedFeatBit"]
