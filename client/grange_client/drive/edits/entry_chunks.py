"""All chunks that a part of a tree is made of: what a commit relies on that takes it from an older one."""

from collections.abc import Iterator

from grange_client.drive.chunk import ChunkType
from grange_client.drive.chunk_store import ChunkReader, WantedChunk
from grange_client.drive.content import chunks_of
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import Branch, read_node


def chunks_below(reader: ChunkReader, entry: TreeEntry) -> Iterator[WantedChunk]:
    """The chunks of an entry and of all below it, some of them more than once; reads directories and lists.

    Memory is that of the nodes on the way. Raises BadTree, and what the reader raises.
    """
    yield from _of_content(reader, entry)
    pending: list[Directory] = [entry.directory]
    while pending:
        node = pending.pop()
        if node.key is None:
            continue
        yield WantedChunk(type=ChunkType.TREE, key=node.key)
        for item in read_node(reader, node):
            if isinstance(item, Branch):
                pending.append(item.below)
            else:
                yield from _of_content(reader, item)
                pending.append(item.directory)


def _of_content(reader: ChunkReader, entry: TreeEntry) -> Iterator[WantedChunk]:
    for chunk_type, reference in chunks_of(reader, entry.content):
        yield WantedChunk(type=chunk_type, key=reference.key, shared=reference.shared)
