"""A part of a file to a stream, from front to back: what `cat` shows, and what a reader asks for."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from grange_client.drive.chunk import ChunkType
from grange_client.drive.chunk_store import ChunkSource, WantedChunk
from grange_client.drive.content import Reference, read_references
from grange_client.drive.entry import TreeEntry
from grange_client.errors import BadChunk, BadPath
from grange_client.files.scan import Kind, shown

WINDOW_CHUNKS: Final = 8
"""Chunks that are on their way at once: at most 32 MiB."""


def read_range(
    source: ChunkSource, entry: TreeEntry, *, start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """The bytes of a file from `start` up to `end`, in parts; none that lie behind its end.

    Lists and chunks outside of the range are not read. Raises BadPath for what is no file, the error of the
    first chunk that is not to be had, before any byte behind it, BadTree, and what the source raises.
    """
    if entry.kind is not Kind.FILE:
        raise BadPath(f"{shown(entry.name)} is not a file.")
    end = entry.size_bytes if end is None else min(end, entry.size_bytes)
    if start >= end:
        return
    references = read_references(source, entry.content, start=start, end=end)
    while window := list(islice(references, WINDOW_CHUNKS)):
        contents = _fetch(source, window)
        for offset, reference in window:
            content = contents[_wanted(reference)]
            if isinstance(content, Exception):
                raise content
            if len(content) != reference.size_bytes:
                raise BadChunk("A chunk has another length than the file that it is of says.")
            yield content[max(0, start - offset) : end - offset]


def _fetch(source: ChunkSource, window: list[tuple[int, Reference]]) -> dict[WantedChunk, bytes | Exception]:
    chunks = list(dict.fromkeys(_wanted(reference) for _, reference in window))
    missing = BadChunk("A chunk was asked for and did not come.")
    contents: dict[WantedChunk, bytes | Exception] = dict.fromkeys(chunks, missing)
    for one in source.fetch(chunks):
        contents[one.wanted] = one.error or one.content
    return contents


def _wanted(reference: Reference) -> WantedChunk:
    return WantedChunk(type=ChunkType.DATA, key=reference.key, shared=reference.shared)
