"""JSON out of a file or a request that anybody may have written: a value, or ValueError and nothing else.

`json.loads` has more ways out, and anyone who reads what may be damaged forgets them. For brackets in
brackets it raises RecursionError, or ends the process with a segmentation fault: a library below web3 raises
Python's limit further than the stack goes. Numbers like 1e999 become infinite and raise OverflowError where
somebody makes an integer of them.
"""

import math
from typing import Any

from pydantic_core import from_json


def parse_json(text: str | bytes) -> Any:
    """The value that a text is. Raises ValueError for what is not JSON, has numbers that are not finite, or
    is nested more than some 200 deep."""
    value = from_json(text, allow_inf_nan=False)
    _check_finite(value)
    return value


def _check_finite(value: Any) -> None:
    """Also of what is written in digits."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_finite(one)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number in it is too large")
