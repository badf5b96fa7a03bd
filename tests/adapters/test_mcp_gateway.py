"""`gov mcp-gateway` in front of servers that know nothing of it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastmcp", reason="run python -m tests.adapters fastmcp")

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp import MCPError

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.adapters.mcp_gateway import Offered, counted
from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.ladder import SEVERITY, RiskClass
from openfeature_gov.stores import history
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.conftest import contract_yaml, flag_document

BOB = Reviewer("bob", way="cli")
TIME = [str(Path(sys.executable).with_name("mcp-server-time"))]
GATEWAY = [sys.executable, "-m", "openfeature_gov.cli", "mcp-gateway"]


class Place:
    """A folder with contracts, flags and records, and a gateway over it."""

    def __init__(self, folder: Path, *contracts: str) -> None:
        self.folder = folder
        (folder / "governance.yaml").write_text("---\n".join(contracts))
        (folder / "reviewers.yaml").write_text(
            "reviewers:\n- {subject: bob, groups: [support]}\n"
        )
        (folder / "reviewers.yaml").chmod(0o600)
        self.serve()

    def serve(self, **values: Any) -> None:
        write_document(self.folder / "flags.json", flag_document(**values))

    def options(self, *more: str) -> list[str]:
        names = ("governance.yaml", "flags.json", "records.db", "reviewers.yaml")
        files = [str(self.folder / name) for name in names]
        keys = ("--governance", "--flags", "--records", "--reviewers")
        pairs = [word for pair in zip(keys, files, strict=True) for word in pair]
        return [*pairs, "--agent", "desk-agent", *more]

    def through(self, server: list[str], work: Callable[[Any], Any]) -> Any:
        """Do *work* with a client of the gateway before *server*."""
        arguments = [*GATEWAY[1:], *self.options(), "--", *server]

        async def run() -> Any:
            transport = StdioTransport(GATEWAY[0], arguments, keep_alive=False)
            async with Client(transport) as client:
                return await work(client)

        return asyncio.run(run())

    def log(self, kind: str) -> list[dict[str, Any]]:
        return history.records(self.folder / "records.db", kind=kind)


def reading(tool: str) -> str:
    approval = "{reviewerGroup: support}"
    return contract_yaml(
        tool, riskClass="search", reversibility="automatic", approval=approval
    )


@pytest.fixture
def clock(tmp_path: Path) -> Place:
    """Govern one of the two tools of a server from PyPI, which only reads."""
    return Place(tmp_path, reading("get_current_time"))


async def _call(client: Any, tool: str, **arguments: Any) -> Any:
    return await client.call_tool(tool, arguments, raise_on_error=False)


def test_a_real_server_is_governed_and_recorded(clock: Place) -> None:
    """What has a contract is listed and runs; what has none is neither."""

    async def work(client: Any) -> Any:
        listed = [one.name for one in await client.list_tools()]
        now = await _call(client, "get_current_time", timezone="Europe/Zurich")
        other = await _call(
            client,
            "convert_time",
            source_timezone="UTC",
            time="12:00",
            target_timezone="Asia/Tokyo",
        )
        return listed, now, other

    listed, now, other = clock.through(TIME, work)
    assert listed == ["get_current_time"]
    assert "Europe/Zurich" in now.content[0].text
    assert other.is_error
    decisions = {one["tool"]: one for one in clock.log("decision")}
    assert decisions["get_current_time"]["effect"] == "allow"
    assert decisions["get_current_time"]["context"]["agent"] == "desk-agent"
    assert decisions["convert_time"]["reason"] == "tool_unknown"
    (outcome,) = clock.log("outcome")
    assert outcome["status"] == "executed"


def test_a_kill_reaches_a_running_gateway(clock: Place) -> None:
    """The flag file changes, and the next call is denied."""

    async def work(client: Any) -> Any:
        first = await _call(client, "get_current_time", timezone="UTC")
        clock.serve(on=False)
        for _ in range(600):
            last = await _call(client, "get_current_time", timezone="UTC")
            if last.is_error:
                break
            await asyncio.sleep(0.05)
        return first, last

    first, last = clock.through(TIME, work)
    assert not first.is_error
    assert "denied by policy" in last.content[0].text
    assert clock.log("decision")[-1]["effect"] == "deny"


@pytest.fixture
def strange(tmp_path: Path) -> tuple[Place, list[str], Path]:
    """Govern a server that says of its tools what it likes."""
    trace = tmp_path / "trace"
    trace.touch()
    contracts = map(reading, ("honest", "wipe", "failing"))
    server = [sys.executable, str(Path(__file__).with_name("annotating_server.py"))]
    return Place(tmp_path, *contracts), [*server, str(trace)], trace


def test_hints_only_raise(strange: tuple[Place, list[str], Path]) -> None:
    """A contract says search, the server says destructive: a person is asked, once."""
    place, server, trace = strange
    place.serve(approval=True)

    async def work(client: Any) -> Any:
        every = [await _call(client, name) for name in ("honest", "wipe", "stranger")]
        return [one.is_error for one in every], every[1].meta

    errors, meta = place.through(server, work)
    assert errors == [False, True, True]
    assert trace.read_text() == "honest\n"
    decisions = {one["tool"]: one for one in place.log("decision")}
    assert decisions["wipe"]["riskClass"] == "irreversible"
    assert decisions["honest"]["riskClass"] == "search"
    _approve(place, meta["gov/approval_id"])

    async def again(client: Any) -> Any:
        return [(await _call(client, "wipe")).is_error for _ in range(2)]

    assert place.through(server, again) == [False, True]
    assert trace.read_text() == "honest\nwipe\n"


def _approve(place: Place, approval_id: str) -> None:
    records = place.folder / "records.db"
    people = ReviewerDirectory(place.folder / "reviewers.yaml")
    with closing(open_store(records)) as store:
        shelf = RecordShelf(store, records)
        queue = ApprovalQueue(shelf, people, lambda: time.time_ns() // 1000)
        request = queue.get(approval_id)
        assert request is not None
        step = queue.approve(request.id, BOB, seen=request.binding)
        assert isinstance(step, Request), step


def test_resources_and_prompts_stay_behind(
    strange: tuple[Place, list[str], Path],
) -> None:
    """No contract says who may have them, so nobody has."""
    place, server, trace = strange

    async def work(client: Any) -> list[str]:
        reads: list[Callable[[], Any]] = [
            lambda: client.read_resource("data://orders"),
            lambda: client.read_resource("data://orders/1"),
            lambda: client.get_prompt("greeting"),
        ]
        for read in reads:
            with pytest.raises(MCPError):
                await read()
        return [
            *await client.list_resources(),
            *await client.list_resource_templates(),
            *await client.list_prompts(),
        ]

    assert place.through(server, work) == []
    assert trace.read_text() == ""


def test_a_failure_behind_the_gateway_is_recorded(
    strange: tuple[Place, list[str], Path],
) -> None:
    """And the client gets the server's own error."""
    place, server, trace = strange
    answer = place.through(server, lambda client: _call(client, "failing"))
    assert answer.is_error
    assert trace.read_text() == "failing\n"
    assert [one["status"] for one in place.log("outcome")] == ["failed"]


