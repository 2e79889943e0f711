"""What our allow and deny lists say of farmers. Pure.

Anyone can register a farmer with somebody else's address as its owner, but not with somebody else's key as
its operator. So a farmer is allowed by its id or its operator, and denied by its owner as well.
"""

from grange.allow_lists import AllowLists
from grange.chain import Farmer


def refusal_of(lists: AllowLists, farmer: Farmer) -> str:
    """Why a farmer gets nothing of ours, in words that follow a subject; empty if it may."""
    return AllowLists(denied=lists.denied).refusal(farmer.owner) or lists.refusal(farmer.id, farmer.operator)


def is_friend(lists: AllowLists, farmer: Farmer) -> bool:
    """Whether a farmer is on the allow list, and not denied."""
    return lists.is_allowed(farmer.id, farmer.operator) and not lists.is_denied(farmer.owner)


def is_denied(lists: AllowLists, farmer: Farmer) -> bool:
    """Whether a farmer is on the deny list."""
    return lists.is_denied(farmer.id, farmer.operator, farmer.owner)


def name_of(lists: AllowLists, farmer: Farmer) -> str:
    """How we call a farmer; empty if we have no name for it."""
    return lists.name_of(farmer.id, farmer.operator)
