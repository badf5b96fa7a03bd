"""A live provider under the real OpenFeature API, on a simulated FeatBit server."""

import asyncio
import json
import logging
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    ProviderFatalError,
    ProviderNotReadyError,
)
from openfeature.provider import ProviderStatus

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider, write_document
from openfeature.contrib.provider.featbit.authoring import (
    Json,
    boolean_flag,
    condition,
    document,
    json_flag,
    number_flag,
    rule,
    segment,
    segment_condition,
    serve,
    string_flag,
)
from openfeature.contrib.provider.featbit.freshness import NEVER
from openfeature.contrib.provider.featbit.live import Timing
from openfeature.contrib.provider.featbit.live.sync import Sync
from openfeature_gov.testing.featbit import SimulatedFeatBit
from tests.featbit_provider import MODE
from tests.waiting import until

READY, STALE = ProviderEvent.PROVIDER_READY, ProviderEvent.PROVIDER_STALE
ERROR = ProviderEvent.PROVIDER_ERROR
CHANGED = ProviderEvent.PROVIDER_CONFIGURATION_CHANGED
USER = EvaluationContext("u")
DOCUMENT = document(
    [boolean_flag("a", serve=True), boolean_flag("b", serve=True), MODE],
    [segment("s", included=["member"])],
)
SLOW = Timing(pull_s=3600, poll_s=3600)
"""The stream alone: what it loses stays lost."""
QUICK = Timing(
    ping_s=0.05, stale_s=0.3, reconnect_s=0.6, pull_s=0.2, poll_s=0.1, tick_s=0.02
)


class Live:
    """A live provider, bound to a domain, with its events noted in order."""

    def __init__(self, server: SimulatedFeatBit, **options: Any) -> None:
        given = {
            "streaming_url": server.streaming_url,
            "event_url": server.event_url,
            "secret": server.server_secret,
            "timing": SLOW,
        }
        self.provider = FeatBitProvider.live(**{**given, **options})
        self.client = api.get_client("live")
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in ProviderEvent:
            self.client.add_handler(event, self._noting(event))

    def start(self) -> "Live":
        api.set_provider_and_wait(self.provider, "live")
        until(lambda: READY in self.kinds())
        return self

    def _noting(self, event: ProviderEvent) -> Callable[[EventDetails], None]:
        def note(details: EventDetails) -> None:
            # Without a provider of its own, the domain tells of the no-op one.
            if details.provider_name == "featbit-snapshot":
                self.events.append((event, details))

        return note

    def kinds(self) -> list[ProviderEvent]:
        return [kind for kind, _ in list(self.events)]

    def changed(self) -> list[set[str]]:
        """Return the keys of each change so far."""
        events = list(self.events)
        return [set(d.flags_changed or ()) for kind, d in events if kind is CHANGED]

    @property
    def status(self) -> ProviderStatus:
        return self.client.get_provider_status()

    def on(self, key: str = "a") -> bool:
        """Evaluate a boolean flag; its default is False."""
        return self.client.get_boolean_value(key, False, USER)

    def error(self, key: str) -> ErrorCode | None:
        return self.client.get_boolean_details(key, False, USER).error_code


@pytest.fixture
def server() -> Iterator[SimulatedFeatBit]:
    with SimulatedFeatBit(DOCUMENT) as one:
        yield one


