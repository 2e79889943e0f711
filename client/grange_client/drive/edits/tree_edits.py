"""Edits of a tree: taking paths out, moving them, putting back what was there before. Pure.

Each gives a new root, and writes only the nodes on the way to what changed; all else is the same chunk. An
edit that cannot be made changes nothing. Paths are bytes, names joined by `/`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import find_path
from grange_client.drive.tree_edit import check_path, edit_tree, paths_above
from grange_client.errors import BadPath, WouldOverwrite
from grange_client.files.scan import Kind, shown


class TreeEditor:
    """Edits one tree after another of one drive. Threads may share one; the store decides."""

    def __init__(self, store: ChunkStore, border_secret: bytes) -> None:
        self._store = store
        self._border_secret = border_secret

    def remove(self, root: Directory, paths: Iterable[bytes]) -> Directory:
        """The tree without these files, links and directories with all below them.

        The directories that they were in stay, also if nothing is left in these. Raises BadPath for a path
        that is not there.
        """
        changes: dict[bytes, TreeEntry | None] = {}
        for path in paths:
            self.entry(root, path)
            changes[path] = None
        # What is below another path goes with it.
        outermost = {
            path: None for path in changes if not any(above in changes for above in paths_above(path))
        }
        return self.apply(root, outermost, made_ns=0)

    def move(
        self, root: Directory, path: bytes, to: bytes, *, made_ns: int, replace_there: bool = False
    ) -> Directory:
        """The tree with what is at a path at another one.

        Directories on the way are made, with this time. Raises BadPath for a path that is not there, or that
        would be moved into itself, and WouldOverwrite where something is already, unless it is to be
        replaced; a directory is never replaced by a file, nor the other way round.
        """
        entry = self.entry(root, path)
        if path == to:
            return root
        if to.startswith(path + b"/"):
            raise BadPath(f"{shown(path)} cannot be moved into itself.")
        moved = self._named(entry, to)
        self._check_free(root, to, moved, replace_there)
        without = self.apply(root, {path: None}, made_ns=made_ns)
        return self.apply(without, {to: moved}, made_ns=made_ns)

    def bring_back(
        self,
        root: Directory,
        old_root: Directory,
        path: bytes,
        *,
        made_ns: int,
        to: bytes | None = None,
        replace_there: bool = False,
    ) -> Directory:
        """The tree with what an older one has at a path, there or at another path; nothing of it is sent
        again.

        Raises BadPath where the older one has nothing, and WouldOverwrite as `move` does.
        """
        to = path if to is None else to
        entry = self._named(self.entry(old_root, path), to)
        self._check_free(root, to, entry, replace_there)
        return self.apply(root, {to: entry}, made_ns=made_ns)

    def entry(self, root: Directory, path: bytes) -> TreeEntry:
        """What is at a path. Raises BadPath if nothing is."""
        check_path(path)
        entry = find_path(self._store, root, path)
        if entry is None:
            raise BadPath(
                f"There is no {shown(path)} in this commit.", hint="`grange ls` shows what there is."
            )
        return entry

    def apply(self, root: Directory, changes: Mapping[bytes, TreeEntry | None], *, made_ns: int) -> Directory:
        """The tree with entries at these paths, or without what is there where there is None.

        No path may be below another one of these. Directories on the way are made where there are none, with
        this time. Raises BadPath where something else is on the way, BadTree, and what the store raises.
        """
        return edit_tree(self._store, self._border_secret, root, changes, made_ns=made_ns)

    def _named(self, entry: TreeEntry, path: bytes) -> TreeEntry:
        check_path(path)
        return replace(entry, name=path.rpartition(b"/")[2])

    def _check_free(self, root: Directory, path: bytes, entry: TreeEntry, replace_there: bool) -> None:
        there = find_path(self._store, root, path)
        if there is None:
            return
        is_alike = (there.kind is Kind.DIRECTORY) == (entry.kind is Kind.DIRECTORY)
        if not (replace_there and is_alike):
            raise WouldOverwrite(
                f"{shown(path)} is in the drive already.",
                detail="Nothing was changed.",
                hint="Choose another name, or take it out of the drive first.",
            )
