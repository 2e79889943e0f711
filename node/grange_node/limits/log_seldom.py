"""Rate-limits repeated log lines, so that nobody who can trigger one can fill the operator's disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

PAUSE_SECONDS: Final = 10.0


class LogSeldom:
    """Writes one line of a kind, and how many like it were left out before it."""

    def __init__(self, log: logging.Logger, steady: Callable[[], float]) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        self._log = log
        self._steady = steady
        self._written_at: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warn(self, kind: str, line: str) -> None:
        """Write a warning, unless one of its kind was written a moment ago. There must be few kinds."""
        now = self._steady()
        written_at = self._written_at.get(kind)
        if written_at is not None and now - written_at < PAUSE_SECONDS:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        left_out = self._left_out.pop(kind, 0)
        self._log.warning("%s%s", line, f" ({left_out} more like it before)" if left_out else "")
        self._written_at[kind] = now
