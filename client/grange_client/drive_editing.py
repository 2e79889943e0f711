"""An edit of a drive without a disk, from what it has now to a commit that is published.

    def remove(base: EditBase) -> EditedTree:
        return EditedTree(root=base.editor.remove(base.root, [b"old"]))

    edited = await publish_edit(session, remove, options=options, device="laptop", agree=spending.agree)
    await publish_values(session, lambda state: [tag_commit(state, "v1", commit, seconds=now)], ...)

What is edited is what the drive has when this begins; heads that went apart are merged first, and the merge
is published with the edit. When all farmers have signed, it is looked once more: if another device published
something meanwhile, nothing is placed, and the edit is made again on top of that. So it relies on a head,
which nobody lets go. What it brings back from an older commit it relies on too, or stores again. One event
loop.
"""

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from grange.transfer.events import Step
from grange.types import Epoch, OrderId
from grange_client.drive.backup.chunk_sink import ChunkSink
from grange_client.drive.backup.id_set import IdSet
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.backup.new_chunks import NewChunks
from grange_client.drive.catalog import BATCH, batches
from grange_client.drive.chunk import ChunkId, ChunkType, id_of
from grange_client.drive.chunk_store import ChunkSource, FetchedChunk
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.entry_chunks import chunks_below
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.new_commit import NewCommit, commit_tree, merge_heads
from grange_client.drive.edits.new_nodes import NewNodes
from grange_client.drive.edits.tree_edits import TreeEditor
from grange_client.drive.entry import EMPTY, Directory, TreeEntry
from grange_client.drive.journal import Record
from grange_client.drive.keys import DriveKeys
from grange_client.drive.views.history import History, read_history
from grange_client.drive_session import Agree, ChooseOptions, DriveSession
from grange_client.errors import BadChunk, Overtaken
from grange_client.orders.plan import StoreOptions
from grange_client.packs.placing import PlacedPack

