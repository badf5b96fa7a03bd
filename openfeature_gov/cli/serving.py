"""`gov serve`: the HTTP API and the inbox for those who answer requests."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.cli import output, runs
from openfeature_gov.cli.options import (
    RECORDS,
    CheckpointFile,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.errors import IdentityError, RecordStoreError
from openfeature_gov.stores.opening import open_store
from openfeature_gov.targets import UnreachableError

if TYPE_CHECKING:
    from openfeature_gov.approvals.logins import Login
    from openfeature_gov.server.desk import Desk

PORT = 8642
TICK_S = 2.0
"""Seconds between two looks for what is due."""
NEEDED = "gov serve needs {0}: pip install 'openfeature-gov[cli,server]'"
logger = logging.getLogger(__name__)


def serve(
    *,
    records: Records = RECORDS,
    reviewers: Annotated[
        Path,
        typer.Option(
            "--reviewers",
            envvar="GOV_REVIEWERS",
            help="File that says who reviews.",
            readable=False,
        ),
    ] = Path("reviewers.yaml"),
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")
    ] = PORT,
    login: Annotated[
        Path | None,
        typer.Option(
            "--login",
            envvar="GOV_LOGIN",
            help="File that says whose signed tokens (JWT) reviewers log in with too.",
        ),
    ] = None,
    behind_tls: Annotated[
        bool,
        typer.Option(
            "--behind-tls",
            help="Reached only through a proxy on this machine or at --host's network"
            " that speaks https: cookies are for https alone.",
        ),
    ] = False,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
) -> None:
    """Serve the inbox for people who review, and the API at /approvals.

    Reviewers log in with the tokens of the reviewers file. What is due is escalated or
    ended every few seconds. Listens on this machine alone unless a proxy adds https.
    Ends at Ctrl-C.
    """
    if not behind_tls and not _loopback(host):
        raise typer.BadParameter(
            "tokens would cross the network unprotected; put a proxy with https before"
            " it and say --behind-tls",
            param_hint="'--host'",
        )
    try:
        from openfeature_gov.server.desk import Desk  # noqa: PLC0415 - the extra
        from openfeature_gov.server.shelf import InboxShelf  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise UnreachableError(NEEDED.format(error.name)) from None
    people = ReviewerDirectory(reviewers)
    signed = None if login is None else _signed(login, people)
    listening = _listening(host, port)
    chosen = sealing_of(key_file, checkpoint_file)
    with (
        closing(listening),
        closing(open_store(runs.reachable(records), sealing=chosen)) as store,
    ):
        shelf = InboxShelf(store, records)
        desk = Desk(
            shelf,
            people,
            ApprovalQueue(shelf, people, _now_us),
            now=_now_us,
            clock=time.monotonic,
            secure=behind_tls,
            signed=signed,
        )
        _serve(desk, listening)


def _signed(file: Path, people: ReviewerDirectory) -> Login:
    from openfeature_gov.approvals.logins import load  # noqa: PLC0415 - seldom

    try:
        return load(file, people)
    except ModuleNotFoundError as error:
        told = f"--login needs {error.name}: pip install 'openfeature-gov[jwt]'"
        raise UnreachableError(told) from None
    except IdentityError as error:
        raise UnreachableError(f"{file}: {error}") from None


def _serve(desk: Desk, listening: socket.socket) -> None:
    """Serve *desk* until the process is asked to end; the clock goes on meanwhile."""
    from openfeature_gov.server.hosting import server  # noqa: PLC0415 - the extra

    ended = threading.Event()
    clock = threading.Thread(target=_tick, args=(desk.queue, ended), daemon=True)
    clock.start()
    name, port = listening.getsockname()[:2]
    where = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    said = Text.assemble(("gov: ", "dim"), f"the inbox is at {where}")
    output.paper(stderr=True).print(said, soft_wrap=True)
    try:
        server(desk).run(sockets=[listening])
    except KeyboardInterrupt:
        return
    finally:
        ended.set()
        clock.join()


def _tick(queue: ApprovalQueue, ended: threading.Event) -> None:
    """Escalate or end what is due, until *ended*; what cannot be recorded stays due."""
    while not ended.wait(TICK_S):
        try:
            for request in queue.tick():
                logger.info("approval %s: %s", request.id, request.state.value)
        except RecordStoreError as error:
            logger.error("what is due waits: %s", error)  # noqa: TRY400 - it says all


def _listening(host: str, port: int) -> socket.socket:
    from openfeature_gov.server.hosting import listen  # noqa: PLC0415 - the extra

    try:
        return listen(host, port)
    except OSError as error:
        raise UnreachableError(f"{host}:{port}: {error.strerror}") from None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _now_us() -> int:
    return time.time_ns() // 1_000
