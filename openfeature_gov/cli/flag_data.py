"""Read what an evaluation server holds, and judge it as a whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from openfeature.contrib.provider.featbit.authoring import Json
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import read_pulled
from openfeature.contrib.provider.featbit.parsing import parse_flag_set
from openfeature.contrib.provider.featbit.snapshot import Snapshot, compile_snapshot
from openfeature_gov.cli import output
from openfeature_gov.cli.doctoring import UNEASY_S, Check, State
from openfeature_gov.targets import Held

LISTS = ("featureFlags", "segments")


def served(body: bytes, source: str) -> Held:
    """Return the flags that ``latest-all`` sent; those that are useless as *unread*.

    Raises:
        FeatBitDataError: it is no full data-sync message.

    """
    sync = read_pulled(body)
    segments = [one for one in sync.segments if not _problem([], [one])]
    keys = [one.get("key") if isinstance(one, dict) else None for one in sync.flags]
    flags, unread = [], {}
    for at, (key, one) in enumerate(zip(keys, sync.flags, strict=True)):
        problem = _problem([one], segments)
        if keys.count(key) > 1:
            problem = "it is there twice"
        if problem:
            unread[str(key or f"featureFlags[{at}]")] = problem
        else:
            flags.append(one)
    document = _document(flags, segments)
    return Held(source, document, _compiled(document), unread)


def _problem(flags: Sequence[object], segments: Sequence[object]) -> str:
    try:
        _compiled(_document(flags, segments))
    except FeatBitDataError as error:
        return str(error)
    return ""


def _document(flags: Sequence[object], segments: Sequence[object]) -> Json:
    data = {"eventType": "full", "featureFlags": flags, "segments": segments}
    return {"messageType": "data-sync", "data": data}


def _compiled(document: Json) -> Snapshot:
    return compile_snapshot(parse_flag_set(orjson.dumps(document)), revision="")


def data(held: Held) -> Check:
    """Judge what ``latest-all`` sent."""
    about = "flag data"
    flags, segments = (len(held.document["data"][name]) for name in LISTS)
    if held.unread:
        seen = f"some flags cannot be served: {', '.join(held.unread)}"
        return Check(about, State.WARNING, seen, "mend or archive them in FeatBit")
    if not flags + segments:
        do = "does the secret belong to this environment? then: gov featbit provision"
        return Check(about, State.WARNING, "answers, and holds nothing", do)
    seen = f"answers: {flags} flags, {segments} segments, archived ones too"
    return Check(about, State.OK, seen)


def stamps(held: Held, now_ms: float) -> Check:
    """Judge when flags and segments say they changed; *now_ms* is their server's."""
    about = "updatedAt"
    found = held.snapshot.flag_set
    items: list[tuple[str, int]] = [
        *((f'flag "{one.key}"', one.version) for one in found.flags.values()),
        *((f'segment "{one.id}"', one.version) for one in found.segments.values()),
    ]
    late = [
        f"{what} {output.moment(version * 1000) or version}"
        for what, version in items
        if version > now_ms + UNEASY_S * 1000
    ]
    if not late:
        seen = f"none of {len(items)} is in the future"
        return Check(about, State.OK, seen)
    do = "set the API server's clock, then change each once more when it has passed"
    seen = f"in the future, so SDKs drop every change until then: {', '.join(late)}"
    return Check(about, State.PROBLEM, seen, do)


def propagation(managed: Held, served: Held) -> Check:
    """Judge whether the evaluation server serves what the API says is there."""
    about = "propagation"
    lagging = [
        f'"{key}"'
        for key, flag in managed.flags.items()
        if key not in served.unread
        and (key not in served.flags or served.flags[key].version != flag.version)
    ]
    if not lagging:
        seen = f"both servers hold the same {len(managed.flags)} flags"
        return Check(about, State.OK, seen)
    do = "run this again; if it stays, look at the servers' database, queue and cache"
    seen = f"the evaluation server holds another state of {', '.join(lagging)}"
    return Check(about, State.WARNING, seen, do)
