"""What a farmer says when it refuses: its words and the HTTP status that goes with each.

Anyone who asks goes by the word; the status is for what stands between. A farmer of another version may know
further words, so what comes in is a string that may be one of these.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Self


class ErrorCode(StrEnum):
    """The `error` of an error answer."""

    status: HTTPStatus

    def __new__(cls, code: str, status: int) -> Self:
        """A word with its status."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = HTTPStatus(status)
        return member

    MALFORMED = "malformed", 400
    UNAUTHORISED = "unauthorised", 401
    PAYMENT_NEEDED = "payment_needed", 402
    VAULT_TOO_SMALL = "vault_too_small", 402
    CLOSED_UNTIL_EPOCH = "closed_until_epoch", 403
    FOREIGN = "foreign", 403
    NOT_A_READER = "not_a_reader", 403
    RENTER_NOT_SERVED = "renter_not_served", 403
    NOT_FOUND = "not_found", 404
    METHOD_NOT_ALLOWED = "method_not_allowed", 405
    CONFLICT = "conflict", 409
    ALREADY_ACCEPTED = "already_accepted", 409
    STAKE_TOO_SMALL = "stake_too_small", 409
    TERMS_REFUSED = "terms_refused", 409
    LENGTH_MISSING = "length_missing", 411
    TOO_MUCH = "too_much", 413
    RANGE_INVALID = "range_invalid", 416
    ROOT_MISMATCH = "root_mismatch", 422
    LIMIT_REACHED = "limit_reached", 429
    HEADERS_TOO_LARGE = "headers_too_large", 431
    PIECE_DAMAGED = "piece_damaged", 500
    PIECE_MISSING = "piece_missing", 500
    STORE_FAILED = "store_failed", 500
    WORLD_FAILED = "world_failed", 500
    CHAIN_DOUBTFUL = "chain_doubtful", 503
    CHAIN_UNAVAILABLE = "chain_unavailable", 503
    TOO_MANY_CONNECTIONS = "too_many_connections", 503
    NO_ROOM = "no_room", 507
