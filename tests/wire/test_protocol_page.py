"""docs/protocol.md, section 5, says what `grange.wire` says."""

import re
from pathlib import Path

import pytest

from grange.wire import limits, paths
from grange.wire.bodies import (
    AcceptanceAnswer,
    ExtendRequest,
    HandOverRequest,
    HeldSlot,
    MandateRequest,
    PlaceRequest,
    TakeOverRequest,
)
from grange.wire.codes import ErrorCode

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text().split("\n## 5. ")[1]


def test_every_call_is_in_the_table_and_no_other() -> None:
    told = re.findall(r"^\| `([A-Z]+) (/[^`]*)` \|", PAGE, re.MULTILINE)
    assert {(method, "/v1" + path) for method, path in told} == set(paths.CALLS)


def test_every_code_stands_beside_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    told = {(word, int(status)) for status, words in rows for word in re.findall(r"`(\w+)`", words)}
    assert told == {(code.value, int(code.status)) for code in ErrorCode}


@pytest.mark.parametrize("use", ["place", "extend", "mandate", "take_over", "hand_over"])
def test_the_fields_of_each_request_are_named(use: str) -> None:
    shapes = {
        "place": PlaceRequest,
        "extend": ExtendRequest,
        "mandate": MandateRequest,
        "take_over": TakeOverRequest,
        "hand_over": HandOverRequest,
    }
    [row] = [line for line in PAGE.splitlines() if f'`"{use}"`' in line and line.startswith("|")]
    named = set(re.findall(r"`(\w+)`", row.split("|")[2]))
    fields = set(shapes[use].model_fields)
    if use == "extend":
        fields = {"use", "previous"}
    if use == "hand_over":
        fields = {"use"}
    if use == "take_over":
        fields |= {field.alias or name for name, field in HeldSlot.model_fields.items()}
    assert named == fields
    if use == "place":
        assert set(re.findall(r"`(\w+)`", row.split("|")[3])) == set(AcceptanceAnswer.model_fields)


def test_limits_are_those_of_the_code() -> None:
    assert f"({limits.STEP_BYTES:,} bytes)" in PAGE
    assert f"the first {limits.LISTED_INDICES} pieces" in PAGE
    assert f"at most {limits.MAX_REQUEST_LIFE_SECONDS} seconds ahead" in PAGE
    assert limits.MAX_REQUEST_BODY_BYTES == limits.MAX_HEAD_BYTES == 32 * 1024
    assert "A body in JSON has at most 32 KiB" in PAGE
    assert f"take more than 32 KiB, or there are more than {limits.MAX_HEADERS} headers" in PAGE
