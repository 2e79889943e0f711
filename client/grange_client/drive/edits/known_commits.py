"""The commits of a drive by their keys: those that are kept, and those that kept ones come from.

    past = KnownCommits(reader, state)
    past.heads()                  the newest, whatever was withdrawn
    past.commit_of(key)           for `merge_heads`, with `past.is_kept`

Of a commit that was withdrawn its own chunk is there as long as a kept one comes from it (`drive.liveness`).
Each is read once. One thread.
"""

from grange.errors import UserError
from grange_client.drive.chunk import ChunkKey, ChunkType, id_of
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.commit import Commit, find_newest, unpack_commit
from grange_client.drive.drive_state import DriveState


class KnownCommits:
    """Reads commits as they are asked for."""

    def __init__(self, reader: ChunkReader, state: DriveState) -> None:
        self._reader = reader
        self._state = state
        self._live = state.live_commits
        self._read: dict[ChunkKey, Commit | None] = {}

    def commit_of(self, key: ChunkKey) -> Commit | None:
        """A commit; None if it cannot be read and is not kept. Raises what reading one raises that is."""
        if key not in self._read:
            try:
                self._read[key] = unpack_commit(self._reader.read(ChunkType.COMMIT, key))
            except UserError:
                if self.is_kept(key):
                    raise
                self._read[key] = None
        return self._read[key]

    def is_kept(self, key: ChunkKey) -> bool:
        """Whether its tree is there, too."""
        return id_of(key) in self._live

    def heads(self) -> list[ChunkKey]:
        """The live commits from which no other live one comes, ascending.

        Where journals say that there is one, none is read. Where they say of all live commits that others
        come from them, since these others were withdrawn or a device lied, the commits tell. Raises what
        reading them raises, and BadCommit for too long a history.
        """
        said = self._state.heads or self._live
        return list(said.values()) if len(said) < 2 else find_newest(said.values(), self._parents_of)

    def _parents_of(self, key: ChunkKey) -> tuple[ChunkKey, ...]:
        commit = self.commit_of(key)
        return () if commit is None else commit.parents
