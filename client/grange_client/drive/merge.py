"""Two versions of a tree that went apart, made one again. Pure, and no file of either side vanishes.

For each name, with what it was in the version that both come from:

    the same on both sides, or changed on one      that
    directories on both sides                      merged in turn; a side without it counts as an empty one
    the same content, other mode, time or owner    each by itself, extended attributes by name
    deleted on one side, changed on the other      the changed one
    two that differ                                both: one keeps the name, the other gets a name that says
                                                   whose it is and from when

A file runs with the rights of its owner only if a side had it so: with this content, owner and group.

Which of two keeps its name follows from the entries and not from the order of the sides, so two devices that
merge the same versions get the same tree, and need not merge again.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from heapq import merge as merged_in_order
from typing import Any, Final, TypeVar

from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.differences import paired_entries
from grange_client.drive.entry import (
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTES,
    Attributes,
    Directory,
    TreeEntry,
    pack_entry,
)
from grange_client.drive.tree import MAX_DEPTH, DirectoryBuilder, find_entry
from grange_client.errors import BadTree
from grange_client.files.scan import MAX_PART_BYTES, Kind

COMMON_NAME_BYTES: Final = 255
"""No file system takes more for one name, if it took the name without the mark of a conflict."""
MAX_ENDING_BYTES: Final = 16
MAX_MARK_BYTES: Final = 128
"""Of what is put into a name: device and time."""
SET_ID_BITS: Final = 0o6000
"""Of a mode: a program runs with the rights of its owner, or its group."""
CAPABILITIES: Final = b"security.capability"
"""The extended attribute by which a program has some of root's rights on Linux."""
Extended = tuple[tuple[bytes, bytes], ...]
_Triple = tuple[Directory, Directory, Directory]
_Merging = Generator[_Triple, Directory, Directory]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two versions."""

    root: Directory
    mark: bytes
    """What a name gets if it has to give way: the device and a time. It is cut to MAX_MARK_BYTES, and what no
    name may have in it is replaced."""


def merge(store: ChunkStore, border_secret: bytes, *, base: Directory, ours: Side, theirs: Side) -> Directory:
    """The tree that has what both sides changed since `base`; the same with the sides exchanged.

    Reads what differs from `base` on both sides. Raises BadTree, and what the store raises.
    """
    merging = _Merge(store, border_secret, _fitting(ours.mark), _fitting(theirs.mark))
    # Directories may be two thousand deep, so Python's own stack is not used for them.
    running: list[_Merging] = [merging.directory(base, ours.root, theirs.root)]
    result: Directory | None = None
    while running:
        try:
            wanted = next(running[-1]) if result is None else running[-1].send(result)
        except StopIteration as stop:
            running.pop()
            result = stop.value
        else:
            if len(running) == MAX_DEPTH:
                raise BadTree(f"There are more than {MAX_DEPTH:,} directories inside of each other.")
            running.append(merging.directory(*wanted))
            result = None
    assert result is not None
    return result


@dataclass(frozen=True, slots=True)
class _Merge:
    store: ChunkStore
    border_secret: bytes
    our_mark: bytes
    their_mark: bytes

    def directory(self, base: Directory, ours: Directory, theirs: Directory) -> _Merging:
        """One directory; yields those inside of it that have to be merged first."""
        if theirs in (ours, base):
            return ours
        if ours == base:
            return theirs
        sides = (base, ours, theirs)
        builder = DirectoryBuilder(self.store, self.border_secret)
        renamed = sorted(self._renamed(sides), key=lambda entry: entry.name)
        kept: Iterator[tuple[TreeEntry | None, ...]] = paired_entries(self.store, sides)
        added = ((None, entry, entry) for entry in renamed)
        for was, our, their in merged_in_order(kept, added, key=_name):
            entry, inside = _resolve(was, our, their)
            if inside is not None and entry is not None:
                below = yield inside
                entry = replace(entry, directory=below)
            if entry is not None:
                builder.add(entry)
        return builder.finish()

    def _renamed(self, sides: _Triple) -> list[TreeEntry]:
        """What gives way to another of the same name, under its new name."""
        renamed: list[TreeEntry] = []
        taken: set[bytes] = set()
        for was, our, their in paired_entries(self.store, sides):
            if our is None or their is None or not _is_conflict(was, our, their):
                continue
            loser = min(our, their, key=_rank)
            mark = self.our_mark if loser is our else self.their_mark
            for name in _conflict_names(loser.name, mark):
                if name not in taken and not any(find_entry(self.store, side, name) for side in sides):
                    taken.add(name)
                    renamed.append(replace(loser, name=name))
                    break
        return renamed


def _resolve(
    was: TreeEntry | None, our: TreeEntry | None, their: TreeEntry | None
) -> tuple[TreeEntry | None, _Triple | None]:
    """What stands under a name, and what has to be merged for the inside of it."""
    if their in (our, was):
        return our, None
    if our == was:
        return their, None
    directories = [_inside(one) for one in (was, our, their)]
    if our is not None and their is not None:
        if our.kind is Kind.DIRECTORY or their.kind is Kind.DIRECTORY:
            if our.kind is their.kind:
                return _joined(was, our, their), (directories[0], directories[1], directories[2])
            # The directory keeps the name; the other is beside it under another.
            keeper = our if our.kind is Kind.DIRECTORY else their
            return keeper, (directories[0], directories[1], directories[2])
        if _is_conflict(was, our, their):
            return max(our, their, key=_rank), None
        return _joined(was, our, their), None
    changed = our or their
    if changed is not None and changed.kind is Kind.DIRECTORY:
        return changed, (directories[0], directories[1], directories[2])
    return changed, None


def _is_conflict(was: TreeEntry | None, our: TreeEntry, their: TreeEntry) -> bool:
    """Whether there have to be two of this name."""
    if was in (our, their) or our == their:
        return False
    if our.kind is not their.kind:
        return True
    if our.kind is Kind.DIRECTORY:
        return False
    if not _fit_together(was, our, their):
        return True
    if _substance(our) == _substance(their):
        return False
    return was is None or _substance(was) not in (_substance(our), _substance(their))


def _joined(was: TreeEntry | None, our: TreeEntry, their: TreeEntry) -> TreeEntry:
    """One entry of two that are no conflict, field by field."""
    if _substance(our) == _substance(their) or (was and _substance(was) == _substance(their)):
        entry = our
    else:
        entry = their
    old = was or TreeEntry(name=our.name, kind=our.kind, mode=-1, mtime_ns=-1)
    sides = [old.attributes, our.attributes, their.attributes]
    user_id, user = _either(*((one.user_id, one.user) for one in sides))
    group_id, group = _either(*((one.group_id, one.group) for one in sides))
    extended = _joined_extended(*sides)
    if not _fits(extended):
        # Of a directory: there can't be two of it.
        extended = _either(*(one.extended for one in sides))
    joined = replace(
        entry,
        mode=_either(old.mode, our.mode, their.mode),
        mtime_ns=_either(old.mtime_ns, our.mtime_ns, their.mtime_ns),
        attributes=Attributes(
            user_id=user_id,
            user=user,
            group_id=group_id,
            group=group,
            extended=extended,
            hard_links=_either(*(one.hard_links for one in sides)),
        ),
    )
    return _without_new_rights(joined, our, their)


def _joined_extended(was: Attributes, our: Attributes, their: Attributes) -> Extended:
    """Extended attributes of both sides, each name by itself."""
    before, ours, theirs = (dict(one.extended) for one in (was, our, their))
    values = {
        name: _either(before.get(name), ours.get(name), theirs.get(name))
        for name in sorted(ours.keys() | theirs.keys())
    }
    return tuple((name, value) for name, value in values.items() if value is not None)


def _fits(extended: Extended) -> bool:
    """Whether one entry can have all of these."""
    total = sum(len(name) + len(value) for name, value in extended)
    return len(extended) <= MAX_ATTRIBUTES and total <= MAX_ATTRIBUTE_BYTES


def _fit_together(was: TreeEntry | None, our: TreeEntry, their: TreeEntry) -> bool:
    """Whether one entry can have the extended attributes of both sides."""
    before = was.attributes if was else Attributes()
    return _fits(_joined_extended(before, our.attributes, their.attributes))


def _without_new_rights(joined: TreeEntry, our: TreeEntry, their: TreeEntry) -> TreeEntry:
    """The entry, without rights that no side gave to this content and owner.

    As Linux does it for a file that is written to or gets another owner: one side may have made its own
    program run with its rights, while the other gave the file to root.
    """
    as_it_is = [side for side in (our, their) if _power(side) == _power(joined)]
    allowed = 0
    for side in as_it_is:
        allowed |= side.mode & SET_ID_BITS
    capabilities = {pair for side in as_it_is for pair in side.attributes.extended}
    extended = tuple(
        pair for pair in joined.attributes.extended if pair[0] != CAPABILITIES or pair in capabilities
    )
    return replace(
        joined,
        mode=joined.mode & (~SET_ID_BITS | allowed),
        attributes=replace(joined.attributes, extended=extended),
    )


def _power(entry: TreeEntry) -> tuple[object, ...]:
    """What a program does, and with whose rights."""
    one = entry.attributes
    return _substance(entry), one.user_id, one.user, one.group_id, one.group


def _either(was: Value, our: Value, their: Value) -> Value:
    """The one that changed; of two that did the same one, in whatever order they come."""
    if their in (our, was):
        return our
    if our == was:
        return their
    return max(our, their, key=_order)


def _order(value: Any) -> Any:
    """None before everything."""
    if isinstance(value, tuple):
        return [_order(one) for one in value]
    return value is not None, 0 if value is None else value


def _rank(entry: TreeEntry) -> tuple[bool, int, bytes]:
    """The higher one keeps the name: a directory, else what is newer."""
    return entry.kind is Kind.DIRECTORY, entry.mtime_ns, pack_entry(entry)


def _substance(entry: TreeEntry) -> tuple[object, ...]:
    """What must never be lost of an entry."""
    return entry.kind, entry.content, entry.target


def _inside(entry: TreeEntry | None) -> Directory:
    return Directory() if entry is None else entry.directory


def _name(row: tuple[TreeEntry | None, ...]) -> bytes:
    return next(entry.name for entry in row if entry is not None)


def _conflict_names(name: bytes, mark: bytes) -> Iterator[bytes]:
    """Names for an entry that gives way: "name (conflict, device, time).ending", then with a number."""
    stem, ending = name, b""
    dot = name.rfind(b".")
    if dot > 0 and len(name) - dot <= MAX_ENDING_BYTES:
        stem, ending = name[:dot], name[dot:]
    most = COMMON_NAME_BYTES if len(name) <= COMMON_NAME_BYTES else MAX_PART_BYTES
    number = 1
    while True:
        count = b"" if number == 1 else b" %d" % number
        suffix = b" (conflict, " + mark + count + b")" + ending
        yield _cut(stem, most - len(suffix)) + suffix
        number += 1


def _fitting(mark: bytes) -> bytes:
    """A mark that may stand in a name: devices are called anything that can be printed."""
    return _cut(mark.replace(b"/", b"-").replace(b"\0", b"-"), MAX_MARK_BYTES)


def _cut(stem: bytes, most: int) -> bytes:
    """So many bytes of a name, without a part of a character at the end."""
    if len(stem) <= most:
        return stem
    while most > 0 and stem[most] & 0xC0 == 0x80:
        most -= 1
    return stem[:most]
