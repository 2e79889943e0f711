"""When an order is extended by mandate without some of its farmers: a rule for all who do it.

    while it can be extended        with all of its farmers
    second half of that time        without those who said no or have lapsed, once nobody is silent;
                                    without silent ones, too, when waiting for them endangers the order

Waiting costs an order nothing as long as few are missing: what is left out is offered to others only in the
epoch before the extension begins. A farmer that is silent for longer than it may miss lapses, and loses the
slot anyhow. The market allows more: any of the farmers may be left out in the second half.
"""


def half_epochs(grid_epochs: int) -> int:
    """For how long before its end an order may be extended without some of its farmers, by the market."""
    return (grid_epochs + 1) // 2


def waiting_epochs(grid_epochs: int, max_misses: int) -> int:
    """For how much of that silent farmers are waited for at most: until they have lapsed, but never for more
    than half of it."""
    return min(max_misses + 1, half_epochs(grid_epochs) // 2)


def may_leave_out(
    *, missing: int, silent: int, most: int, left_epochs: int, grid_epochs: int, max_misses: int
) -> bool:
    """Whether an order is extended now, with so many of its farmers missing.

    `silent` of them did not answer, and may be back; the others said no, have lapsed, or there are none. The
    market allows `most` to be missing; with more than half of them an order is in danger, and is extended
    with those that are there. It ends in `left_epochs`.
    """
    half = half_epochs(grid_epochs)
    if not missing:
        return True
    if missing > most or left_epochs > half:
        return False
    has_waited = left_epochs <= half - waiting_epochs(grid_epochs, max_misses)
    return not silent or 2 * missing > most or has_waited
