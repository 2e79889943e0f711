"""The farmer's HTTP interface as OpenAPI describes it, for tools that read that: at /openapi.json.

Made out of the routes and of `grange.wire` when it is first asked for, and kept as bytes. Anyone who asks
gets it for nothing, so how often is limited. Decides what each route may refuse (`refusals`).
"""

import json
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from grange.wire import paths
from grange.wire.bodies import ACCEPTANCE_REQUEST, ErrorAnswer, StoredPiece
from grange.wire.codes import ErrorCode
from grange_node.api.routes.common import network_asking
from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import Allowance

REQUESTS_IN_A_ROW: Final = 100
REQUESTS_PER_SECOND: Final = 2.0
"""Of all together; each network has a share. One answer has some 40 KiB."""
REQUEST_SCHEMA: Final = "AcceptanceRequest"
_ALWAYS: Final = (
    ErrorCode.MALFORMED,
    ErrorCode.LIMIT_REACHED,
    ErrorCode.HEADERS_TOO_LARGE,
    ErrorCode.STORE_FAILED,
    ErrorCode.WORLD_FAILED,
    ErrorCode.TOO_MANY_CONNECTIONS,
)
_PLACE: Final = "#/components/schemas/"
_BYTES: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
Schema = dict[str, Any]


def refusals(*codes: ErrorCode) -> dict[int | str, Schema]:
    """What a route answers besides success, by status: these, and what every route may."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in sorted({*codes, *_ALWAYS}):
        by_status[int(code.status)].append(code.value)
    return {
        status: {
            "description": ", ".join(words),
            "content": {
                "application/json": {
                    "schema": {
                        "allOf": [{"$ref": _PLACE + ErrorAnswer.__name__}],
                        "properties": {"error": {"enum": words}},
                    }
                }
            },
        }
        for status, words in by_status.items()
    }


def json_body(schema: str) -> Schema:
    """That a route takes JSON which it reads itself, when it knows from whom."""
    return {"requestBody": {"required": True, "content": _json(schema)}}


def byte_body() -> Schema:
    """That a route takes bytes."""
    return {"requestBody": {"required": True, "content": _BYTES}}


def byte_answer(description: str) -> Schema:
    """That a route answers with bytes."""
    return {"description": description, "content": _BYTES}


def json_answer(schema: str, description: str) -> Schema:
    """That a route which FastAPI does not touch answers with JSON."""
    return {"description": description, "content": _json(schema)}


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": {"$ref": _PLACE + schema}}}


def describe(app: FastAPI) -> Schema:
    """The whole description."""
    found = get_openapi(
        title=app.title,
        version=version("grange"),
        summary="One farmer of a Grange market: docs/protocol.md, section 5.",
        routes=app.routes,
    )
    schemas = found["components"]["schemas"]
    # What FastAPI says of requests that it refuses; ours look otherwise, and are in `refusals`.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in found["paths"].values():
        for operation in operations.values():
            answer = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(answer.get("content")):
                del operation["responses"]["422"]
    requests = ACCEPTANCE_REQUEST.json_schema(mode="serialization", ref_template=_PLACE + "{model}")
    schemas |= requests.pop("$defs")
    schemas[REQUEST_SCHEMA] = requests
    for shape in (ErrorAnswer, StoredPiece):
        schemas[shape.__name__] = shape.model_json_schema(mode="serialization")
    return found


def publish(app: FastAPI, steady: Callable[[], float]) -> None:
    """Have the description answered. `steady` gives seconds."""
    allowance = Allowance(REQUESTS_IN_A_ROW, REQUESTS_PER_SECOND, steady)
    made: list[bytes] = []

    async def openapi(request: Request) -> Response:
        if not allowance.may_use(network_asking(request)):
            raise TooBusy("this description is asked for too often; it changes with the program only")
        if not made:
            made.append(json.dumps(describe(app), separators=(",", ":")).encode())
        return Response(
            made[0], media_type="application/json", headers={"cache-control": "public, max-age=3600"}
        )

    app.router.add_route(paths.OPENAPI, openapi, methods=["GET"], include_in_schema=False)
