"""What can be asked of a farmer: the paths of its HTTP interface, as templates and filled in."""

from typing import Final

from grange.types import Address, OrderId

OPENAPI: Final = "/openapi.json"
INFO: Final = "/v1/info"
ACCOUNT: Final = "/v1/account"
ORDER: Final = "/v1/orders/{order}"
SLOT: Final = ORDER + "/slots/{slot}"
ACCEPT: Final = SLOT + "/accept"
PIECES: Final = SLOT + "/pieces"
PIECE: Final = PIECES + "/{piece}"
PIECE_PATH: Final = PIECE + "/path"

ACCOUNT_QUERY: Final = "account"
"""Names the account on whose behalf a delegate asks. It is part of what is signed."""

CALLS: Final = (
    ("GET", INFO),
    ("GET", ACCOUNT),
    ("GET", ORDER),
    ("PUT", PIECE),
    ("POST", ACCEPT),
    ("GET", SLOT),
    ("GET", PIECES),
    ("GET", PIECE_PATH),
    ("DELETE", SLOT),
)
"""Method and path of all that a farmer answers; its description at OPENAPI and docs/protocol.md list the
same."""


def on_behalf(path: str, account: Address) -> str:
    """The path of a request that a delegate makes for an account."""
    return f"{path}{'&' if '?' in path else '?'}{ACCOUNT_QUERY}={account}"


def order_path(order: OrderId) -> str:
    """All slots of an order."""
    return ORDER.format(order=order.hex())


def slot_path(order: OrderId, slot: int) -> str:
    """A slot's bytes."""
    return SLOT.format(order=order.hex(), slot=slot)


def accept_path(order: OrderId, slot: int) -> str:
    """Where an acceptance is asked for."""
    return ACCEPT.format(order=order.hex(), slot=slot)


def listing_path(order: OrderId, slot: int, first: int) -> str:
    """The list of a slot's pieces from index `first` on, with its query."""
    return f"{PIECES.format(order=order.hex(), slot=slot)}?from={first}"


def piece_path(order: OrderId, slot: int, piece: int) -> str:
    """Where a piece is put."""
    return PIECE.format(order=order.hex(), slot=slot, piece=piece)


def proof_path(order: OrderId, slot: int, piece: int) -> str:
    """The Merkle path of a piece."""
    return PIECE_PATH.format(order=order.hex(), slot=slot, piece=piece)