MAX_TURNS: Final = 3
"""So often an edit is made again on top of what others published meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditBase:
    """What an edit begins with. In a thread."""

    root: Directory
    """What the drive has now; heads that went apart, merged."""
    nodes: NewNodes
    """What to read and write through."""
    editor: TreeEditor
    state: DriveState
    past: KnownCommits
    border_secret: bytes

    def history(self, *, only: Collection[ChunkId] | None = None) -> History:
        """All commits, or some. Raises as `read_history`."""
        return read_history(self.nodes, self.state, only=only)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedTree:
    """What an edit makes of it."""

    root: Directory
    takes: tuple[TreeEntry, ...] = ()
    """What it takes from older commits, which may be let go."""
    message: str = ""
    """Of the commit."""


MakeEdit = Callable[[EditBase], EditedTree]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEdit:
    """What became of an edit."""

    commit: NewCommit | None
    """None if the drive was like that already: nothing was placed then."""
    placed: tuple[PlacedPack, ...] = ()
    merged_heads: int = 0
    """How many heads were merged with it; 0 if there was one."""


async def publish_edit(
    session: DriveSession,
    edit: MakeEdit,
    *,
    options: StoreOptions | ChooseOptions,
    device: str,
    max_spend: int | None = None,
    agree: Agree | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> PublishedEdit:
    """Make an edit, and publish it. `edit` is called in a thread, once more if another device was faster.

    It costs `max_spend` base units at most. Raises what `edit` and `agree` raise, PackGone, Overtaken if
    other devices were faster each time, and as `DriveWriter.publish`.
    """
    for turn in range(MAX_TURNS):
        try:
            return await _publish_once(session, edit, options, device, max_spend, agree, now_ns)
        except Overtaken:
            if turn == MAX_TURNS - 1:
                raise
            session.watch(Step(what="Another device was faster: beginning again on top of its commit"))
    raise AssertionError("unreachable")


async def publish_values(
    session: DriveSession,
    records: Callable[[DriveState], Sequence[Record]],
    *,
    options: StoreOptions | ChooseOptions,
    device: str,
    max_spend: int | None = None,
    agree: Agree | None = None,
) -> tuple[PlacedPack, ...]:
    """Publish records without a commit, made from the drive's state: a tag, or that one is gone. Raises what
    `records` and `agree` raise, and as `DriveWriter.publish`."""
    state = await session.renter.executors.in_database(session.catalog.state)
    async with session.writing(options, device=device, max_spend=max_spend, agree=agree) as writer:
        return tuple(await writer.publish(records(state)))


async def _publish_once(  # noqa: PLR0917
    session: DriveSession,
    edit: MakeEdit,
    options: StoreOptions | ChooseOptions,
    device: str,
    max_spend: int | None,
    agree: Agree | None,
    now_ns: Callable[[], int],
) -> PublishedEdit:
    state = await session.renter.executors.in_database(session.catalog.state)
    after = await session.relies_after()

    async def look_again() -> None:
        now = (await session.sync()).state
        if now.heads.keys() != state.heads.keys():
            raise Overtaken(
                "Another device published a commit meanwhile.",
                detail="Nothing was paid.",
                hint="Run this again: it begins with what the drive has then.",
            )

    async with session.writing(options, device=device, max_spend=max_spend, agree=agree) as writer:
        made = await session.in_thread(
            lambda: make_edit(session, writer, state, edit, after=after, device=device, now_ns=now_ns)
        )
        if made.commit is None:
            return PublishedEdit(commit=None)
        placed = await writer.publish(made.records, relied_on=made.relied_on, before_placing=look_again)
    return PublishedEdit(commit=made.commit, placed=tuple(placed), merged_heads=made.merged_heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeEdit:
    """An edit whose chunks are in packs, and that nobody knows of yet."""

    commit: NewCommit | None
    records: tuple[Record, ...] = ()
    relied_on: frozenset[OrderId] = frozenset()
    merged_heads: int = 0


def make_edit(
    session: DriveSession,
    sink: ChunkSink,
    state: DriveState,
    edit: MakeEdit,
    *,
    after: Epoch,
    device: str,
    now_ns: Callable[[], int],
) -> MadeEdit:
    """In a thread: the edit, its commit and its chunks, which go to the sink. Raises what `edit`, reading and
    the sink raise."""
    keys, source = session.keys, session.chunks
    past = KnownCommits(source, state)
    heads = past.heads()
    nodes = NewNodes(keys.own, source)
    # Of a head that cannot be read this raises: without it, what it has would be gone from the drive.
    commits = [past.commit_of(key) for key in heads]
    merges = merge_heads(nodes, keys.border_secret, heads, past.commit_of, is_kept=past.is_kept)
    top = merges[-1].commit if merges else commits[0] if commits else None
    parents = [merges[-1].key] if merges else heads
    root = top.root if top is not None else EMPTY
    base = EditBase(
        root=root,
        nodes=nodes,
        editor=TreeEditor(nodes, keys.border_secret),
        state=state,
        past=past,
        border_secret=keys.border_secret,
    )
    edited = edit(base)
    if edited.root == root:
        return MadeEdit(commit=None)
    commit = commit_tree(
        nodes,
        edited.root,
        parents,
        time_ns=now_ns(),
        device=device,
        message=edited.message,
    )
    records = [record for one in (*merges, commit) for record in one.records]
    known_chunks = KnownChunks(session.catalog, after=after, rely=sink.rely)
    relied_on = _store(keys, source, nodes, edited.takes, known_chunks, sink)
    return MadeEdit(
        commit=commit,
        records=tuple(records),
        relied_on=relied_on,
        merged_heads=len(heads) if merges else 0,
    )


def _store(  # noqa: PLR0917
    keys: DriveKeys,
    source: ChunkSource,
    nodes: NewNodes,
    takes: Sequence[TreeEntry],
    known: KnownChunks,
    sink: ChunkSink,
) -> frozenset[OrderId]:
    """Have all chunks of an edit in packs that one may rely on; gives those packs."""
    with IdSet() as seen, ThreadPoolExecutor(1, thread_name_prefix="grange-edit") as executor:
        chunks = NewChunks(keys, known, seen, sink, executor)
        for entry in takes:
            for batch in batches(chunks_below(source, entry), BATCH):
                there = known.among({id_of(one.key) for one in batch})
                for fetched in source.fetch([one for one in batch if id_of(one.key) not in there]):
                    _store_again(fetched, chunks)
        for (chunk_type, _), content in nodes.written.items():
            chunks.write(chunk_type, content)
        chunks.finish()
    return known.relied_on


def _store_again(fetched: FetchedChunk, chunks: NewChunks) -> None:
    """A chunk that is only where it may go: it is stored once more."""
    if fetched.error is not None:
        raise fetched.error
    wanted = fetched.wanted
    if wanted.type is ChunkType.DATA:
        key = chunks.write_data([fetched.content])[0].key
    else:
        key = chunks.write(wanted.type, fetched.content)
    if key != wanted.key:
        raise BadChunk(
            "A chunk that is to be stored again would get another key.",
            detail="The drive shared its chunks with others then, and does not now, or the other way round.",
            hint="Get it to disk with `grange get`, and put it again.",
        )
