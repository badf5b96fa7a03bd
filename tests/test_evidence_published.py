"""Published checkpoints: appended whole, once each, by whoever comes first."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openfeature_gov.evidence import published
from openfeature_gov.evidence.published import Published, notes


@pytest.fixture
def file(tmp_path: Path) -> Published:
    return Published(tmp_path / "log.checkpoints")


def add(file: Published, *wanted: str) -> list[str | None]:
    """Append *wanted*; return the last note that was there before."""
    seen: list[str | None] = []

    def missing(last: str | None) -> list[str]:
        seen.append(last)
        return list(wanted)

    assert file.extend(missing, 5) == len(wanted)
    return seen


def test_notes_are_lines_in_order(file: Published) -> None:
    """Each note is one line of JSON with its time, and the last one is known."""
    assert add(file, "one\n", "two\n") == [None]
    assert add(file, "three\n") == ["two\n"]
    assert add(file) == ["three\n"]
    lines = file.path.read_text().splitlines()
    assert json.loads(lines[0]) == {"atUs": 5, "note": "one\n"}
    assert list(notes(file.path)) == ["one\n", "two\n", "three\n"]
    assert file.last() == "three\n"


def test_missing_file_is_not_an_empty_one(file: Published) -> None:
    """The absence of the file says something, once it was begun."""
    with pytest.raises(FileNotFoundError):
        file.last()
    file.begin()
    assert file.last() is None
    add(file, "one\n")
    file.begin()
    assert file.last() == "one\n"


def test_line_cut_short_at_every_byte_is_taken_away(file: Published) -> None:
    """A crash within a line costs that line, and no other."""
    add(file, "one\n", "two\n")
    whole = file.path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        file.path.write_bytes(whole[:end])
        assert file.last() == "one\n"
        assert add(file, "again\n") == ["one\n"]
        assert list(notes(file.path)) == ["one\n", "again\n"]


def test_line_without_a_note_is_refused_but_written_after(file: Published) -> None:
    """What is no note raises for a reader, and does not stop the next one."""
    for junk in (b"junk\n", b"[]\n", b'{"note": 5}\n', b"\n", b"\xff\xff\n"):
        file.path.write_bytes(junk)
        with pytest.raises(ValueError):
            file.last()
        with pytest.raises(ValueError):
            list(notes(file.path))
        assert add(file, "one\n") == [None]
        assert file.last() == "one\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_hostile_bytes_never_lose_a_later_note(file: Published, junk: bytes) -> None:
    """Whatever stands in the file, the next note is its last line."""
    file.path.write_bytes(junk)
    add(file, "one\n")
    assert file.last() == "one\n"


def test_many_writers_append_each_line_whole(file: Published) -> None:
    """Eight threads with files of their own lose nothing and mix nothing."""

    def work(name: int) -> None:
        mine = Published(file.path)
        for count in range(25):
            add(mine, f"{name} {count}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(notes(file.path))
    assert len(found) == 200
    for name in range(8):
        mine = [note for note in found if note.startswith(f"{name} ")]
        assert mine == [f"{name} {count}\n" for count in range(25)]


def test_lock_of_another_process_is_waited_for_in_bounds(
    file: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever never lets go makes publishing fail, not hang."""
    monkeypatch.setattr(published, "WAIT_S", 0.05)
    file.begin()
    with file.path.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="another process"):
            add(file, "one\n")
    add(file, "one\n")


def fork_within(file: Published, child: Callable[[], bytes]) -> bytes:
    """Fork a child while *file* is locked, publish on, and return what it says."""
    told, tell = os.pipe()
    go_on, release = os.pipe()

    def fork(_: str | None) -> list[str]:
        if os.fork() == 0:
            os.close(release)  # so that the child ends with its parent
            os.write(tell, child())
            os.read(go_on, 1)
            os._exit(0)
        return ["parent\n"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads
        file.extend(fork, 5)
    said = os.read(told, 100)
    add(file, "later\n")  # while the child still lives
    os.write(release, b"x")
    os.wait()
    for one in (told, tell, go_on, release):
        os.close(one)
    return said


def test_lock_does_not_live_on_in_a_forked_child(file: Published) -> None:
    """A child that does nothing about it does not keep the parent from publishing."""
    assert fork_within(file, lambda: b"alive") == b"alive"
    assert list(notes(file.path)) == ["parent\n", "later\n"]


def test_forked_child_lets_go_of_a_lock_that_is_not_its_own(file: Published) -> None:
    """Should the parent die in the middle, the lock dies with it."""

    def child() -> bytes:
        held = file._held
        file.abandon()
        try:
            os.fstat(held)
        except OSError:
            return b"closed" if file._held == -1 else b"remembered"
        return b"open"

    assert fork_within(file, child) == b"closed"


def test_full_disk_is_an_error_and_leaves_no_half_note(
    file: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that takes less than it was given is gone on with, or raised."""
    add(file, "one\n")

    class Slow:
        """Takes three bytes at a time, as a nearly full disk may."""

        def __init__(self, real: object) -> None:
            self.real = real

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def write(self, data: bytes) -> int:
            return int(self.real.write(data[:3]))  # type: ignore[attr-defined] # a file

    append = published._append
    monkeypatch.setattr(published, "_append", lambda f, data: append(Slow(f), data))
    add(file, "two\n")
    assert list(notes(file.path)) == ["one\n", "two\n"]
    full = Published(Path("/dev/full"))
    with pytest.raises(OSError):
        add(full, "one\n")
