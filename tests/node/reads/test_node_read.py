"""Reading: ranges, paths, lists, and who we say we are."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import CHAIN_ID, FARMER, MARKET, PIECE_BYTES, Farm, error_of, parcel

from grange.chain import Wallet
from grange.merkle import root_from_path
from grange.wire.limits import LISTED_INDICES
from grange_node.api.routes import data
from grange_node.api.routes.data import Part, SliceResponse, parts
from grange_node.reads import paths
from grange_node.slot_key import SlotKey

SIZE = 3 * PIECE_BYTES


async def test_a_whole_slot_is_its_pieces_in_a_row(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    response = await farm.get(slot)
    assert (response.status_code, response.content) == (200, slot.data)
    assert response.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-104", 5, 105),
        (f"bytes={PIECE_BYTES - 1}-{PIECE_BYTES}", PIECE_BYTES - 1, PIECE_BYTES + 1),
        (f"bytes=100-{SIZE + 5000}", 100, SIZE),
        ("bytes=100-", 100, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=1-{SIZE - 2}", 1, SIZE - 1),
    ],
)
async def test_a_range_gives_exactly_its_bytes(farm: Farm, wanted: str, first: int, end: int) -> None:
    slot = parcel()
    await farm.keep(slot)
    response = await farm.get(slot, wanted=wanted)
    assert (response.status_code, response.content) == (206, slot.data[first:end])
    assert response.headers["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert response.headers["content-length"] == str(end - first)


@pytest.mark.parametrize(
    "wanted",
    [
        f"bytes={SIZE}-",
        "bytes=5-4",
        "bytes=-",
        "bytes=-0",
        "bytes=0-1,4-5",
        "leaves=0-1",
        "bytes=a-b",
        "bytes=" + "9" * 30 + "-",
    ],
)
async def test_a_range_that_is_not_there_is_refused(farm: Farm, wanted: str) -> None:
    slot = parcel()
    await farm.keep(slot)
    response = await farm.get(slot, wanted=wanted)
    assert (response.status_code, error_of(response)) == (416, "range_invalid")
    assert response.headers["content-range"] == f"bytes */{SIZE}"


async def test_an_accepted_slot_can_be_read_before_it_is_placed(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    assert (await farm.get(slot, wanted="bytes=0-9")).content == slot.data[:10]


async def test_a_staged_slot_cannot(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    assert (await farm.get(slot)).status_code == 404


async def test_what_is_not_here_is_not_found(farm: Farm) -> None:
    for suffix in ("", "/pieces", "/pieces/0/path"):
        response = await farm.get(parcel(), suffix)
        assert (response.status_code, error_of(response)) == (404, "not_found")


async def test_a_lost_piece_is_an_error_and_not_other_bytes(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    next((farm.node.config.data_folder / "slots").rglob("00000001.*")).unlink()
    response = await farm.get(slot, wanted=f"bytes={PIECE_BYTES}-{PIECE_BYTES + 9}")
    assert (response.status_code, error_of(response)) == (500, "piece_missing")
    assert (await farm.get(slot, wanted="bytes=0-9")).content == slot.data[:10]


async def test_the_list_of_pieces_shows_gaps(farm: Farm) -> None:
    slot = parcel(4)
    await farm.put(slot, 0)
    await farm.put(slot, 2)
    response = await farm.get(slot, "/pieces")
    assert response.json() == {"roots": {"0": slot.roots[0].hex(), "2": slot.roots[2].hex()}, "count": 2}


async def test_the_list_of_pieces_comes_in_pages(farm: Farm) -> None:
    """However high the index of a piece, one answer lists so many indices at most."""
    slot = parcel(1)
    far = 2 * LISTED_INDICES + 5
    for index in (0, LISTED_INDICES, far):
        path = f"{slot.path}/pieces/{index}"
        headers = farm.sign(slot.renter, "PUT", path, slot.roots[0])
        assert (await farm.http.put(path, content=slot.pieces[0], headers=headers)).status_code == 201
    root = slot.roots[0].hex()
    for first, listed in ((0, {"0": root}), (far, {str(far): root}), (far + 1, {})):
        page = await farm.get(slot, f"/pieces?from={first}")
        assert page.json() == {"roots": listed, "count": 3}
    page = await farm.get(slot, "/pieces?from=1")
    assert page.json()["roots"] == {str(LISTED_INDICES): root}


@pytest.mark.parametrize("first", ["-1", "x", "", str(1 << 22), "9" * 5000])
async def test_a_page_that_begins_nowhere_is_malformed(farm: Farm, first: str) -> None:
    slot = parcel()
    await farm.put(slot, 0)
    response = await farm.get(slot, f"/pieces?from={first}")
    assert (response.status_code, error_of(response)) == (400, "malformed")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
async def test_the_path_of_a_piece_leads_to_the_root_of_the_slot(farm: Farm, count: int) -> None:
    slot = parcel(count)
    await farm.keep(slot)
    for index in range(count):
        shown = (await farm.get(slot, f"/pieces/{index}/path")).json()
        assert (shown["root"], shown["pieces"]) == (slot.roots[index].hex(), count)
        path = [bytes.fromhex(sibling) for sibling in shown["path"]]
        assert root_from_path(slot.roots[index], index, count, path) == slot.root
    assert (await farm.get(slot, f"/pieces/{count}/path")).status_code == 404


@pytest.mark.parametrize("kept", [0, 3, 6])
async def test_the_trees_of_the_slots_asked_for_last_are_kept(
    farm: Farm, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are free, and each takes the hashes of all pieces: they are not read again for the next."""
    monkeypatch.setattr(paths, "MAX_HASHES_KEPT", kept)
    monkeypatch.setattr(paths, "HASHES_A_TREE", 0)
    read: list[SlotKey] = []
    roots = farm.node.store.roots
    monkeypatch.setattr(farm.node.store, "roots", lambda key, asked: (read.append(key), roots(key, asked))[1])
    slots = [parcel(3, seed=number) for number in range(3)]
    for slot in slots:
        await farm.keep(slot)
    for slot in (slots[0], slots[1], slots[1], slots[0], slots[2], slots[0]):
        shown = (await farm.get(slot, "/pieces/2/path")).json()
        path = [bytes.fromhex(sibling) for sibling in shown["path"]]
        assert root_from_path(slot.roots[2], 2, 3, path) == slot.root
    assert len(read) == {0: 6, 3: 5, 6: 3}[kept]


