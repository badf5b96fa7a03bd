"""`BrokenFile`: a flag file that cannot be read any more, to be killed all the same."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from openfeature.contrib.provider.featbit.authoring import document
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.flagset import FlagSet
from openfeature.contrib.provider.featbit.reading import read_regular
from openfeature.contrib.provider.featbit.snapshot import compile_snapshot
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.targets import Held, Keys, Planned, RefusedError, Signed, Written
from openfeature_gov.targets.file import FileTarget, read_flags


class BrokenFile(FileTarget):
    """Hold no flags, and be replaced whole; what is there is kept as *aside*.

    *problem* says why a provider refuses the file.
    """

    must_exist = False

    def __init__(self, path: Path, problem: str, aside: Path | None) -> None:
        super().__init__(path)
        self.problem, self.aside = problem, aside

    def read(self, _: Keys = None) -> Held:
        """Return no flags, under the revision of the bytes that are there.

        Raises:
            OSError: when they cannot be read.
            RefusedError: when a provider takes the file again.

        """
        try:
            read_flags(self.path)
        except (FeatBitDataError, FileNotFoundError):
            revision = self._revision()
        else:
            raise RefusedError(
                f"{self.path} can be read again; nothing was changed; run it again"
            )
        snapshot = compile_snapshot(FlagSet({}, {}), revision=revision)
        return Held(str(self.path), document([]), snapshot)

    def write(self, planned: Planned, _: Signed) -> Written:
        """Keep the bytes that are there as *aside*, and put *planned* in their place.

        Raises:
            OSError: when that cannot be written; the file is as it was.
            RefusedError: when it is not the file that was planned on.

        """
        if self._revision() != planned.before.snapshot.revision:
            raise RefusedError(
                f"{self.path} changed meanwhile; nothing was changed", why="stale"
            )
        target = self.path.resolve()
        aside = None if self.aside is None else target.with_name(self.aside.name)
        if aside is not None:
            os.link(target, aside)
        try:
            write_document(target, planned.after.document)
        except OSError:
            if aside is not None:
                aside.unlink()
            raise
        return Written(read_flags(self.path))

    def _revision(self) -> str:
        try:
            return sha256(read_regular(self.path)).hexdigest()
        except FileNotFoundError:
            return ""


def broken(path: Path, at: str) -> BrokenFile | None:
    """Return the flag file *path* if it is broken, to be set aside under the time *at*.

    A missing one counts where its lock shows that `gov` changed it before: otherwise
    the name may be a mistake, and a kill of nothing would look like one.

    Raises:
        OSError: when it is missing and was never there, or cannot be opened.

    """
    try:
        read_flags(path)
    except FeatBitDataError as error:
        aside = path.with_name(f"{path.name}.broken-{at}")
        return BrokenFile(path, str(error), aside)
    except FileNotFoundError:
        if not path.with_name(f".{path.name}.lock").exists():
            raise
        return BrokenFile(path, f"{path}: there is no such file any more", None)
    return None
