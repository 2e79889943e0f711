"""Bodies: what is taken of a stranger's JSON, and what is not."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from grange.types import Epoch, FarmerId, Held, OrderId, Slot, address_from
from grange.units import MAX_SLOTS
from grange.wire.bodies import (
    Account,
    ErrorAnswer,
    ExtendRequest,
    HandOverRequest,
    Info,
    Listing,
    PlaceRequest,
    TakeOverRequest,
    format_body,
    parse_acceptance_request,
    parse_answer,
)
from grange.wire.codes import ErrorCode
from grange.wire.limits import MAX_ANSWER_BYTES, MAX_REQUEST_BODY_BYTES

ORDER = OrderId(b"\x07" * 32)
REPAIRER = address_from(b"\x0a" * 20)
PLACE = PlaceRequest(
    salt=b"\x01" * 32, k=2, pieces=3, piece_leaves=4, root=b"\x02" * 32, rate=5, end=Epoch(6)
)
HELD = Held(
    order=ORDER,
    leaf_count=8,
    piece_leaves=4,
    slots=tuple(
        Slot(
            farmer=FarmerId((1 << 32) - 1),
            root=b"\x03" * 32,
            rate=(1 << 80) - 1,
            max_egress_price_per_gib=(1 << 80) - 1,
            start=Epoch((1 << 32) - 1),
        )
        for _ in range(MAX_SLOTS)
    ),
)
TAKE_OVER = TakeOverRequest.showing(HELD, REPAIRER)
HAND_OVER = HandOverRequest.showing(HELD)
EXTEND = ExtendRequest(**PLACE.model_dump(exclude={"use"}), previous=ORDER)


@pytest.mark.parametrize(
    "request_body",
    [PLACE, EXTEND, TAKE_OVER, HAND_OVER],
    ids=["place", "extend", "take over", "hand over"],
)
def test_a_request_is_read_as_it_was_written(request_body: Any) -> None:
    assert parse_acceptance_request(format_body(request_body)) == request_body


def test_the_largest_order_shown_has_half_a_bodys_bytes() -> None:
    assert len(format_body(TAKE_OVER)) <= MAX_REQUEST_BODY_BYTES // 2
    assert TAKE_OVER.held(ORDER) == HAND_OVER.held(ORDER) == HELD


def test_requests_look_like_this_on_the_wire() -> None:
    assert json.loads(format_body(EXTEND)) == {
        "use": "extend",
        "salt": "01" * 32,
        "k": 2,
        "pieces": 3,
        "piece_leaves": 4,
        "root": "02" * 32,
        "rate": 5,
        "end": 6,
        "previous": "07" * 32,
    }
    shown = json.loads(format_body(TAKE_OVER))["slots"][0]
    assert shown == {
        "farmer": 2**32 - 1,
        "root": "03" * 32,
        "rate": 2**80 - 1,
        "max_egress_price_per_gib": 2**80 - 1,
        "from": 2**32 - 1,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "borrow"},
        {"use": None},
        {"use": "extend"},
        {"repairer": REPAIRER},
        {"previous": "07" * 32},
        {"k": 0},
        {"k": "2"},
        {"k": 2.0},
        {"k": True},
        {"k": MAX_SLOTS + 1},
        {"rate": 1 << 80},
        {"end": 0},
        {"end": 1 << 32},
        {"root": "02" * 31},
        {"root": "0x" + "02" * 31},
        {"root": "0x" + "02" * 32},
        {"root": "02" * 31 + " 2"},
        {"salt": None},
    ],
)
def test_a_request_that_does_not_fit_is_refused_whole(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parse_acceptance_request(json.dumps(json.loads(format_body(PLACE)) | changes).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"k": 1e999}', b'{"k": NaN}'])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    for parse in (parse_acceptance_request, lambda text: parse_answer(ErrorAnswer, text)):
        with pytest.raises(ValueError):  # noqa: PT011 - of what kind is all that is known
            parse(text)


def test_no_infinite_number_hides_in_the_detail_of_an_error() -> None:
    text = b'{"error": "unauthorised", "message": "", "detail": {"now": 1' + b"0" * 400 + b".0}}"
    with pytest.raises(ValueError, match="too large"):
        parse_answer(ErrorAnswer, text)


def test_an_answer_may_say_more_than_is_known_here() -> None:
    info = b'{"farmer": 1, "chain_id": 1, "market": "%s", "free_bytes": 5, "mood": "good"}'
    assert parse_answer(Info, info % REPAIRER.encode()).free_bytes == 5


def test_the_longest_page_of_pieces_fits_an_answer() -> None:
    roots = {(1 << 22) - 1 - index: bytes(32) for index in range(1000)}
    page = Listing(roots=roots, count=1 << 22)
    assert len(format_body(page)) <= MAX_ANSWER_BYTES
    assert parse_answer(Listing, format_body(page)) == page


@pytest.mark.parametrize("index", ["-1", " 1", "+1", "1_0", "1.0", "\u0661", "4194304", "9" * 30])
def test_an_index_is_written_in_decimal_digits(index: str) -> None:
    with pytest.raises(ValidationError):
        parse_answer(Listing, json.dumps({"roots": {index: "00" * 32}, "count": 1}).encode())


@pytest.mark.parametrize(
    ("length", "is_one"), [(63, False), (64, True), (65, True), (1024, True), (1025, False)]
)
def test_a_vouchers_signature_is_a_keys_or_a_contract_wallets(length: int, is_one: bool) -> None:
    body = json.dumps({"spent": 0, "cumulative": 1, "signature": "ab" * length}).encode()
    if is_one:
        assert parse_answer(Account, body).signature == b"\xab" * length
    else:
        with pytest.raises(ValidationError):
            parse_answer(Account, body)


def test_amounts_have_256_bits() -> None:
    fields = {"spent": 0, "signature": "00" * 64}
    body = json.dumps({**fields, "cumulative": (1 << 256) - 1}).encode()
    assert parse_answer(Account, body).cumulative == (1 << 256) - 1
    with pytest.raises(ValidationError):
        parse_answer(Account, json.dumps({**fields, "cumulative": 1 << 256}).encode())


def test_a_code_is_its_word_and_knows_its_status() -> None:
    assert ErrorCode.NO_ROOM == "no_room"
    assert f"{ErrorCode.NO_ROOM}" == "no_room"
    assert ErrorCode("no_room").status == 507
    assert format_body(ErrorAnswer(error=ErrorCode.NO_ROOM, message="")).startswith(b'{"error":"no_room"')