def threads() -> list[str]:
    """Return the threads of live providers."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("featbit-")]


def test_it_starts_serves_and_follows(server: SimulatedFeatBit) -> None:
    """READY once, from the stream; a flip arrives, with the keys that changed."""
    live = Live(server).start()
    held = live.provider.freshness()
    assert (held.source, len(held.epoch)) == ("stream", 16)
    assert time.monotonic_ns() - held.verified_ns < 5_000_000_000
    assert live.on()
    server.toggle("a", False)
    until(lambda: not live.on())
    until(lambda: live.changed() == [{"a"}])
    assert live.kinds() == [READY, CHANGED]
    assert live.provider.freshness().generation > held.generation
    assert live.provider.freshness().epoch == held.epoch


def test_every_kind_of_change_is_announced(server: SimulatedFeatBit) -> None:
    """Archive, removal, and the flags whose segment changed."""
    live = Live(server).start()
    server.archive("a")
    until(lambda: live.error("a") is ErrorCode.FLAG_NOT_FOUND)
    server.remove("b")
    assert live.on("b")
    assert live.provider.reload() == ("b",)
    assert live.error("b") is ErrorCode.FLAG_NOT_FOUND
    server.put_segment(segment("s", included=["u"]))
    until(lambda: live.client.get_string_value("mode", "-", USER) == "autonomous")
    until(lambda: live.changed() == [{"a"}, {"b"}, {"mode"}])


def test_a_drop_is_stale_once_and_then_ready(server: SimulatedFeatBit) -> None:
    """However often it fails to come back."""
    live = Live(server, timing=QUICK).start()
    server.pause()
    until(lambda: live.status is ProviderStatus.STALE)
    held = live.provider.freshness().verified_ns
    time.sleep(0.5)
    assert live.provider.freshness().verified_ns == held
    assert live.on()
    server.toggle("a", False)
    server.resume()
    until(lambda: live.status is ProviderStatus.READY)
    assert not live.on()
    until(
        lambda: [k for k in live.kinds() if k is not CHANGED] == [READY, STALE, READY]
    )


def test_a_server_that_goes_on_over_http_is_polled(server: SimulatedFeatBit) -> None:
    """Without its stream the data is pulled, verified and STALE."""
    live = Live(server, timing=QUICK).start()
    server.faults.half_open = True
    server.drop()
    until(lambda: live.status is ProviderStatus.STALE)
    server.toggle("a", False)
    until(lambda: not live.on())
    held = live.provider.freshness()
    assert held.source == "pull"
    until(lambda: live.provider.freshness().verified_ns > held.verified_ns)
    assert live.status is ProviderStatus.STALE
    server.faults.half_open = False


def test_a_refused_secret_is_fatal_at_the_start(server: SimulatedFeatBit) -> None:
    """At once, and nothing goes on trying."""
    live = Live(server, secret="x" * 44)
    with pytest.raises(ProviderFatalError, match="4003"):
        api.set_provider_and_wait(live.provider, "live")
    assert live.status is ProviderStatus.FATAL
    until(lambda: not threads())


def test_a_secret_refused_later_is_fatal_too(server: SimulatedFeatBit) -> None:
    """One ERROR event with the code; the data stays, and ages."""
    live = Live(server).start()
    server.faults.refuse_code = 4003
    server.drop()
    until(lambda: live.status is ProviderStatus.FATAL)
    until(lambda: ERROR in live.kinds())
    ((_, details),) = [one for one in live.events if one[0] is ERROR]
    assert details.error_code is ErrorCode.PROVIDER_FATAL
    until(lambda: not threads())
    assert live.provider.resolve_boolean_details("a", False, USER).value is True


def test_without_a_server_it_is_not_ready_and_then_is(server: SimulatedFeatBit) -> None:
    """The start waits no longer than it was told; the first data makes it READY."""
    server.pause()
    live = Live(server, start_wait_s=0.1, timing=QUICK)
    with pytest.raises(ProviderNotReadyError, match=r"127.0.0.1:\d+: no data within"):
        api.set_provider_and_wait(live.provider, "live")
    assert live.status is ProviderStatus.ERROR
    assert live.provider.snapshot is None
    server.resume()
    until(lambda: live.status is ProviderStatus.READY)
    assert live.on()


def test_the_last_good_data_is_served_with_its_true_age(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """STALE after a start without a server, and READY when it is back."""
    kept = tmp_path / "kept"
    live = Live(server, last_good=kept, timing=QUICK).start()
    server.toggle("a", False)
    until(lambda: not live.on())
    until(kept.exists)
    api.shutdown()
    until(lambda: not threads())
    server.pause()
    time.sleep(0.3)
    again = Live(server, last_good=kept, timing=QUICK, start_wait_s=0.05)
    api.set_provider_and_wait(again.provider, "live")
    until(lambda: again.status is ProviderStatus.STALE)
    held = again.provider.freshness()
    assert held.source == "last_good"
    assert time.monotonic_ns() - held.verified_ns > 300_000_000
    assert again.on("b")
    assert not again.on("a")
    server.resume()
    until(lambda: again.status is ProviderStatus.READY)
    assert again.provider.freshness().source == "stream"


def test_a_kill_is_remembered_over_a_restart(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """The last good data holds it against a server that lags."""
    kept = tmp_path / "kept"
    server.faults.stale_snapshot = True
    live = Live(server, last_good=kept).start()
    server.toggle("a", False)
    until(lambda: not live.on())
    until(lambda: kept.exists() and b'"isEnabled":false' in kept.read_bytes())
    api.shutdown()
    again = Live(server, last_good=kept).start()
    assert not again.on()
    assert again.provider.latched == ("a",)


def test_a_kill_is_remembered_over_shutdown_and_start(
    server: SimulatedFeatBit,
) -> None:
    """Of the same provider, with nothing on disk."""
    server.faults.stale_snapshot = True
    live = Live(server).start()
    server.toggle("a", False)
    until(lambda: not live.on())
    live.provider.shutdown()
    live.provider.initialize(USER)
    until(lambda: live.provider.freshness().source == "stream")
    assert live.provider.latched == ("a",)
    assert not live.on()


def test_what_arrives_at_the_start_counts_before_what_was_kept(
    server: SimulatedFeatBit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the kept data is served the moment after."""
    kept = tmp_path / "kept"
    Live(server, last_good=kept).start()
    api.shutdown()
    server.toggle("a", False)
    monkeypatch.setattr(Sync, "serve", slowly(Sync.serve))
    live = Live(server, last_good=kept, start_wait_s=0)
    api.set_provider_and_wait(live.provider, "live")
    assert live.provider.freshness().source in ("stream", "pull")
    assert not live.on()


