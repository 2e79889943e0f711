"""From a disk to a commit and back to a disk: nothing is told apart that a system can tell."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from client.drive.backup_samples import PLACE, PackedDrive
from client.drive.restore_samples import IS_CHUNK, on_disk

from grange.errors import UserError
from grange_client.drive.chunk_store import FetchedChunk, WantedChunk
from grange_client.drive.restore import restore
from grange_client.drive.tree import find_path


class Source(PackedDrive):
    """Gives many chunks at once."""

    def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        for one in wanted:
            try:
                content = self.read(one.type, one.key, shared=one.shared)
            except UserError as error:
                yield FetchedChunk(wanted=one, error=error)
            else:
                yield FetchedChunk(wanted=one, content=content)


def test_what_was_backed_up_is_restored_equal(tmp_path: Path) -> None:
    """Large and small files, holes, hard links, names that are no text, modes, times, attributes."""
    home = tmp_path / "home"
    (home / "d" / "e").mkdir(parents=True)
    large = b"".join(b"%08d" % number for number in range(200_000))
    (home / "large").write_bytes(large)
    with (home / "sparse").open("wb") as file:
        file.truncate(3 << 20)
        file.seek(2 << 20)
        file.write(b"something")
    (home / "d" / "one").write_bytes(b"linked")
    (home / "d" / "e" / "two").hardlink_to(home / "d" / "one")
    Path(os.fsdecode(os.fsencode(home) + b"/\xff\n")).write_bytes(b"odd")
    (home / "l").symlink_to("d/one")
    (home / "empty").mkdir(mode=0o700)
    (home / "d" / "one").chmod(0o640)
    os.setxattr(home / "large", "user.note", b"\0\xff")
    os.utime(home / "d" / "e", ns=(1, 1_234_567_890_123_456_789))
    drive = Source()
    result = drive.backup(home)
    entry = find_path(drive, result.root, PLACE)
    assert entry is not None
    restored = restore(drive, entry.directory, tmp_path / "back", is_chunk=IS_CHUNK)
    assert restored.remarks.by_kind == {}
    assert on_disk(tmp_path / "back") == on_disk(home)
    assert (tmp_path / "back" / "d" / "one").samefile(tmp_path / "back" / "d" / "e" / "two")
    assert (tmp_path / "back" / "sparse").stat().st_blocks * 512 < 2 << 20
    again = restore(drive, entry.directory, tmp_path / "back", is_chunk=IS_CHUNK)
    assert (again.files, again.fetched_bytes) == (0, 0)
