"""Whether the data folder is the one with the farm's data, and not the empty place of a disk that is not
mounted.

    <data folder>/grange-volume.json   the marker: an id, and whose data these are
    <home>/volume.json                 the id that the farm expects, apart from the disk

A mount point without its disk is an ordinary empty folder. A farm that began again on it would take all that
it keeps for lost, rebuild it from others for money, onto whatever disk lies below. So a farm starts only on
the folder with its id, or when told to begin again; and while it runs without it, nothing is written there.

Decides what a folder without the marker means (docs/adr/0081-an-empty-mount-point.md). Leaves what is done
meanwhile to those who ask `require`.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from grange.json_text import parse_json
from grange_node.config import Config, write_private
from grange_node.errors import ConfigInvalid, StorageFull, StoreFailed, VolumeMissing
from grange_node.files import FOLDER_MODE
from grange_node.pieces.folders import translated

MARKER_NAME: Final = "grange-volume.json"
EXPECTED_NAME: Final = "volume.json"
ID_BYTES: Final = 16
GONE_TIMEOUT_SECONDS: Final = 300.0
"""How long a running farm waits for its data to come back: a disk that connects again takes seconds, somebody
who mounts it again minutes."""
TRACES: Final = ("ledger.sqlite3", "slots")
"""What the data folder of a farm has, at least one of them, from before there was a marker."""

log = logging.getLogger("grange.farm")


class Volume:
    """The data folder of a running farm. Without an id any folder will do, as long as it is there."""

    def __init__(self, folder: Path, volume_id: str | None = None) -> None:
        self.folder = folder
        self._id = volume_id
        self._gone_since: float | None = None

    def is_there(self) -> bool:
        """False if the folder is gone or another, and if the disk says nothing that it can be."""
        if self._id is None:
            return self.folder.is_dir()
        try:
            return _volume_id(_read(self.folder / MARKER_NAME)) == self._id
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            # A bad sector or a flipped bit: it is there.
            return True

    def require(self) -> None:
        """Raise StoreFailed unless something may be written to the folder."""
        if not self.is_there():
            raise StoreFailed(
                "The data folder is not there.",
                detail=f"It should be {self.folder}.",
                hint="Is its disk mounted?",
            )

    def look(self, steady_seconds: float, in_place: Callable[[], bool]) -> bool:
        """Whether it is there; says so when that changes. `in_place` tells whether the files that are open
        are still those in the folder; `steady_seconds` is the time by a clock that nobody sets.

        Raises VolumeMissing when it has been gone for GONE_TIMEOUT_SECONDS, or came back with other files.
        """
        if not self.is_there():
            if self._gone_since is None:
                self._gone_since = steady_seconds
                log.error(
                    "the data folder %s is not there; is its disk mounted? Nothing is written to it until it "
                    "is back. The farm ends in %d seconds if it is not",
                    self.folder,
                    GONE_TIMEOUT_SECONDS,
                )
            elif steady_seconds - self._gone_since >= GONE_TIMEOUT_SECONDS:
                raise VolumeMissing(self.folder, "it vanished while the farm ran")
            return False
        if not in_place():
            why = "the ledger in it was removed or replaced while the farm ran"
            raise VolumeMissing(self.folder, why, is_marked=True)
        if self._gone_since is not None:
            self._gone_since = None
            log.warning("the data folder %s is there again", self.folder)
        return True


def begin_volume(home: Path, config: Config) -> None:
    """Mark the data folder of a farm that has nothing to lose yet; what is marked stays as it is. Raises
    ConfigInvalid if it is another farm's, StoreFailed."""
    if not (home / EXPECTED_NAME).exists():
        _adopt(home, config)


def find_volume(home: Path, config: Config, *, begin_again: bool = False) -> Volume:
    """The data folder that the farm in `home` expects. With `begin_again` it is this one from now on,
    whatever is in it.

    Raises VolumeMissing if it is not that one, ConfigInvalid if it is another farm's, StoreFailed.
    """
    folder, expected = config.data_folder, _expected(home)
    found = _found(config)
    if begin_again:
        expected = _adopt(home, config)
    elif expected is None and (found is not None or _has_traces(folder)):
        try:
            expected = _adopt(home, config)
        except (StorageFull, StoreFailed) as error:
            # The data are there, and a full disk or a read-only home must not keep them from being proven.
            log.warning("the data folder cannot be marked or its mark remembered: %s", error)
            expected = found
    elif expected is None:
        raise VolumeMissing(folder, "there is nothing in it")
    elif found != expected:
        raise VolumeMissing(folder, _difference(folder, found))
    return Volume(folder, expected)


def missing_volume(home: Path, config: Config) -> str | None:
    """What a person should know if the data folder is not the farm's; None if it is, or was never used."""
    expected = _expected(home)
    if expected is None or Volume(config.data_folder, expected).is_there():
        return None
    return f"{config.data_folder} does not hold this farm's data; is its disk mounted?"


def _difference(folder: Path, found: str | None) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    if found is None:
        return f"{MARKER_NAME} is not in it, or cannot be read"
    return "it is another volume"


def _adopt(home: Path, config: Config) -> str:
    """Make the folder the farm's: the id that is in it, or a new one, is expected from now on."""
    folder = config.data_folder
    with translated(f"preparing the data folder {folder}"):
        folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
        volume_id = _found(config)
        if volume_id is None:
            volume_id = secrets.token_hex(ID_BYTES)
            write_private(folder / MARKER_NAME, _marker(config, volume_id))
    with translated(f"writing to {home}"):
        write_private(home / EXPECTED_NAME, json.dumps({"volume": volume_id}) + "\n")
    return volume_id


def _marker(config: Config, volume_id: str) -> str:
    whose = {"farmer": config.farmer_id, "market": config.market, "chain_id": config.chain_id}
    note = "This folder holds a Grange farm's data. Without this file the farm does not start."
    return json.dumps({"volume": volume_id, **whose, "note": note}, indent=2) + "\n"


def _found(config: Config) -> str | None:
    """The id in the data folder; None if there is none that can be read."""
    path = config.data_folder / MARKER_NAME
    try:
        content = _read(path)
        volume_id = _volume_id(content)
        whose = tuple(content.get(name) for name in ("farmer", "market", "chain_id"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise StoreFailed(f"{path} cannot be read: {error.strerror}.", hint="Check the disk.") from error
    if whose != (config.farmer_id, config.market, config.chain_id):
        raise ConfigInvalid(
            f"The data folder {config.data_folder} is that of farmer {whose[0]} of market {whose[1]} on "
            f"chain {whose[2]}.",
            hint="Give this farm a folder of its own.",
        )
    return volume_id


def _expected(home: Path) -> str | None:
    path = home / EXPECTED_NAME
    try:
        return _volume_id(_read(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreFailed(f"{path} cannot be read: {error.strerror}.", hint="Check the disk.") from error
    except ValueError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error}.",
            hint=f"If {MARKER_NAME} is in the data folder, remove {path} and start the farm again: it takes "
            "the id from there.",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    content = parse_json(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError("not an object")  # noqa: TRY004
    return content


def _volume_id(content: dict[str, Any]) -> str:
    volume_id = content.get("volume")
    if not isinstance(volume_id, str) or not volume_id:
        raise ValueError("no id in it")
    return volume_id


def _has_traces(folder: Path) -> bool:
    return any((folder / name).exists() for name in TRACES)