def slowly(serve: Callable[..., bool]) -> Callable[..., bool]:
    """Return *serve*, asked only once the first data is there."""

    def later(sync: Sync, kept: Callable[[], bool]) -> bool:
        assert sync.answered.wait(10)
        return serve(sync, kept)

    return later


def test_a_bootstrap_file_is_of_unknown_age(
    server: SimulatedFeatBit, tmp_path: Path
) -> None:
    """Served only when nothing else is there."""
    path = tmp_path / "flags.json"
    write_document(path, serve(DOCUMENT, "mode", "off", at="2026-01-01T00:00:00Z"))
    server.pause()
    live = Live(server, bootstrap=path, start_wait_s=0.05, timing=QUICK)
    api.set_provider_and_wait(live.provider, "live")
    assert live.provider.freshness().verified_ns == NEVER
    assert live.provider.freshness().source == "bootstrap"
    assert live.client.get_string_value("mode", "-", USER) == "off"
    until(lambda: live.status is ProviderStatus.STALE)
    server.resume()
    until(lambda: live.status is ProviderStatus.READY)
    assert live.client.get_string_value("mode", "-", USER) == "observe"


def test_a_lagging_server_cannot_undo_a_kill(server: SimulatedFeatBit) -> None:
    """The latch holds over pulls and reconnects, and is named."""
    live = Live(server).start()
    server.faults.stale_snapshot = True
    server.toggle("a", False)
    until(lambda: not live.on())
    live.provider.reload()
    assert not live.on()
    assert live.provider.latched == ("a",)
    until(lambda: any("a" in (d.message or "") for _, d in list(live.events)))
    (_, details) = live.events[-1]
    assert details.metadata["latched"] == "a"
    server.drop()
    until(lambda: live.kinds().count(READY) == 2)
    assert not live.on()
    server.faults.stale_snapshot = False
    live.provider.reload()
    assert not live.provider.latched
    server.toggle("a", True)
    until(live.on)