async def test_info_says_who_we_are_without_a_signature(farm: Farm) -> None:
    before = (await farm.http.get("/v1/info")).json()
    assert (before["farmer"], before["chain_id"], before["market"]) == (FARMER, CHAIN_ID, MARKET)
    assert (before["head_block"], before["epoch"]) == (None, None)
    await farm.agree(parcel())
    after = (await farm.http.get("/v1/info")).json()
    assert (after["head_block"], after["epoch"]) == (farm.market.height, farm.market.epoch)
    assert after["free_bytes"] == before["free_bytes"] - SIZE


async def test_an_accepted_or_placed_slot_is_not_deleted(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    assert (await farm.delete(slot)).status_code == 409
    farm.market.place(slot.placed())
    await farm.node.follower.refresh()
    assert (await farm.delete(slot)).status_code == 409
    assert (await farm.get(slot)).content == slot.data


async def test_an_unknown_path_is_json_too(farm: Farm) -> None:
    response = await farm.http.get("/v1/nothing")
    assert response.status_code == 404
    assert error_of(response) == "not_found"
    other = await farm.http.post("/v1/info")
    assert (other.status_code, error_of(other)) == (405, "method_not_allowed")
    assert other.headers["allow"] == "GET"


@given(st.integers(0, 9), st.integers(0, 5000), st.integers(1, 5000))
def test_parts_cover_a_range_without_gap(power: int, first: int, length: int) -> None:
    piece_bytes = 512 << power
    covered = first
    for part in parts(first, first + length, piece_bytes):
        assert part.piece * piece_bytes + part.offset == covered
        assert 0 < part.length <= piece_bytes - part.offset
        covered += part.length
    assert covered == first + length


async def test_a_piece_that_is_gone_once_the_answer_has_begun_ends_it(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """The status is out: who reads sees that bytes are missing, the farmer a line in its log."""
    slot = parcel(3)
    await farm.keep(slot)
    record = farm.node.ledger.acceptance(slot.order, slot.slot)
    assert record is not None
    sent: list[Any] = []

    async def send(message: Any) -> None:
        if not sent:
            pieces = sorted(farm.node.config.data_folder.glob("slots/*/*/*/*.*"))
            assert len(pieces) >= 3
            for path in pieces:
                path.unlink()
        sent.append(message)

    @asynccontextmanager
    async def admitted() -> AsyncIterator[Any]:
        yield lambda: asyncio.sleep(0)

    answer = SliceResponse(
        farm.node.store,
        record.key,
        record.agreed,
        0,
        SIZE,
        self_repairer=farm.node.self_repairer,
        executors=farm.node.executors,
        memory=nullcontext(),
        admission=admitted(),
        status=200,
        headers={},
    )
    await answer({"type": "http"}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]
    assert [message for message in caplog.messages if "broke off" in message]


async def test_the_parts_of_an_answer_are_not_all_held_at_once(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot may have millions of pieces, and somebody may ask for all of it many times at once."""
    slot = parcel()
    await farm.keep(slot)
    reads = 0

    def counted(*cut: int) -> Iterator[Part]:
        for ahead, part in enumerate(parts(*cut), start=1):
            assert ahead <= reads + 1
            yield part

    read = farm.node.store.read

    def noted(*args: Any) -> bytes:
        nonlocal reads
        reads += 1
        return read(*args)

    monkeypatch.setattr(data, "parts", counted)
    monkeypatch.setattr(farm.node.store, "read", noted)
    assert (await farm.get(slot)).content == slot.data
    assert reads == 3


async def test_who_asks_for_the_paths_of_many_slots_keeps_no_other_from_a_path(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One tree is made at a time, and those of large slots take long."""
    monkeypatch.setattr(paths, "MAX_IN_LINE_PER_RENTER", 2)
    greedy = [parcel(seed=seed) for seed in range(4)]
    other = parcel(seed=9, renter=Wallet(b"\x09" * 32))
    for slot in (*greedy, other):
        await farm.agree(slot)
    begun, may_go_on, make = asyncio.Event(), asyncio.Event(), farm.node.paths._make

    async def slowly(*args: Any) -> Any:
        begun.set()
        await may_go_on.wait()
        return await make(*args)

    monkeypatch.setattr(farm.node.paths, "_make", slowly)
    flood = [asyncio.create_task(farm.get(greedy[0], "/pieces/0/path"))]
    await begun.wait()
    flood += [asyncio.create_task(farm.get(slot, "/pieces/0/path")) for slot in (*greedy[1:], greedy[0])]
    honest = asyncio.create_task(farm.get(other, "/pieces/0/path"))
    # Only who is refused has an answer before the first tree is made.
    early = asyncio.as_completed(flood, timeout=60)
    assert [(await next(early)).status_code for _ in range(2)] == [429, 429]
    may_go_on.set()
    answers = [answer.status_code for answer in await asyncio.gather(*flood)]
    assert sorted(answers) == [200, 200, 200, 429, 429]
    assert (await honest).status_code == 200
