"""The last good data on disk: whose it is, how old, and which of two counts."""

import time
from pathlib import Path

import pytest

from openfeature.contrib.provider.featbit.authoring import boolean_flag
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.live.frames import DataSync
from openfeature.contrib.provider.featbit.live.last_good import LastGood
from openfeature.contrib.provider.featbit.live.mirror import Mirror


@pytest.fixture
def kept(tmp_path: Path) -> LastGood:
    """Provide a file that does not exist yet."""
    return LastGood(tmp_path / "kept", b"secret")


def mirror(*, on: bool) -> Mirror:
    flag = boolean_flag("a", serve=True, enabled=on)
    return Mirror().replaced(DataSync(full=True, flags=(flag,), segments=()))[0]


def switched_on(kept: LastGood) -> bool:
    found = kept.load()
    assert found is not None
    (flag,) = found.data.flags
    assert isinstance(flag, dict)
    return flag["isEnabled"] is True


def ago(seconds: int) -> int:
    return time.time_ns() // 1_000_000 - seconds * 1000


def test_what_was_kept_comes_back_with_its_time(kept: LastGood) -> None:
    """And is nobody else's to read."""
    assert kept.load() is None
    at = ago(5)
    kept.save(mirror(on=True), at)
    found = kept.load()
    assert found is not None
    assert found.verified_ms == at
    assert kept.path.stat().st_mode & 0o777 == 0o600


def test_older_data_of_another_process_does_not_replace_newer(kept: LastGood) -> None:
    """A process that was cut off before a kill cannot bring its flag back."""
    kept.save(mirror(on=False), ago(5))
    kept.save(mirror(on=True), ago(6))
    assert not switched_on(kept)
    kept.save(mirror(on=True), ago(5))
    assert switched_on(kept)
    kept.save(mirror(on=False), ago(0))
    assert not switched_on(kept)


def test_what_cannot_be_trusted_is_replaced(kept: LastGood) -> None:
    """Damaged, of another secret, or from a clock that was ahead."""
    kept.save(mirror(on=False), ago(-3600))
    kept.save(mirror(on=True), ago(5))
    assert switched_on(kept)
    other = LastGood(kept.path, b"another")
    other.save(mirror(on=False), ago(60))
    assert not switched_on(other)
    kept.path.write_bytes(kept.path.read_bytes()[:-1])
    other.save(mirror(on=True), ago(120))
    assert switched_on(other)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_touch_is_refused(kept: LastGood, mode: int) -> None:
    """With what to do about it."""
    kept.save(mirror(on=True), ago(1))
    kept.path.chmod(mode)
    with pytest.raises(FeatBitDataError, match="0600"):
        kept.load()


def test_a_link_a_folder_and_a_pipe_are_refused(kept: LastGood, tmp_path: Path) -> None:
    """Only a regular file at this very place counts."""
    real = LastGood(tmp_path / "real", b"secret")
    real.save(mirror(on=True), ago(1))
    kept.path.symlink_to(real.path)
    with pytest.raises(FeatBitDataError):
        kept.load()
    kept.path.unlink()
    kept.path.mkdir()
    with pytest.raises(FeatBitDataError):
        kept.load()