def test_a_bad_flag_answers_parse_error_alone(server: SimulatedFeatBit) -> None:
    """Never its old value, and the others are served."""
    live = Live(server).start()
    bad = boolean_flag("a", serve=True)
    bad["variations"][0]["value"] = "perhaps"
    server.put_flag(bad)
    until(lambda: live.error("a") is ErrorCode.PARSE_ERROR)
    assert live.on("b")
    details = live.client.get_boolean_details("a", False, USER)
    assert details.value is False
    assert "perhaps" not in str(details)
    until(lambda: {"a"} in live.changed())


def test_catching_up_with_a_token(server: SimulatedFeatBit) -> None:
    """At once if it is held; by a pull if the push was lost; not if nothing has it."""
    live = Live(server).start()
    provider = live.provider
    assert provider.catch_up(provider.token("a"), 0)
    server.faults.drop_pushes = True
    written = server.toggle("a", False)
    assert live.on()
    moment = written["updatedAt"]
    other = FeatBitProvider.from_json(
        json.dumps(document([boolean_flag("a", serve=True, at=moment)]))
    )
    token = other.token("a")
    assert token != provider.token("a")
    assert provider.catch_up(token, 5)
    assert not live.on()
    assert provider.catch_up(token, 0)
    server.toggle("b", False)
    server.faults.stale_snapshot = True
    server.toggle("a", True)
    key, _, version = token.partition("@")
    assert not provider.catch_up(f"{key}@{int(version) + 10**9}", 0.2)
    assert not provider.catch_up("nowhere@1", 0.2)
    server.pause()
    assert not provider.catch_up("b@1", 0.2)
    for bad in ("", "a", "@1", "a@", "a@-1", "a@1.5"):
        with pytest.raises(ValueError, match="milliseconds"):
            provider.catch_up(bad, 1)
    with pytest.raises(FlagNotFoundError):
        provider.token("nowhere")


def test_an_archived_flag_has_a_token(server: SimulatedFeatBit) -> None:
    """Whoever archives a flag can wait for that."""
    live = Live(server).start()
    before = live.provider.token("a")
    server.archive("a")
    until(lambda: live.error("a") is not None)
    assert live.provider.token("a") != before
    assert live.provider.catch_up(live.provider.token("a"), 0)


def test_files_and_static_data_catch_up_too(tmp_path: Path) -> None:
    """A file by one look, even if nobody polls; static data has what it has."""
    path = tmp_path / "flags.json"
    write_document(path, DOCUMENT)
    provider = FeatBitProvider.from_file(path, poll_seconds=3600)
    api.set_provider_and_wait(provider)
    old = provider.token("mode")
    changed = serve(DOCUMENT, "mode", "off", at="2026-01-01T00:00:00Z")
    write_document(path, changed)
    static = FeatBitProvider.from_json(json.dumps(changed))
    new = static.token("mode")
    assert provider.catch_up(old, 0)
    assert provider.catch_up(new, 0)
    assert provider.token("mode") == new
    path.write_text("{")
    assert not provider.catch_up("mode@9999999999999", 0)
    assert static.catch_up(old, 0)
    assert not static.catch_up("mode@9999999999999", 0)


def test_it_keeps_answering_and_ages_after_shutdown(server: SimulatedFeatBit) -> None:
    """Bounded, whatever the server does; twice is fine; and it can start again."""
    live = Live(server).start()
    server.faults.frozen = True
    started = time.monotonic()
    live.provider.shutdown()
    live.provider.shutdown()
    assert time.monotonic() - started < 5
    held = live.provider.freshness()
    server.toggle("a", False)
    assert live.provider.resolve_boolean_details("a", False, USER).value is True
    assert live.provider.freshness() == held
    server.faults.frozen = False
    live.provider.initialize(USER)
    assert live.provider.resolve_boolean_details("a", True, USER).value is False
    assert live.provider.freshness().epoch != held.epoch
    live.provider.shutdown()
    until(lambda: not threads())


