"""Errors of libraries below us, in words for a person: no class names, no URLs.

describe_http_error(error)    why an HTTP request did not get an answer
describe_invalid(error)       what is wrong with a file that was read into a model
"""

import os
import socket

import aiohttp
from pydantic import ValidationError


def describe_http_error(error: aiohttp.ClientError | OSError) -> str:
    """Why there was no answer, as the end of a sentence. Never names the URL: it may hold a key."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    match cause:
        case socket.gaierror():
            return "its name is not known"
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return "its certificate is not valid"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError() | BrokenPipeError():
            return "it closed the connection"
        case aiohttp.ClientPayloadError():
            return "its answer broke off"
        case aiohttp.InvalidURL():
            return "its address is not a URL"
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
    return "no connection"


def describe_invalid(error: ValidationError, prefix: str = "") -> str:
    """Every field that is wrong and how, on one line: "market: 'abc' is not an address".

    `prefix` stands before each name.
    """
    return "; ".join(
        f"{prefix}{'.'.join(map(str, problem['loc']))}: {text}" if problem["loc"] else text
        for problem in error.errors()
        for text in [problem["msg"].removeprefix("Value error, ")]
    )
