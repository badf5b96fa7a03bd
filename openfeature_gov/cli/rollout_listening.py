"""`gov rollout listen`: take incidents and support cases from systems that see them.

Each sender signs what it sends as `gov approvals notify` signs its webhooks, with a
secret of its own. A signal can only hold a rollout back or lower it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from openfeature_gov.approvals.channels import private
from openfeature_gov.approvals.signing import HEADER, SHORTEST
from openfeature_gov.cli import output
from openfeature_gov.cli.rollout_place import at_place
from openfeature_gov.contracts import is_opaque
from openfeature_gov.errors import RecordStoreError

if TYPE_CHECKING:
    from openfeature_gov.cli.doors import Answer, Sent, Take
    from openfeature_gov_rollout.controller import Controller
    from openfeature_gov_rollout.deliveries import Inbox

PATH = "/signals"
PORT = "8643"
WARN_S = 30.0
"""Seconds between two warnings of what was refused."""
Heard = dict[str, str]


@at_place
def listen(
    controller: Controller,
    *,
    sender: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FILE",
            help="A system that may tell, as the records name it, and the file of its "
            "secret; repeatable.",
        ),
    ],
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Where to listen; a port alone: this machine."
        ),
    ] = PORT,
    as_json: output.Json = None,
) -> None:
    """Take signed incidents and support cases at /signals, and record each once.

    A body is JSON with id, plan, signal, reference and, where known, tool and decision.
    Answers 201 with the record, 200 when that id came before, 409 when it was used for
    something else, 401 for nobody known, 422 for what no gate reads, and 503 when it is
    not recorded: send it again. Prints one line a record. Ends at Ctrl-C.
    """
    from openfeature_gov.cli.doors import listening  # noqa: PLC0415 - an HTTP server
    from openfeature_gov_rollout.deliveries import (  # noqa: PLC0415 - slow to load
        LARGEST,
        Inbox,
    )
    from openfeature_gov_rollout.recording import kept  # noqa: PLC0415

    senders = dict(map(_sender, sender))
    if len({*senders.values()}) < len(sender):
        raise typer.BadParameter(
            "each sender needs a name and a secret of its own", param_hint="'--sender'"
        )
    heard = SimpleQueue[Heard]()
    with kept(controller.records) as store:
        inbox = Inbox(controller.plans, senders, store, controller.records, _now_ms)
        with listening(listen, _taking(inbox, heard), LARGEST) as door:
            try:
                while True:
                    _tell(heard, as_json)
                    door.warn_of_refused()
            except KeyboardInterrupt:
                return


def _tell(heard: SimpleQueue[Heard], as_json: bool | None) -> None:
    """Print the next record that was made, if there is one soon."""
    with suppress(Empty):
        one = heard.get(timeout=WARN_S)
        text = Text(f"recorded {one['signal']} as {one['record']}", "green")
        output.line(one, text, as_json=as_json)


def _taking(inbox: Inbox, heard: SimpleQueue[Heard]) -> Take:
    """Return what answers a sender; *heard* gets what is recorded."""
    from openfeature_gov.cli.doors import Answer  # noqa: PLC0415 - an HTTP server
    from openfeature_gov_rollout.deliveries import (  # noqa: PLC0415 - slow to load
        ConflictError,
        UnsignedError,
    )
    from openfeature_gov_rollout.signals import SignalError  # noqa: PLC0415

    def take(sent: Sent) -> Answer:
        if sent.path != PATH:
            return Answer(HTTPStatus.NOT_FOUND, f"signal: not sent to {PATH}")
        try:
            taken = inbox.take(sent.body, sent.headers.get(HEADER))
        except UnsignedError as error:
            return Answer(HTTPStatus.UNAUTHORIZED, str(error))
        except ConflictError as error:
            return Answer(HTTPStatus.CONFLICT, str(error))
        except SignalError as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except RecordStoreError as error:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        data = {"record": taken.record}
        if not taken.new:
            return Answer(HTTPStatus.OK, data=data)
        heard.put({**data, "signal": taken.signal, "by": taken.by})
        return Answer(HTTPStatus.CREATED, data=data)

    return take


def _sender(given: str) -> tuple[str, bytes]:
    """Return the name and the secret of a sender.

    Raises:
        typer.BadParameter: when it is not given so, or its secret is too short.
        InvalidContractError: when others may read the file.
        OSError: when it cannot be read.

    """
    name, _, file = given.partition("=")
    if not is_opaque(name) or not file:
        raise typer.BadParameter("write NAME=FILE", param_hint="'--sender'")
    secret = private(Path(file)).strip()
    if len(secret) < SHORTEST:
        raise typer.BadParameter(
            f"{file} holds no secret of at least {SHORTEST} bytes",
            param_hint="'--sender'",
        )
    return name, secret


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
