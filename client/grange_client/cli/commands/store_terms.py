"""How the packs of a command are stored: as its options say, and else as the drive's policy does.

    options = term_of(drive, StoreOptions(), most=spending.limit)
    async with drive.session.writing(options, ...) as writer: ...

So a backup, an edit and `keep` store alike, and nobody types each day what the policy says.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from grange_client.cli.commands.open_drive import DriveOfCommand
from grange_client.drive_terms import TermChoice, none_to_come
from grange_client.keep.policy import KeepPolicy, read_policy
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter


def term_of(
    drive: DriveOfCommand,
    options: StoreOptions,
    *,
    most: int | None,
    packs_to_come: Callable[[], Awaitable[int]] = none_to_come,
    policy: KeepPolicy | None = None,
) -> TermChoice:
    """What chooses code and term. `most` base units may be laid out, if anybody said so; the policy is the
    drive's own if none is given."""
    return term_by_policy(
        drive.renter,
        read_policy(drive.state.values).policy if policy is None else policy,
        options,
        most=most,
        packs_to_come=packs_to_come,
    )


def term_by_policy(
    renter: Renter,
    policy: KeepPolicy,
    options: StoreOptions,
    *,
    most: int | None,
    packs_to_come: Callable[[], Awaitable[int]] = none_to_come,
) -> TermChoice:
    """The same for a drive that the command did not open itself."""
    if policy.code is not None and options.k is None and options.n is None:
        options = replace(options, k=policy.code[0], n=policy.code[1])
    return TermChoice(
        renter=renter,
        options=options,
        most=most,
        longest_epochs=policy.term_epochs,
        budget=policy.budget,
        packs_to_come=packs_to_come,
    )