def test_inspect_lists_what_the_server_says(clock: Place) -> None:
    """With what each tool counts as, and which have no contract."""
    command = [*GATEWAY, "--inspect", *clock.options(), "--", *TIME]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    tools = {one["tool"]: one for one in found["tools"]}
    assert tools["get_current_time"]["countsAs"] == "search"
    assert tools["convert_time"]["hints"]["readOnlyHint"] is True
    assert tools["convert_time"]["countsAs"] == "unknown"
    assert found["withoutContract"] == ["convert_time"]


@contextmanager
def over_http(place: Place, server: list[str], **more: str) -> Iterator[str]:
    """Run a gateway on a free port; yield its URL. *more* is its environment."""
    free = [] if "GOV_GATEWAY_TOKEN" in more else ["--without-token"]
    command = [*GATEWAY, *place.options("--port", "0", *free), "--", *server]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **more}
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+/mcp", line):
                yield found.group()
                break
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_streamable_http_on_both_sides(clock: Place, tmp_path: Path) -> None:
    """A gateway on loopback, and another before its URL."""
    outer = tmp_path / "outer"
    outer.mkdir()
    second = Place(outer, reading("get_current_time"))

    async def called(url: str) -> Any:
        async with Client(url) as client:
            return await _call(client, "get_current_time", timezone="UTC")

    with over_http(clock, TIME) as url:
        assert not asyncio.run(called(url)).is_error
        arguments = [*GATEWAY[1:], *second.options("--url", url)]

        async def through() -> Any:
            transport = StdioTransport(GATEWAY[0], arguments, keep_alive=False)
            async with Client(transport) as client:
                return await _call(client, "get_current_time", timezone="UTC")

        assert not asyncio.run(through()).is_error
    assert [one["status"] for one in second.log("outcome")] == ["executed"]
    assert [one["status"] for one in clock.log("outcome")] == ["executed"] * 2


