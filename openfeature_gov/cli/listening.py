"""Webhooks of FeatBit as a bell: a true one says that it is time to look, no more.

What a webhook claims is believed nowhere. It is answered with a status and nothing
else, and one that is refused is counted and rings no bell.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from http import HTTPStatus

from openfeature.contrib.provider.featbit.management import RefusedError
from openfeature.contrib.provider.featbit.management.webhooks import (
    LARGEST,
    SIGNATURE,
    Inbox,
)
from openfeature_gov.cli import doors
from openfeature_gov.cli.doors import Answer, Door, Sent


def listening(
    where: str, secret: str, rung: threading.Event
) -> AbstractContextManager[Door]:
    """Ring *rung* for each webhook that comes to *where*, signed with *secret* and new.

    *where* is ``HOST:PORT`` or a port of this machine, within the block.

    Raises:
        typer.BadParameter: when *where* is no address.
        UnreachableError: when it cannot be listened at.

    """
    inbox = Inbox(secret)

    def take(sent: Sent) -> Answer:
        try:
            inbox.take(sent.body, sent.headers.get(SIGNATURE))
        except RefusedError as error:
            return Answer(HTTPStatus.UNAUTHORIZED, str(error))
        rung.set()
        return Answer(HTTPStatus.NO_CONTENT)

    return doors.listening(where, take, LARGEST)
