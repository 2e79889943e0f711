"""The contents of files: which chunks are fetched together, and what becomes of each when it comes."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from grange.errors import UserError
from grange.transfer.events import Listener, Progress
from grange.units import format_size
from grange_client.drive.chunk import ChunkType
from grange_client.drive.chunk_store import ChunkSource, FetchedChunk, WantedChunk
from grange_client.drive.content import Reference, read_references
from grange_client.drive.restore.chunk_order import FindPlaces, in_pack_order
from grange_client.drive.restore.holes import Holes
from grange_client.drive.restore.local_chunks import IsChunk, LocalFile
from grange_client.drive.restore.outcome import Outcome
from grange_client.drive.restore.restored_file import RestoredFile, Use
from grange_client.errors import BadChunk, DiskFailed, WouldOverwrite
from grange_client.files.scan import shown
from grange_client.files.target import Target

WINDOW_BYTES: Final = 64 << 20
WINDOW_USES: Final = 4096
"""Places of chunks in files that are fetched together."""
MAX_OPEN_FILES: Final = 64
"""Files of several chunks that are on their way at once."""
CACHE_BYTES: Final = 16 << 20
"""Chunks that came lately: equal files often stand near each other."""
Window = dict[WantedChunk, list[Use]]


class FileRestorer:
    """Writes files as their chunks come."""

    def __init__(
        self,
        source: ChunkSource,
        target: Target,
        outcome: Outcome,
        *,
        is_chunk: IsChunk | None,
        find: FindPlaces | None,
        watch: Listener,
        done: Callable[[RestoredFile], None] = lambda file: None,
    ) -> None:
        """`done` is told each file that is whole and has its name."""
        self.kept_names: set[bytes] = set()
        """What must not be taken for the rest of a killed run, though it is called like one."""
        self._source = source
        self._target = target
        self._outcome = outcome
        self._is_chunk = is_chunk
        self._find = find
        self._watch = watch
        self._done = done
        self._in_work: dict[RestoredFile, None] = {}
        self._open_count = 0
        self._cache = _ChunkCache()
        self._zeros = Holes(source, is_chunk)
        self._capacity_bytes: int | None = None
        """Of the whole disk, once it was asked for."""

    def uses_of(self, file: RestoredFile) -> Iterator[Use]:
        """Each place of each chunk of a file that is not on the disk. The next one is asked for when this one
        was added to what is fetched, or written."""
        self._in_work[file] = None
        self._open_count += file.comes_in_parts
        skips = self._zeros.skips()

        def skips_zeros(level: int, offset: int, reference: Reference) -> bool:
            if not skips(level, reference):
                return False
            file.leave_hole(offset, reference.size_bytes)
            self.count_progress(reference.size_bytes)
            return True

        references = read_references(self._source, file.entry.content, skips=skips_zeros)
        try:
            self._check_room(file)
        except UserError as error:
            file.error = error
        while file.error is None:
            try:
                found = next(references, None)
                if found is None:
                    break
                offset, reference = found
                use = Use(file=file, offset=offset, reference=reference)
                if self._take_local(use):
                    continue
            except UserError as error:
                file.error = error
                break
            file.pending += 1
            yield use
        file.is_planned = True
        self._finish_if_ready(file)

    def fetch(self, uses: Iterator[Use]) -> None:
        """Fetch and write all of them. Raises DiskFailed, and what the source raises for all chunks."""
        while window := self._next_window(uses):
            for one in self._source.fetch(in_pack_order(window, self._find)):
                self._take(one, window.pop(one.wanted))
            for wanted in list(window):
                missing = BadChunk("A chunk was asked for and did not come.")
                self._take(FetchedChunk(wanted=wanted, error=missing), window.pop(wanted))

    def is_content(self, file: RestoredFile, there: LocalFile) -> bool:
        """Whether a file that is there has the content of this one, as far as that can be told."""
        if self._is_chunk is None:
            return True

        def skips_hole(level: int, offset: int, reference: Reference) -> bool:
            return there.is_hole(offset, reference.size_bytes) and self._zeros.is_zeros(level, reference)

        references = read_references(self._source, file.entry.content, skips=skips_hole)
        return there.has_all(references, self._is_chunk)

    def count_progress(self, size_bytes: int) -> None:
        """So much of the tree is done."""
        if size_bytes:
            self._watch(Progress(size_bytes=size_bytes))

    def give_up(self, *, keep: bool) -> None:
        """Leave no half file but those that a later run can go on with, or not even these."""
        for file in self._in_work:
            file.give_up(keep=keep)
        self._in_work.clear()

    def _next_window(self, uses: Iterator[Use]) -> Window:
        window: Window = {}
        size_bytes = count = 0
        for use in uses:
            reference = use.reference
            wanted = WantedChunk(type=ChunkType.DATA, key=reference.key, shared=reference.shared)
            cached = self._cache.get(wanted)
            if cached is not None:
                self._take_one(use, cached, None)
                continue
            if wanted not in window:
                size_bytes += reference.size_bytes
            window.setdefault(wanted, []).append(use)
            count += 1
            if size_bytes >= WINDOW_BYTES or count == WINDOW_USES or self._open_count >= MAX_OPEN_FILES:
                break
        return window

    def _check_room(self, file: RestoredFile) -> None:
        """Raise DiskFailed for a file that has more in it than the whole disk, before that is full. A file of
        holes may say that it has as much."""
        if self._capacity_bytes is None:
            self._capacity_bytes = self._target.capacity_bytes()
        if file.entry.size_bytes <= self._capacity_bytes:
            return
        file.check_size()
        data_bytes = self._zeros.data_bytes_of(file.entry.content)
        if data_bytes > self._capacity_bytes:
            raise DiskFailed(
                f"{shown(file.path)} does not fit: it has {format_size(data_bytes)} that are not holes, more "
                "than the disk.",
                hint="Restore into a directory on a larger disk.",
            )

    def _take_local(self, use: Use) -> bool:
        file = use.file
        if self._is_chunk is None or not (file.comes_in_parts or file.has_local):
            return False
        content = file.take_local(use.reference, use.offset, self._is_chunk)
        if content is None:
            return False
        self._zeros.note(use.reference, content)
        self._outcome.reused_bytes += use.reference.size_bytes
        self.count_progress(use.reference.size_bytes)
        return True

    def _take(self, fetched: FetchedChunk, uses: list[Use]) -> None:
        """A chunk that came, or why it did not."""
        self._outcome.fetched_bytes += len(fetched.content)
        if fetched.error is None:
            self._cache.put(fetched.wanted, fetched.content)
        for use in uses:
            self._take_one(use, fetched.content, fetched.error)

    def _take_one(self, use: Use, content: bytes, error: UserError | None) -> None:
        file = use.file
        file.pending -= 1
        if error is None and len(content) != use.reference.size_bytes:
            error = BadChunk("A chunk has another length than the file that it is of says.")
        # Beside a chunk that is missing: what comes may have been paid for, and a later run goes on with it.
        if error is None and not _is_of_disk(file.error):
            try:
                if self._zeros.note(use.reference, content):
                    file.leave_hole(use.offset, len(content))
                else:
                    file.write(content, use.offset)
                self.count_progress(len(content))
            except (DiskFailed, WouldOverwrite) as failure:
                error = failure
        file.error = file.error or error
        self._finish_if_ready(file)

    def _finish_if_ready(self, file: RestoredFile) -> None:
        if not file.is_ready or file not in self._in_work:
            return
        if file.error is None:
            try:
                file.finish()
                self._outcome.files += 1
                self._outcome.size_bytes += file.entry.size_bytes
                self._done(file)
            except (DiskFailed, WouldOverwrite) as error:
                file.error = error
        if file.error is not None:
            is_of_disk = _is_of_disk(file.error)
            if not is_of_disk and file.comes_in_parts and file.temporary_name:
                self.kept_names.add(file.temporary_name)
            file.give_up(keep=not is_of_disk)
            self._outcome.note(file.path, file.error)
        del self._in_work[file]
        self._open_count -= file.comes_in_parts


def _is_of_disk(error: UserError | None) -> bool:
    return isinstance(error, DiskFailed | WouldOverwrite)


class _ChunkCache:
    """Chunks that came lately, the one that was used last longest."""

    def __init__(self) -> None:
        self._contents: OrderedDict[WantedChunk, bytes] = OrderedDict()
        self._size_bytes = 0

    def get(self, wanted: WantedChunk) -> bytes | None:
        content = self._contents.get(wanted)
        if content is not None:
            self._contents.move_to_end(wanted)
        return content

    def put(self, wanted: WantedChunk, content: bytes) -> None:
        if wanted in self._contents:
            return
        self._contents[wanted] = content
        self._size_bytes += len(content)
        while self._size_bytes > CACHE_BYTES:
            _, old = self._contents.popitem(last=False)
            self._size_bytes -= len(old)
