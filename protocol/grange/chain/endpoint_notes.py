"""What is remembered of endpoints between two runs, in a small file: `endpoints.json`.

    notes = EndpointNotes(home / ENDPOINTS_NAME)
    notes.note_trouble(url, "HTTP status 503 to eth_call")     the next command asks another one first
    notes.note_report("The endpoint https://one.example ...")  and `farm status` shows what was said

A URL may hold a key, so that the file knows endpoints by a hash and by what may be shown of them. It is a
cache: what cannot be read is empty, and what cannot be written is not. One without a path keeps nothing.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from grange.chain.endpoint import public_part
from grange.json_text import parse_json
from grange.storage.atomic_file import replace_file

ENDPOINTS_NAME: Final = "endpoints.json"
MAX_FILE_BYTES: Final = 1 << 16
MAX_REPORTS: Final = 8
REPORT_SECONDS: Final = 7 * 86_400.0
"""For so long what was said of an endpoint is shown."""


@dataclass(slots=True, kw_only=True)
class EndpointMemory:
    """One endpoint. Times are Unix seconds."""

    name: str
    trouble: str | None = None
    """Why it gave no answer the last time; None if it did."""
    trouble_at: float = 0.0
    wrong_at: float | None = None
    """When it last said what is wrong."""


@dataclass(slots=True, kw_only=True)
class _Content:
    endpoints: dict[str, EndpointMemory] = field(default_factory=dict)
    reports: dict[str, float] = field(default_factory=dict)


class EndpointNotes:
    """The file of one home or farm."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._content = _read(path)

    def of(self, url: str) -> EndpointMemory:
        """What is known of an endpoint."""
        return self._content.endpoints.get(_key(url), EndpointMemory(name=public_part(url)))

    def seconds_since(self, when: float | None) -> float | None:
        """How long ago something was, None if never or later than now."""
        age = None if when is None else self._clock() - when
        return age if age is None or age >= 0 else None

    def reports(self) -> dict[str, float]:
        """What was said of the endpoints lately, and when."""
        now = self._clock()
        return {told: at for told, at in self._content.reports.items() if now - at < REPORT_SECONDS}

    def note_trouble(self, url: str, trouble: str | None) -> None:
        """It gave no answer, or does so again."""
        note = self.of(url)
        if trouble is None and note.trouble is None:
            return
        note.trouble, note.trouble_at = trouble, self._clock()
        self._keep(url, note)

    def note_wrong(self, url: str) -> None:
        """It said what is wrong."""
        note = self.of(url)
        note.wrong_at = self._clock()
        self._keep(url, note)

    def note_report(self, sentences: str) -> None:
        """What a person should know."""
        reports = {**self.reports(), sentences: self._clock()}
        newest = sorted(reports, key=lambda told: reports[told])[-MAX_REPORTS:]
        self._content.reports = {told: reports[told] for told in newest}
        self._write()

    def _keep(self, url: str, note: EndpointMemory) -> None:
        self._content.endpoints[_key(url)] = note
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                replace_file(self._path, json.dumps(asdict(self._content), indent=2) + "\n")


def _key(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def _read(path: Path | None) -> _Content:
    if path is None:
        return _Content()
    try:
        with path.open("rb") as file:
            content = parse_json(file.read(MAX_FILE_BYTES))
        return _Content(
            endpoints={str(key): _note(one) for key, one in content["endpoints"].items()},
            reports={str(told): float(at) for told, at in content["reports"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _Content()


def _note(fields: dict[str, Any]) -> EndpointMemory:
    trouble, wrong_at = fields["trouble"], fields["wrong_at"]
    return EndpointMemory(
        name=str(fields["name"]),
        trouble=None if trouble is None else str(trouble),
        trouble_at=float(fields["trouble_at"]),
        wrong_at=None if wrong_at is None else float(wrong_at),
    )