def test_every_thread_is_daemon_and_named(server: SimulatedFeatBit) -> None:
    """None keeps a process from ending."""
    Live(server, insights="keys").start()
    mine = [t for t in threading.enumerate() if t.name.startswith("featbit-")]
    assert {t.name for t in mine} == {
        *("featbit-streaming", "featbit-streaming-ping"),
        *("featbit-pull", "featbit-watch", "featbit-insights"),
    }
    assert all(t.daemon for t in mine)


def test_nothing_but_the_start_blocks_an_event_loop(server: SimulatedFeatBit) -> None:
    """Evaluations run on the loop; starting in a thread leaves it free."""
    server.faults.slow_sync_s = 0.3
    live = Live(server)

    async def main() -> int:
        starting = asyncio.create_task(
            asyncio.to_thread(api.set_provider_and_wait, live.provider, "live")
        )
        turns = 0
        while not starting.done():
            await asyncio.sleep(0.01)
            turns += 1
        await starting
        assert live.on()
        return turns

    assert asyncio.run(main()) > 5


MARK = "marker-4711"


def test_nothing_secret_is_logged_shown_or_sent(
    server: SimulatedFeatBit, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Neither the secret, nor a flag's value, nor a user's attribute."""
    caplog.set_level(1)
    # Libraries of others: at this level they log the traffic as they please.
    for name in ("urllib3", "websockets", "asyncio"):
        caplog.set_level(logging.WARNING, name)
    live = Live(
        server, timing=QUICK, insights="keys", last_good=tmp_path / "kept"
    ).start()
    hidden = string_flag("s", [MARK], serve=MARK, off=MARK)
    server.put_flag(hidden)
    until(lambda: "s" in {key for keys in live.changed() for key in keys})
    user = EvaluationContext(f"key-{MARK}", {"mail": MARK})
    assert live.client.get_string_value("s", "-", user) == MARK
    server.put_flag({**hidden, "variationType": "number"})
    until(lambda: live.client.get_float_details("s", 0, user).error_code is not None)
    broken = live.client.get_float_details("s", 0.0, user)
    for frame in (f'{{"{MARK}', f'{{"messageType":"data-sync","data":"{MARK}"}}'):
        server.push_raw(frame)
    server.drop()
    until(lambda: live.status is ProviderStatus.READY)
    until(lambda: bool(server.insights))
    server.faults.refuse_code = 4003
    server.drop()
    until(lambda: live.status is ProviderStatus.FATAL)
    seen = [caplog.text, repr(live.events), repr(vars(live.provider)), repr(broken)]
    feed: Any = live.provider._feed
    seen += [repr(feed._settings), repr(vars(feed)), json.dumps(server.insights)]
    for text in seen:
        assert server.server_secret not in text
        assert server.server_secret[:22] not in text
    assert MARK not in "".join(seen[1:-1]).replace(f'"id": "{MARK}"', "")
    assert MARK not in caplog.text


def test_insights_carry_keys_alone(server: SimulatedFeatBit) -> None:
    """And by default nothing is sent at all."""
    silent = Live(server).start()
    assert silent.on()
    assert silent.provider.get_provider_hooks() == []
    live = Live(server, insights="keys").start()
    secretive = EvaluationContext("someone", {"mail": "a@b.c"})
    live.client.get_boolean_value("a", False, secretive)
    live.client.get_boolean_value("missing", False, secretive)
    until(lambda: bool(server.insights))
    (entry,) = server.insights
    assert entry["user"]["keyId"] == "openfeature"
    assert entry["user"]["customizedProperties"] == []
    ((noted),) = entry["variations"]
    assert (noted["featureFlagKey"], noted["variation"]["id"]) == ("a", "true")
    assert "someone" not in json.dumps(server.insights)


@pytest.mark.parametrize(
    "wrong",
    [
        {"streaming_url": "http://host"},
        {"streaming_url": "ws://"},
        {"event_url": "ws://host"},
        {"event_url": "http://user:pw@host"},
        {"secret": " "},
        {"secret": "sécret"},
        {"secret": "SECRET\n"},
        {"start_wait_s": -1},
        {"start_wait_s": float("nan")},
        {"insights": "all"},
    ],
)
def test_unusable_arguments_are_refused(wrong: dict[str, Any]) -> None:
    """Before anything is connected, and without showing the secret."""
    right = {"streaming_url": "ws://h", "event_url": "http://h", "secret": "SECRET"}
    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        FeatBitProvider.live(**{**right, **wrong})
    assert "SECRET" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_an_unencrypted_way_to_another_host_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not that to this host, and never with the secret."""
    secret = "SECRET"
    for host, warnings in (("127.0.0.1", 0), ("localhost", 0), ("featbit.example", 2)):
        caplog.clear()
        FeatBitProvider.live(
            streaming_url=f"ws://{host}", event_url=f"http://{host}", secret=secret
        )
        assert len(caplog.records) == warnings
        assert secret not in caplog.text


def test_no_redirect_takes_the_secret_elsewhere(server: SimulatedFeatBit) -> None:
    """Neither one of the stream nor one of a request."""
    with Redirecting() as elsewhere, Redirecting(elsewhere.port) as here:
        live = Live(
            server,
            streaming_url=f"ws://127.0.0.1:{here.port}",
            event_url=f"http://127.0.0.1:{here.port}",
            start_wait_s=0,
        )
        with pytest.raises(ProviderNotReadyError):
            live.provider.initialize(USER)
        until(lambda: {path.split("?")[0] for path in here.paths} == BOTH_PATHS)
        live.provider.shutdown()
    assert elsewhere.paths == []


BOTH_PATHS = {"/streaming", "/api/public/sdk/server/latest-all"}


class Redirecting:
    """Answer every request with a redirect to another port; keep the paths."""

    def __init__(self, to: int = 0) -> None:
        self.paths: list[str] = []
        paths = self.paths

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paths.append(self.path)
                self.send_response(302)
                scheme = "ws" if "streaming" in self.path else "http"
                self.send_header("Location", f"{scheme}://127.0.0.1:{to}{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> "Redirecting":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"stale_s": 25},
        {"ping_s": 0},
        {"pull_s": 0},
        {"first_retry_s": 1.0},
        {"first_retry_s": 0},
    ],
)
def test_unusable_timing_is_refused(wrong: dict[str, Any]) -> None:
    """A float delay would end the SDK's thread after 1,024 failures."""
    with pytest.raises(ValueError, match=r"must be|needs"):
        Timing(**wrong)


