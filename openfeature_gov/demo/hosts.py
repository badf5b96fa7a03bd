"""Where the demo's flags live: in a file, or in a FeatBit server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov.demo import flags
from openfeature_gov.targets import FlagTarget
from openfeature_gov.targets.file import FileTarget


@dataclass(frozen=True, slots=True)
class Host:
    """Hold what serves the flags, and where they are changed."""

    provider: FeatBitProvider
    target: FlagTarget


@contextmanager
def file_host(path: Path, mode: str, poll_seconds: float) -> Iterator[Host]:
    """Keep the flags in the new file *path*, looked at every *poll_seconds*.

    Raises:
        OSError: it cannot be written.

    """
    write_document(path, flags.document(mode))
    provider = FeatBitProvider.from_file(path, poll_seconds=poll_seconds)
    yield Host(provider, FileTarget(path))


@contextmanager
def featbit_host(mode: str) -> Iterator[Host]:
    """Keep the flags in a simulated FeatBit server, for as long as the block runs.

    The provider follows its stream, and changes go through its management API.
    """
    from openfeature.contrib.provider.featbit.management import (  # noqa: PLC0415 - only here
        ManagementClient,
    )
    from openfeature_gov.targets.featbit import FeatBitTarget  # noqa: PLC0415
    from openfeature_gov.testing.featbit import SimulatedFeatBit  # noqa: PLC0415

    with SimulatedFeatBit(flags.document(mode)) as server:
        provider = FeatBitProvider.live(
            streaming_url=server.streaming_url,
            event_url=server.event_url,
            secret=server.server_secret,
        )
        client = ManagementClient(server.api_url, server.access_token)
        place = FeatBitTarget(client, server.project_key, server.env_key)
        yield Host(provider, place)
