"""What to say when too few of an order's farmers give what they keep, and what to do about it. Pure."""

from collections.abc import Sequence
from http import HTTPStatus

from grange.errors import UserError
from grange.layout import Geometry
from grange.peer import FarmerLied, FarmerRefused
from grange.token_unit import TokenUnit
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.sources import Source
from grange.units import format_count
from grange.wire.codes import ErrorCode
from grange_client.downloads.cost import too_small
from grange_client.downloads.holders import RANSOM_CODE
from grange_client.errors import PAY_WHAT_THEY_ASK, NotEnoughMoney


def too_few(
    geometry: Geometry, sources: Sequence[Source], have: int, unit: TokenUnit
) -> NotEnoughFarmers | NotEnoughMoney:
    """The error for an order of which only `have` slots could be read."""
    k, n, missing = geometry.k, geometry.n, geometry.k - have
    # With how much more in our vault enough of them would answer: not the word of one of them.
    asked = sorted(amount for source in sources if (amount := _missing(source.failure)))
    if len(asked) >= missing:
        return too_small(asked[max(0, missing - 1)], unit)
    answered = [str(source.farmer) for source in sources if not source.failure]
    gone = sum(_is_gone(source.failure) for source in sources)
    if n - gone >= k:
        means = (
            f"These answer: {', '.join(answered) or 'none'}. "
            f"If {missing} of the others come back, everything is there."
        )
        todo = "Try again later; `grange orders health` shows which farmers still prove what they keep."
    else:
        means = f"{gone} of its farmers answer and do not have it, or send wrong bytes: it seems to be lost."
        todo = "Store it again from another copy; `grange orders health` shows what its farmers still prove."
    if any(_is_ransom(source.failure) for source in sources):
        todo += f" {PAY_WHAT_THEY_ASK}"
    return NotEnoughFarmers(
        f"{len(answered)} of {format_count(n, 'farmer')} answer, and {k} are needed: {missing} more.",
        failures={f"farmer {source.farmer}": source.failure.message for source in sources if source.failure},
        missing=missing,
        detail=means,
        hint=todo,
    )


def _is_gone(failure: UserError | None) -> bool:
    """Whether a farmer that answers does not have what it should, so that waiting for it does not help."""
    is_unknown = isinstance(failure, FarmerRefused) and failure.status == HTTPStatus.NOT_FOUND
    return is_unknown or isinstance(failure, FarmerLied)


def _is_ransom(failure: UserError | None) -> bool:
    return isinstance(failure, FarmerRefused) and failure.code == RANSOM_CODE


def _missing(failure: UserError | None) -> int:
    """By how much our vault is too small, if that is why a farmer refuses."""
    if not isinstance(failure, FarmerRefused) or failure.code != ErrorCode.VAULT_TOO_SMALL:
        return 0
    missing = failure.values.get("missing")
    return missing if isinstance(missing, int) and missing > 0 else 1
