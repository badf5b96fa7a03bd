"""The embedded default: flags from one file, records in one SQLite file, no server.

Another source of flags is another provider, for example ``FeatBitProvider.live``;
another home of records is a PostgreSQL URL.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from openfeature.provider import FeatureProvider

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature.contrib.provider.featbit.reading import regular
from openfeature_gov import governance, strict_yaml
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.flags.reader import DOMAIN, FlagReader
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.writing import QueuedStore

logger = logging.getLogger(__name__)
_left: list[str] = []
"""Domains that nobody uses any more: the registry of OpenFeature forgets none, nor what
was bound to it last."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Hold what a Governor is made of, and how to let go of the flags."""

    governance: governance.Governance
    reader: FlagReader
    records: QueuedStore
    release: Callable[[], None]


def load_governance(path: Path) -> governance.Governance:
    """Return the governance contracts of the file *path*.

    Raises:
        InvalidContractError: when the file was refused; nothing was loaded.
        OSError: when it cannot be read.

    """
    return governance.parse(yaml_text(path), str(path))


def yaml_text(path: Path) -> str:
    """Return the text of the YAML file *path*, of contracts or of plans.

    Raises:
        InvalidContractError: when it is too large or not UTF-8.
        OSError: when it cannot be read or is no regular file.

    """
    with regular(path) as file:
        return strict_yaml.decoded(file.read(strict_yaml.MAX_BYTES + 1), str(path))


def open_to_all(path: Path) -> str:
    """Return the remark that everybody may write the file *path*; empty if not so.

    Raises:
        OSError: when it cannot be looked at.

    """
    if not path.stat().st_mode & stat.S_IWOTH:
        return ""
    return f"everybody may write it and so widen what agents may do; chmod o-w {path}"


def assemble(
    contracts: Path,
    flags: Path | FeatureProvider,
    records: Path | str,
    sealing: Sealing | None = None,
) -> Parts:
    """Load *contracts*, bind the provider *flags* or one on that file, open *records*.

    The provider is shut down by the release. It gets an OpenFeature domain that no
    other Governor uses, so that nobody else's ``set_provider`` can swap it unseen.

    Raises:
        InvalidContractError: for a refused governance file.
        RecordStoreError: when *records* cannot be opened as a durable log.
        OSError: when a file cannot be read.
        openfeature.exception.OpenFeatureError: when *flags* cannot be loaded.

    """
    loaded = load_governance(contracts)
    for path in (contracts, flags):
        if isinstance(path, Path) and path.exists() and (remark := open_to_all(path)):
            logger.warning("%s: %s", path, remark)
    provider = FeatBitProvider.from_file(flags) if isinstance(flags, Path) else flags
    domain = _domain()
    held = [domain]

    def release() -> None:
        provider.shutdown()
        _left.extend(held)
        held.clear()

    try:
        api.set_provider_and_wait(provider, domain)
        reader = FlagReader(api.get_client(domain), bound=provider)
        return Parts(loaded, reader, open_store(records, sealing=sealing), release)
    except BaseException:
        release()
        raise


def _domain() -> str:
    """Return a domain that nobody uses, a new one only where all are in use."""
    try:
        return _left.pop()
    except IndexError:
        return f"{DOMAIN}-{token_hex(4)}"
