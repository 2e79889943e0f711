"""How long we wait for others, and how often we try.

Decides numbers only; every wait for a farmer is named here, so that a test can shrink them all.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits on waiting, in seconds where nothing else is said."""

    connect_seconds: float = 5.0
    info_seconds: float = 5.0
    silence_seconds: float = 20.0
    """A farmer that sends or takes nothing for so long is given up."""
    request_seconds: float = 120.0
    """One request as a whole, however steadily it flows."""
    tries: int = 3
    """How often a request is made before its farmer is given up."""
    pause_seconds: float = 0.25
    """Before the second try; doubled before each further one."""
    slow_floor_seconds: float = 3.0
    """While storing: nobody is called slow before this."""
    slow_factor: float = 8.0
    """While storing: slow is who needs so many times what half of the farmers needed for the same segment."""
    hedge_floor_seconds: float = 2.0
    """While fetching: no second farmer is asked before this."""
    hedge_factor: float = 4.0
    """While fetching: a second farmer is asked after so many times the usual wait."""
    request_life_seconds: int = 120
    """How long a signed request is good. Farmers refuse what is good for more than 300."""
