"""How long one request to a farmer may take, and how long its signature stays valid."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerTimeouts:
    """Limits on one request, in seconds. What follows when they pass is `grange.transfer.retry`'s."""

    connect_seconds: float = 5.0
    info_seconds: float = 5.0
    silence_seconds: float = 20.0
    """A farmer that sends or takes nothing for so long does not answer."""
    request_seconds: float = 120.0
    """One request as a whole, however steadily it flows."""
    wallet_pause_seconds: float = 2.0
    """Between two requests for the same, while a farmer redeems a contract wallet's vouchers,"""
    wallet_waits: int = 60
    """and so many of these pauses before it is given up."""
    request_life_seconds: int = 120
    """How long the signature of a request stays valid. Farmers refuse one that is valid for more than 300."""
