"""`gov approvals notify`: tell people what waits for them, from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Annotated

import typer
from rich.text import Text

from openfeature_gov.approvals import notifying
from openfeature_gov.approvals.channels import Channel, is_safe, load_channels
from openfeature_gov.approvals.notifying import Send
from openfeature_gov.cli import output, runs
from openfeature_gov.cli.answering import LateShelf, now_us
from openfeature_gov.cli.options import RECORDS, Records
from openfeature_gov.stores import queries
from openfeature_gov.stores.opening import SCHEMES
from openfeature_gov.targets import UnreachableError

CHANNELS = Path("channels.yaml")
POLL_S = 1.0
LONGEST_S = 300.0
_printing = Lock()


@dataclass(frozen=True, slots=True)
class _Post:
    """Bring notices to one channel. Lives as long as the command."""

    channel: Channel
    send: Send
    records: str
    kept: Path

    def once(self) -> int:
        """Send what is new; return how many notices."""
        to, shelf = self.channel.group, LateShelf(self.records)
        sent = 0
        for writer in queries.writers(self.records):
            read = partial(queries.stored, self.records, writer=writer)
            cursor = self.kept if writer is None else self._beside(writer)
            sent += notifying.notify(to, read, shelf, cursor, self.send, now_us)
        kept = self._beside("reminded")
        return sent + notifying.remind(to, shelf, kept, self.send, now_us())

    def follow(self, stop: Event, as_json: bool | None) -> None:
        """Send what is new, and what comes, until *stop*; pause longer on failures."""
        pause = POLL_S
        while not stop.is_set():
            try:
                sent, pause = self.once(), POLL_S
                if sent:
                    _tell({self.channel.name: sent}, as_json)
            except ConnectionError as error:
                pause = min(2 * pause, LONGEST_S)
                with _printing:
                    output.warn(f"{error}; the next try is in {pause:.0f} s")
            stop.wait(pause)

    def _beside(self, ending: str) -> Path:
        return self.kept.with_name(f"{self.kept.name}.{ending}")


def notify(
    *,
    channels: Annotated[
        Path,
        typer.Option(
            envvar="GOV_CHANNELS",
            help="File that says who is told where; keep it 0600.",
        ),
    ] = CHANNELS,
    link: Annotated[
        str,
        typer.Option(
            help="URL below which requests are found, such as"
            " https://gov.example.com/inbox.",
            show_default=False,
        ),
    ] = "",
    once: Annotated[
        bool, typer.Option("--once", help="Send what is new and end; for cron.")
    ] = False,
    cursor: Annotated[
        Path | None,
        typer.Option(
            help="Start of the names of the files that say where to go on (default:"
            " RECORDS.notified beside the file).",
            show_default=False,
        ),
    ] = None,
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Tell people what waits for them, and agents what was answered; until Ctrl-C.

    Each notice is sent at least once, and never with an argument, an amount or a name.
    A channel that takes nothing is tried again, longer and longer apart, and holds up
    no other. With --once exit 3 when one did not take all.
    """
    runs.reachable(records)
    if link and not (is_safe(link) and not set(link) & set("?#")):
        problem = "must be an https:// URL without user, query and fragment"
        raise typer.BadParameter(problem, param_hint="'--link'")
    if cursor is None and records.startswith(SCHEMES):
        raise typer.BadParameter("say where to keep it", param_hint="'--cursor'")
    kept = cursor or Path(f"{records}.notified")
    posts = [
        _Post(
            one,
            notifying.sender(one, link),
            records,
            kept.with_name(f"{kept.name}.{one.name}"),
        )
        for one in load_channels(channels)
    ]
    if once:
        _once(posts, as_json)
    else:
        _follow(posts, as_json)


def _once(posts: Sequence[_Post], as_json: bool | None) -> None:
    sent: dict[str, int] = {}
    failed: list[str] = []
    with ThreadPoolExecutor(len(posts)) as pool:
        for post, ended in [(one, pool.submit(one.once)) for one in posts]:
            try:
                sent[post.channel.name] = ended.result()
            except ConnectionError as error:
                failed.append(str(error))
    _tell(sent, as_json)
    if failed:
        raise UnreachableError("\n".join(failed))


def _follow(posts: Sequence[_Post], as_json: bool | None) -> None:
    stop = Event()
    with ThreadPoolExecutor(len(posts)) as pool:
        running: list[Future[None]] = [
            pool.submit(one.follow, stop, as_json) for one in posts
        ]
        try:
            ended, _ = wait(running, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            return
        finally:
            stop.set()
    for one in ended:
        one.result()


def _tell(sent: Mapping[str, int], as_json: bool | None) -> None:
    lines = [f"{name}: {number} notices sent" for name, number in sent.items()]
    with _printing:
        output.line({"sent": sent}, Text("\n".join(lines)), as_json=as_json)
