"""How fast content goes to farmers on this line: measured while it goes, and remembered for the next time.

    line = UploadRate(display, folder=home)          a listener that hands on all that it hears
    line.seconds_for(size_bytes)                    None if nothing was ever sent from this home
    line.remember()

What is counted is a person's content, not what goes over the wire: of 10 of 30 that is three times as much.
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from grange.json_text import parse_json
from grange.storage.atomic_file import replace_file
from grange.transfer.events import Listener, Progress, ProgressEvent, Step
from grange.units import MIB

LINE_NAME: Final = "line.json"
LEAST_BYTES: Final = MIB
"""Of less the time is that of questions and answers, and says nothing of the line."""
MAX_RATE: Final = 1 << 50


class UploadRate:
    """Hears what happens, and how long sending takes. In the event loop."""

    def __init__(
        self, listener: Listener, *, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._listener = listener
        self._path = folder / LINE_NAME
        self._clock = clock
        self._begun: float | None = None
        self._last = 0.0
        self._in_step = 0
        self.sent_bytes = 0
        """Content that was sent, as long as this listens."""
        self.sending_seconds = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        """Hear one thing, and hand it on."""
        now = self._clock()
        if isinstance(event, Step):
            self._end_step()
            self._begun = now if event.total_bytes else None
        elif isinstance(event, Progress) and self._begun is not None:
            self._last = now
            self._in_step += event.size_bytes
        self._listener(event)

    def seconds_for(self, size_bytes: int, *, limit: int | None = None) -> float | None:
        """How long so much content takes, at no more than `limit` bytes of content a second. None if it is
        not known."""
        rates = [rate for rate in (self._rate(), limit) if rate]
        return size_bytes / min(rates) if rates else None

    def remember(self) -> None:
        """Note how fast it was, if enough was sent to tell. Blocks; raises nothing: it is a help, no more."""
        self._end_step()
        if self.sent_bytes >= LEAST_BYTES and self.sending_seconds > 0:
            rate = self.sent_bytes / self.sending_seconds
            with suppress(OSError):
                replace_file(self._path, json.dumps({"content_bytes_per_second": round(rate)}))

    def _rate(self) -> float | None:
        if self.sent_bytes >= LEAST_BYTES and self.sending_seconds > 0:
            return self.sent_bytes / self.sending_seconds
        with suppress(OSError, ValueError, KeyError, TypeError):
            rate = parse_json(self._path.read_text(encoding="utf-8"))["content_bytes_per_second"]
            if isinstance(rate, int) and 0 < rate < MAX_RATE:
                return float(rate)
        return None

    def _end_step(self) -> None:
        if self._begun is not None and self._in_step:
            self.sent_bytes += self._in_step
            self.sending_seconds += self._last - self._begun
        self._begun, self._in_step = None, 0
