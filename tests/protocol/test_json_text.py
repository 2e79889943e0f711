"""Whatever a text is, reading it as JSON gives a value or ValueError."""

import json
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.json_text import parse_json

TOO_DEEP = 220
TEXTS = (
    *("", "[", "[1e999]", "-1e999", "NaN", "[Infinity]", "9" * 5_000, "[" * 1_000_000, '{"a":' * 200_000),
    *("[" * TOO_DEEP + "]" * TOO_DEEP, '{"a":' * TOO_DEEP + "1" + "}" * TOO_DEEP),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:10])
def test_what_is_not_json_is_a_wrong_value(text: str) -> None:
    """Also what is nested so deeply that no stack is deep enough, and numbers without end."""
    for one in (text, text.encode()):
        with pytest.raises(ValueError, match=r"\w"):
            parse_json(one)


def test_no_limit_of_python_ends_the_process() -> None:
    """Libraries below web3 set it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        with pytest.raises(ValueError, match="recursion"):
            parse_json("[" * 1_000_000)
    finally:
        sys.setrecursionlimit(limit)


@given(st.binary())
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(ValueError):
        parse_json(data)


@given(JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert parse_json(json.dumps(value)) == value