def answered(url: str, **headers: str) -> int:
    """Return the status of the first message of a session with *headers*."""
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    first = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "a-client", "version": "1"},
        },
    }
    every = {
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        **{name: value.replace("PORT", str(port)) for name, value in headers.items()},
    }
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("POST", "/mcp", json.dumps(first), every)
        return connection.getresponse().status


HEADERS = {
    "a program": ({}, 200),
    "localhost": ({"Host": "localhost:PORT"}, 200),
    "the same origin": ({"Origin": "http://127.0.0.1:PORT"}, 200),
    "a name that points here": ({"Host": "evil.example:PORT"}, 421),
    "another port": ({"Host": "127.0.0.1:1"}, 421),
    "another origin": ({"Origin": "http://evil.example"}, 403),
    "no origin that has a name": ({"Origin": "null"}, 403),
    "rebound": (
        {"Host": "evil.example:PORT", "Origin": "http://evil.example:PORT"},
        421,
    ),
}


def test_no_page_in_a_browser_reaches_it(clock: Place) -> None:
    """Neither from another origin nor under another name for loopback."""
    with over_http(clock, TIME) as url:
        found = {name: answered(url, **given) for name, (given, _) in HEADERS.items()}
    assert found == {name: status for name, (_, status) in HEADERS.items()}


@pytest.mark.parametrize("token", [None, "", "  "])
def test_without_a_token_it_does_not_start(clock: Place, token: str | None) -> None:
    """On HTTP everybody on the machine would act as the agent."""
    given = {} if token is None else {"GOV_GATEWAY_TOKEN": token}
    command = [*GATEWAY, *clock.options("--port", "0"), "--", *TIME]
    environment = {k: v for k, v in os.environ.items() if k != "GOV_GATEWAY_TOKEN"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**environment, **given},
    )
    assert done.returncode == 2
    assert "GOV_GATEWAY_TOKEN" in done.stderr
    assert not (clock.folder / "records.db").exists()


def test_a_token_and_none_is_refused(clock: Place) -> None:
    """Nobody can tell which of the two was meant."""
    command = [*GATEWAY, *clock.options("--port", "0", "--without-token"), "--", *TIME]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "GOV_GATEWAY_TOKEN": "a-token-of-ours"},
    )
    assert done.returncode == 2
    assert "a-token-of-ours" not in done.stderr


def test_a_token_is_asked_for(clock: Place) -> None:
    """Each request shows it, or nothing is answered."""
    with over_http(clock, TIME, GOV_GATEWAY_TOKEN="a-token-of-ours") as url:
        shown = [
            answered(url),
            answered(url, Authorization="Bearer another"),
            answered(url, Authorization="Bearer a-token-of-ours"),
        ]
    assert shown == [401, 401, 200]


REFUSED = {
    "nobody to call": (["--agent", "a"], 2),
    "two servers": (["--agent", "a", "--url", "http://127.0.0.1:9/mcp", "--", "x"], 2),
    "no such command": (["--agent", "a", "--", "/no/such/command"], 3),
    "no server": (["--agent", "a", "--url", "http://127.0.0.1:9/mcp"], 3),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    """With one line and a code."""
    more, code = REFUSED[case]
    done = subprocess.run(
        [*GATEWAY, *more], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("stated", RiskClass)
@pytest.mark.parametrize(
    "hints",
    [
        {},
        {"readOnlyHint": True},
        {"readOnlyHint": False},
        {"destructiveHint": True, "readOnlyHint": True},
        {"openWorldHint": True},
    ],
)
def test_no_hint_lowers_a_class(stated: RiskClass, hints: dict[str, bool]) -> None:
    """Whatever a server says, its tool counts as no less than its contract says."""
    found = counted(stated, Offered("tool", hints))
    assert SEVERITY[found] >= SEVERITY[stated]
    if hints.get("destructiveHint"):
        assert SEVERITY[found] >= SEVERITY[RiskClass.IRREVERSIBLE]
