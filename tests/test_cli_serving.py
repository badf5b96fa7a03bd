"""`gov serve`: a process of its own, on this machine alone, that keeps the time."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from openfeature_gov.approvals.states import State
from openfeature_gov.cli.serving import PORT
from tests.serving import Office, token


def gov(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "openfeature_gov.cli", "serve", *map(str, arguments)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Provide records and reviewers."""
    one = Office(tmp_path)
    with closing(one.store):
        yield one


@contextmanager
def serving(office: Office, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    options = ("--records", office.records, "--reviewers", office.file, "--port", "0")
    command = gov(*options, *more)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+/", process.stderr.readline())
            assert found is not None
            yield process, found[0]
        finally:
            process.kill()


def test_it_serves_what_other_processes_ask(office: Office) -> None:
    """An answer is at once in the records; what is due ends; it ends when asked to."""
    one = office.put()
    late = office.put(deadline_us=1, escalation=())
    with serving(office) as (process, url):
        with httpx.Client(base_url=url, timeout=30) as client:
            answer = client.post(
                f"/approvals/{one.id}/deny",
                json={"reason": "no"},
                headers={"Authorization": f"Bearer {token('bob')}"},
            )
            assert answer.json()["state"] == "refused"
            assert client.get("/inbox").status_code == 401
        assert office.request(one).state is State.REFUSED
        end = time.monotonic() + 60
        while office.request(late).state is State.PENDING and time.monotonic() < end:
            time.sleep(0.05)
        assert office.request(late).state is State.EXPIRED
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - refused
def test_it_does_not_listen_for_others_without_tls(office: Office, host: str) -> None:
    """Tokens would cross the network."""
    options = ("--records", office.records, "--reviewers", office.file)
    done = subprocess.run(
        gov(*options, "--host", host), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--behind-tls" in done.stderr


def test_behind_tls_the_cookie_is_for_https(office: Office) -> None:
    """Also on this machine."""
    with serving(office, "--behind-tls", "--host", "localhost") as (_, url):
        answer = httpx.post(f"{url}login", data={"token": token("bob")}, timeout=30)
        assert answer.headers["set-cookie"].startswith("__Host-gov=")


def test_what_is_missing_is_said(office: Office, tmp_path: Path) -> None:
    """With exit 3, and nothing is made."""
    missing = tmp_path / "missing"
    for options in (
        ("--records", missing, "--reviewers", office.file),
        ("--records", office.records, "--reviewers", missing),
    ):
        done = subprocess.run(
            gov(*options, "--port", "0"), capture_output=True, text=True, check=False
        )
        assert done.returncode == 3
        assert "missing" in done.stderr
        assert not missing.exists()


def test_a_port_that_is_taken_is_said(office: Office) -> None:
    """With exit 3."""
    with serving(office) as (_, url):
        port = url.rstrip("/").rpartition(":")[2]
        options = ("--records", office.records, "--reviewers", office.file)
        done = subprocess.run(
            gov(*options, "--port", port), capture_output=True, text=True, check=False
        )
    assert done.returncode == 3
    assert port in done.stderr
    assert int(port) != PORT
