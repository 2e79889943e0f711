"""A whole tree out of its paths, in one pass: directories are written as soon as they are complete."""

from collections.abc import Iterable
from dataclasses import replace

from grange_client.drive.chunk_store import ChunkWriter
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import MAX_DEPTH, DirectoryBuilder
from grange_client.errors import BadTree
from grange_client.files.scan import Kind, shown


def build_tree(
    writer: ChunkWriter, border_secret: bytes, entries: Iterable[tuple[bytes, TreeEntry]]
) -> Directory:
    """The directory that has these paths, each a name or names joined by `/`, in the order of `walk`.

    What an entry of a directory says of what is below it is not looked at. Memory is that of the nodes which
    are not whole yet, of each directory on the way. Raises BadTree for what makes no tree.
    """
    open_directories: list[tuple[bytes, TreeEntry | None, DirectoryBuilder]] = [
        (b"", None, DirectoryBuilder(writer, border_secret))
    ]

    def close() -> Directory:
        _, entry, builder = open_directories.pop()
        directory = builder.finish()
        if entry is not None:
            open_directories[-1][2].add(replace(entry, directory=directory))
        return directory

    for path, entry in entries:
        above = path[: -len(entry.name)]
        while len(open_directories) > 1 and open_directories[-1][0] != above:
            close()
        if open_directories[-1][0] != above or path != above + entry.name:
            raise BadTree(f"{shown(path)} is not below the directory before it.")
        if entry.kind is Kind.DIRECTORY:
            if len(open_directories) == MAX_DEPTH:
                raise BadTree(f"There are more than {MAX_DEPTH:,} directories inside of each other.")
            open_directories.append((path + b"/", entry, DirectoryBuilder(writer, border_secret)))
        else:
            open_directories[-1][2].add(entry)
    while len(open_directories) > 1:
        close()
    return close()