FORKING = """
    import os, sys, time
    from openfeature import api
    from openfeature.contrib.provider.featbit import FeatBitProvider
    from openfeature.evaluation_context import EvaluationContext

    streaming, event, secret = sys.argv[1:]
    provider = FeatBitProvider.live(
        streaming_url=streaming, event_url=event, secret=secret
    )
    api.set_provider_and_wait(provider)
    epoch, latched = provider.freshness().epoch, provider.latched

    def wait(who):
        print(who, flush=True)
        deadline = time.monotonic() + 10
        user = EvaluationContext("u")
        while api.get_client().get_boolean_value("a", False, user):
            assert time.monotonic() < deadline, who
            time.sleep(0.005)

    child = os.fork()
    if child == 0:
        assert provider.freshness().epoch != epoch
        provider.reload()
        wait("child")
        assert provider.latched == latched
        provider.shutdown()
        os._exit(0)
    wait("parent")
    status = os.waitpid(child, 0)[1]
    assert provider.freshness().epoch == epoch
    provider.reload()
    provider.shutdown()
    sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_follows_by_itself(server: SimulatedFeatBit) -> None:
    """Both see a later change; the parent's connection outlives the child's end."""
    urls = (server.streaming_url, server.event_url, server.server_secret)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKING), *urls],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert {said.readline().strip() for _ in "12"} == {"child", "parent"}
        until(lambda: server.connections == 2)
        server.toggle("a", False)
        assert process.wait(20) == 0


def test_a_forked_child_knows_what_its_parent_saw_killed(
    server: SimulatedFeatBit,
) -> None:
    """Also if the server that it connects to lags behind."""
    server.faults.stale_snapshot = True
    urls = (server.streaming_url, server.event_url, server.server_secret)
    script = FORKING.replace("child = os.fork()", KILLED_BEFORE)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *urls],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == "on\n"
        server.toggle("a", False)
        assert {said.readline().strip() for _ in "123"} == {"off", "child", "parent"}
        assert process.wait(20) == 0


KILLED_BEFORE = """print("on", flush=True)
    wait("off")
    provider.reload()  # from a server that lags
    latched = provider.latched
    assert latched == ("a",)
    child = os.fork()"""
ATTRIBUTES = ["tier", "region", "amount"]


def rich_document() -> Json:
    """Return flags of all types with targets, rules, splits and segments."""
    tiers = ["gold", "silver"]
    in_tier = rule("tier", [condition("tier", "IsOneOf", tiers)], serve="b")
    some = {"a": 0.3, "b": 0.7}
    big = rule("big", [condition("amount", "BiggerThan", "50")], serve=some)
    member = rule("seg", [segment_condition(["s"])], serve="c")
    texts = ["a", "b", "c"]
    flags = [
        string_flag(f"text-{n}", texts, serve=texts[n], off="a", rules=rules)
        for n, rules in enumerate([[in_tier, big], [member, in_tier], []])
    ]
    flags[0]["fallthrough"]["variations"] = [
        {"id": "a", "rollout": [0, 0.5], "exptRollout": 1},
        {"id": "c", "rollout": [0.5, 1], "exptRollout": 1},
    ]
    targets = {"true": ["user-1", "user-2"]}
    return document(
        [
            *flags,
            boolean_flag("switch", serve=False, targets=targets),
            boolean_flag("killed", serve=True, enabled=False),
            number_flag("count", {"n": 3, "m": 2.5}, serve="n", off="m"),
            json_flag("table", {"t": {"x": [1, 2]}, "e": {}}, serve="t", off="e"),
        ],
        [
            segment(
                "s",
                included=[f"user-{n}" for n in range(0, 400, 7)],
                excluded=["user-14"],
                rules=[[condition("region", "Equal", "eu")]],
            )
        ],
    )


KINDS: dict[str, tuple[str, Any]] = {
    **{f"text-{n}": ("string", "-") for n in range(3)},
    "switch": ("boolean", False),
    "killed": ("boolean", True),
    "count": ("integer", -1),
    "table": ("object", {}),
    "missing": ("boolean", False),
}


def test_file_and_live_give_identical_answers(tmp_path: Path) -> None:
    """The same document, 10,000 contexts, every detail of every resolution."""
    with SimulatedFeatBit(rich_document()) as server:
        live = Live(server).start()
        url = f"{server.event_url}/api/public/sdk/server/latest-all?timestamp=0"
        headers = {"Authorization": server.server_secret}
        answer = urllib3.request("GET", url, headers=headers)
        (tmp_path / "flags.json").write_bytes(answer.data)
        file = FeatBitProvider.from_file(tmp_path / "flags.json")
        api.set_provider_and_wait(file, "file")
        random.seed(11)
        different = set()
        for number in range(10_000):
            attributes: dict[str, Any] = {
                "tier": random.choice(["gold", "silver", "none"]),
                "region": random.choice(["eu", "us"]),
                "amount": str(random.randrange(100)),
            }
            for name in random.sample(ATTRIBUTES, random.randrange(3)):
                del attributes[name]
            context = EvaluationContext(f"user-{number % 400}", attributes)
            for key, (kind, default) in KINDS.items():
                ask = f"resolve_{kind}_details"
                ours = getattr(live.provider, ask)(key, default, context)
                assert ours == getattr(file, ask)(key, default, context)
                different.add((key, str(ours.value), ours.reason))
        assert len(different) > 12
