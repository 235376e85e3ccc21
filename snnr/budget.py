"""How much memory reading one file may ask for: in proportion to what the file itself weighs.

A few bytes can declare an array of terabytes. Whoever reads a file that may come from a stranger
counts here what it is about to allocate, before it does.
"""

import os
import re

from snnr.errors import ConfigError, SnnrError

#: any file may ask for this much (512 MiB) ...
BASE = 512 << 20
#: ... and for this many times its own size; gzip reaches 1000, weights and images rarely 20
FACTOR = 200
ENVIRONMENT = "SNNR_READ_LIMIT"
UNLIMITED = 1 << 62

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Budget:
    """Bytes that reading one file may still ask for.

    Parameters
    ----------
    source : the file, for messages.
    size : its size in bytes.
    error : what is raised when it asks for more.
    limit : bytes instead of ``BASE + FACTOR * size``; by default `$SNNR_READ_LIMIT` (bytes, or
        as "8G"), where that is set.
    """

    def __init__(
        self, source: str, size: int, error: type[SnnrError], limit: int | None = None
    ) -> None:
        self.source = source
        self.size = size
        self.error = error
        chosen = _from_environment() if limit is None else limit
        self.limit = BASE + FACTOR * size if chosen is None else chosen
        self.used = 0

    def take(self, count: int, where: str) -> None:
        """Count `count` bytes that are about to be allocated for `where`.

        Raises
        ------
        the budget's `error` : they do not fit; nothing should be allocated.
        """
        self.used += count
        if self.used > self.limit:
            raise self.error(
                f"{self.source}: {where} brings what it asks for to {_bytes(self.used)} of memory, "
                f"a file of {_bytes(self.size)} may have {_bytes(self.limit)}; when you trust it, "
                f"set {ENVIRONMENT} to more, for example {ENVIRONMENT}=16G"
            )


def _from_environment() -> int | None:
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,18})\s*([KMGT]?)(i?B)?", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise ConfigError(
            f"{ENVIRONMENT} (={text!r}) must be a number of bytes, with K, M, G or T after it"
        )
    return int(match[1]) * _UNITS[match[2].upper()]


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
