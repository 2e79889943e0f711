"""From a tree of a commit to files in a directory: `restore`.

The tree is walked once, and what can be done at once is done: directories are made, links set. Chunks of
files are collected until they are worth a trip (a window), brought into the order in which they stand in
packs, and fetched together; each is written wherever the window needs it, in whatever order it comes, and a
file has its name once the last one is there. Further names of files, and modes, owners and times of
directories, come at the end. Memory goes with the window and not with the tree.

Killed at any moment, nothing has its name that is not whole. The next run leaves what is there as it is, and
of an unfinished file of several chunks it fetches those that are not on the disk.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from grange.storage.temporary_file import is_temporary_name
from grange.transfer.events import Listener, ignore_progress
from grange_client.drive.chunk_store import ChunkSource
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.restore.attribute_writer import AttributeWriter
from grange_client.drive.restore.chunk_order import FindPlaces
from grange_client.drive.restore.conflicts import refuse_conflicts
from grange_client.drive.restore.deferred import Deferred, DeferredLink
from grange_client.drive.restore.file_restorer import FileRestorer
from grange_client.drive.restore.local_chunks import IsChunk, LocalFile
from grange_client.drive.restore.outcome import Outcome
from grange_client.drive.restore.remarks import RemarkKind, RestoreRemarks
from grange_client.drive.restore.restored_file import RestoredFile, Use
from grange_client.drive.restore.result import Existing, RestoreOptions, RestoreResult
from grange_client.drive.restore.target_entry import points_outside, target_entry
from grange_client.drive.walk_ahead import walk_ahead
from grange_client.errors import DiskFailed
from grange_client.files.scan import Kind
from grange_client.files.target import Target, is_there

MAX_KEPT_NAMES: Final = 100_000
"""Entries of a tree that are called like temporary files; where there are more, none of these is removed."""


def restore(
    source: ChunkSource,
    root: Directory,
    into: Path,
    *,
    options: RestoreOptions | None = None,
    is_chunk: IsChunk | None = None,
    find: FindPlaces | None = None,
    watch: Listener = ignore_progress,
) -> RestoreResult:
    """Put everything that is below `root` into a directory, which is made if it is not there.

    `is_chunk` tells by its key what is on the disk already (`local_chunks.chunk_check`); without it files
    that are there count by size and time, and unfinished ones begin again. `find` says where chunks are, by
    which they are put in order (`Catalog.find`).

    What cannot be restored, or not as it was, is among the remarks of the result, and the rest comes all the
    same. Raises WouldOverwrite before anything is changed where something else is in the way and may not be
    replaced; DiskFailed for a disk that takes nothing; and what the source raises for all chunks at once.
    Blocks; a target may be restored into by several runs at once.
    """
    options = options or RestoreOptions()
    remarks = RestoreRemarks()
    writer = AttributeWriter(remarks, owners=options.owners)
    with ExitStack() as stack:
        target = stack.enter_context(Target(into, replace=options.existing.replaces, attributes=writer))
        place = _placing(options.names.rewrite)
        if options.existing is Existing.REFUSE:
            refuse_conflicts(source, root, target, place)
        deferred = stack.enter_context(Deferred.open())
        outcome = Outcome(remarks)

        def done(file: RestoredFile) -> None:
            if file.entry.attributes.hard_links:
                deferred.note_whole(file.path)

        files = FileRestorer(source, target, outcome, is_chunk=is_chunk, find=find, watch=watch, done=done)
        work = _Restoring(target, deferred, options, outcome, files)
        try:
            files.fetch(work.uses_below(source, root, place))
            work.finish_links()
            work.finish_directories()
        except DiskFailed:
            # A full disk is not made fuller by what a later run could use.
            files.give_up(keep=False)
            raise
        finally:
            files.give_up(keep=True)
        return outcome.result()


def _placing(rewrite: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda path: b"/".join(rewrite(part) for part in path.split(b"/")) if path else path


class _Restoring:
    """All but the contents of files."""

    def __init__(
        self,
        target: Target,
        deferred: Deferred,
        options: RestoreOptions,
        outcome: Outcome,
        files: FileRestorer,
    ) -> None:
        self._target = target
        self._deferred = deferred
        self._options = options
        self._outcome = outcome
        self._remarks = outcome.remarks
        self._files = files
        self._entered = True
        """Whether the directory that was met last is there."""

    def uses_below(
        self, source: ChunkSource, root: Directory, place: Callable[[bytes], bytes]
    ) -> Iterator[Use]:
        """Walk the tree, do what can be done at once, and give each place of each chunk of its files that has
        to be fetched."""
        for step in walk_ahead(source, root, enters=lambda path, entry: self._entered):
            path, entry = place(step.path), step.entry
            if step.error is not None:
                self._remarks.add(RemarkKind.UNREADABLE, path, step.error.message)
                continue
            assert entry is not None
            name = path.rpartition(b"/")[2]
            if is_temporary_name(name) and len(self._files.kept_names) < MAX_KEPT_NAMES:
                self._files.kept_names.add(name)
            if entry.kind is Kind.DIRECTORY:
                self._entered = self._make_directory(path, entry)
            elif entry.kind is Kind.SYMLINK:
                with self._outcome.noting(path):
                    self._make_link(path, entry)
            else:
                file = RestoredFile(
                    target=self._target, path=path, entry=entry, names_of_others=self._files.kept_names
                )
                with self._outcome.noting(path):
                    if self._is_first_name(file) and self._is_wanted(file):
                        yield from self._files.uses_of(file)

    def _make_directory(self, path: bytes, entry: TreeEntry) -> bool:
        with self._outcome.noting(path):
            self._target.make_directory(path)
            self._deferred.add_directory(path, entry)
            self._outcome.directories += 1
            return True
        if entry.directory.count:
            reason = f"{entry.directory.count:,} entries below it were left out with it"
            self._remarks.add(RemarkKind.NOT_WRITTEN, path, reason)
        return False

    def _make_link(self, path: bytes, entry: TreeEntry) -> None:
        wanted = target_entry(path, entry)
        there = self._target.look(path)
        if there is not None:
            self._target.check_spelling(path)
            is_same = self._target.has_link(path, entry.target)
            if is_same and self._options.existing is not Existing.REPLACE:
                if self._options.existing is not Existing.SKIP:
                    # A run that was killed may have made it without its time.
                    self._target.make_link(wanted)
                self._outcome.unchanged += 1
                return
            if self._keeps_what_is_there(path, there):
                return
        self._target.make_link(wanted)
        self._outcome.links += 1
        if points_outside(wanted):
            self._remarks.add(RemarkKind.OUTSIDE, path, "it points out of the target")

    def _is_first_name(self, file: RestoredFile) -> bool:
        """Whether it is the first of a file's names, or the only one; others are noted for later."""
        path, entry = file.path, file.entry
        if not entry.attributes.hard_links:
            return True
        first = self._deferred.first_path_of(path, entry)
        if first != path:
            self._deferred.add_link(path, first, entry)
        return first == path

    def _is_wanted(self, file: RestoredFile) -> bool:
        """Whether a file has to be written now."""
        is_wanted = False
        try:
            is_wanted = self._has_to_be_written(file)
        finally:
            if not is_wanted and file.entry.attributes.hard_links and not self._deferred.is_whole(file.path):
                self._deferred.pass_over(file.path, file.entry)
        return is_wanted

    def _has_to_be_written(self, file: RestoredFile) -> bool:
        path, entry = file.path, file.entry
        status = self._target.look(path)
        if status is None:
            return True
        self._target.check_spelling(path)
        there = LocalFile(self._target, path)
        try:
            if self._options.existing is not Existing.REPLACE and self._is_same(file, there):
                if entry.attributes.hard_links:
                    self._deferred.note_whole(path)
                self._outcome.unchanged += 1
                self._files.count_progress(entry.size_bytes)
                return False
            if self._keeps_what_is_there(path, status):
                return False
            file.compare_with(there)
        finally:
            if not file.has_local:
                there.close()
        return True

    def _is_same(self, file: RestoredFile, there: LocalFile) -> bool:
        if not is_there(self._target, file.as_target_entry):
            return False
        return not self._options.compare_content or self._files.is_content(file, there)

    def _keeps_what_is_there(self, path: bytes, there: os.stat_result) -> bool:
        """Whether something else that is there stays; noted, if so."""
        if self._options.existing is Existing.SKIP:
            self._remarks.add(RemarkKind.KEPT, path, "something is there and stayed")
        elif stat.S_ISDIR(there.st_mode):
            self._remarks.add(RemarkKind.IN_THE_WAY, path, "a directory is there")
        elif self._options.existing is Existing.REFUSE:
            self._remarks.add(RemarkKind.IN_THE_WAY, path, "something else is there")
        else:
            return False
        return True

    def finish_links(self) -> None:
        """Further names of files."""
        for link in self._deferred.links():
            with self._outcome.noting(link.path):
                self._finish_link(link)

    def _finish_link(self, link: DeferredLink) -> None:
        path, first = link.path, link.first
        if not self._deferred.is_whole(first) or not is_there(self._target, target_entry(first, link.entry)):
            reason = "it is one file with another that could not be restored"
            self._remarks.add(RemarkKind.UNREADABLE, path, reason)
            return
        there, one = self._target.look(path), self._target.look(first)
        if there is not None and one is not None and os.path.samestat(there, one):
            self._outcome.unchanged += 1
            return
        if there is not None and not self._options.existing.replaces:
            if not is_there(self._target, target_entry(path, link.entry)):
                self._keeps_what_is_there(path, there)
                return
            self._outcome.unchanged += 1
            self._remarks.add(RemarkKind.HARD_LINK, path, "a file of its own was there and stayed")
            return
        if there is not None and self._keeps_what_is_there(path, there):
            return
        if not self._target.link_file(path, first):
            self._copy(link)
        self._outcome.files += 1

    def _copy(self, link: DeferredLink) -> None:
        """Where a file cannot have a second name."""
        file = RestoredFile(target=self._target, path=link.path, entry=link.entry)
        there = LocalFile(self._target, link.first)
        try:
            for offset, part in there.parts():
                file.write(part, offset)
            file.finish()
        except BaseException:
            file.give_up(keep=False)
            raise
        finally:
            there.close()
        self._remarks.add(RemarkKind.HARD_LINK, link.path, "it is a file of its own here")

    def finish_directories(self) -> None:
        """Modes, owners and times; what killed runs left goes."""
        for entry in self._deferred.directories():
            with self._outcome.noting(entry.path):
                self._clean(entry.path)
                self._target.finish_directory(entry)
        self._clean(b"")
        self._target.sync()

    def _clean(self, directory: bytes) -> None:
        if len(self._files.kept_names) < MAX_KEPT_NAMES:
            self._target.clean(directory, self._files.kept_names)
