"""Errors as answers, here and nowhere else: `{"error": code, "message": sentence, "detail": {...}}`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from grange.wire.bodies import ErrorAnswer, format_body
from grange.wire.codes import ErrorCode
from grange.wire.limits import MAX_MESSAGE_CHARACTERS
from grange_node.errors import NodeMisuse, NodeWorldError, RangeInvalid, Refusal, TooMuch
from grange_node.limits.log_seldom import LogSeldom

MAX_DISCARDED_DIGITS: Final = 7
"""A refused body of up to ten million bytes is read to its end."""
MAX_PROBLEMS_SHOWN: Final = 20
MAX_PLACE_CHARACTERS: Final = 200
"""Names of fields are the sender's own words."""
_OF_STATUS: Final[dict[int, ErrorCode]] = {
    code.status: code for code in (ErrorCode.NOT_FOUND, ErrorCode.METHOD_NOT_ALLOWED, ErrorCode.MALFORMED)
}
"""What Starlette and FastAPI refuse by themselves."""

log = logging.getLogger("grange.farm")


def add_error_handlers(app: FastAPI, steady: Callable[[], float]) -> None:
    """Have all errors answered. `steady` gives seconds, and is for logging less of what comes often."""
    log_seldom = LogSeldom(log, steady)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, NodeWorldError)
        # Strangers can bring some of these about as often as they like: a full farm is one.
        log_seldom.warn(error.code, f"{request.method} {request.url.path}: {error}")
        return error_response(error.code, error.message, error.values)

    app.add_exception_handler(NodeWorldError, failed)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(NodeMisuse, _ending)
    app.add_exception_handler(Exception, _broken)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _elsewhere)


def error_response(
    code: ErrorCode,
    message: str,
    detail: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as it is answered."""
    answer = ErrorAnswer(error=code, message=message[:MAX_MESSAGE_CHARACTERS], detail=dict(detail or {}))
    return Response(
        format_body(answer), status_code=code.status, headers=headers, media_type="application/json"
    )


def problems_of(errors: Sequence[Any]) -> list[dict[str, str]]:
    """What pydantic found wrong, as `detail.problems` tells it."""
    return [
        {
            "where": ".".join(str(part) for part in problem["loc"])[:MAX_PLACE_CHARACTERS],
            "what": problem["msg"],
        }
        for problem in errors[:MAX_PROBLEMS_SHOWN]
    ]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers: dict[str, str] = {}
    if isinstance(error, TooMuch) and len(request.headers.get("content-length", "")) > MAX_DISCARDED_DIGITS:
        # What was refused unread is still on its way. A little of it is read and thrown away, so that the
        # sender gets to see this answer; of more than that we take no more.
        headers["connection"] = "close"
    if isinstance(error, RangeInvalid) and "slot_bytes" in error.values:
        headers["content-range"] = f"bytes */{error.values['slot_bytes']}"
    return error_response(error.code, error.message, error.values, headers)


async def _ending(request: Request, error: Exception) -> Response:
    """The ledger is damaged: the loops end the node with what the operator has to hear."""
    log.error("%s %s: %s", request.method, request.url.path, error)
    return _world_failed()


async def _broken(request: Request, error: Exception) -> Response:
    """A bug, whose traceback the server logs."""
    return _world_failed()


def _world_failed() -> Response:
    return error_response(ErrorCode.WORLD_FAILED, "the farmer failed to answer this")


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    detail = {"problems": problems_of(error.errors())}
    return error_response(ErrorCode.MALFORMED, "the request cannot be read", detail)


async def _elsewhere(request: Request, error: Exception) -> Response:
    """No such path, or another method than it has."""
    assert isinstance(error, HTTPException)
    code = _OF_STATUS.get(error.status_code, ErrorCode.MALFORMED)
    return error_response(code, "there is nothing here for such a request", headers=error.headers)
