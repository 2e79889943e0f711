"""What the commands that edit a drive have in common: asking, publishing, and saying what was done.

    async with open_drive(home, "main", writes=True) as drive:
        run = EditRun(drive, options, question="Remove it?", facts=[("removes", "main:/old")])
        await run.publish(edit, done="Removed.", same="Nothing was changed.", document={})

The small pack of an edit is kept for as long as one that `put` makes, so that no edit makes a drive end
sooner, and with the code of the drive's policy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from grange.cli.confirm import alone
from grange.cli.presenter import print_prose
from grange.units import format_size
from grange_client.cli.commands import common
from grange_client.cli.commands.open_drive import DriveOfCommand, device_name, say
from grange_client.cli.commands.spending import Spending
from grange_client.cli.commands.store_terms import term_of
from grange_client.drive.chunk import id_of
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import Record
from grange_client.drive.views.history import SHORT_ID_CHARACTERS
from grange_client.drive_editing import MakeEdit, publish_edit, publish_values
from grange_client.drive_session import PackOffer
from grange_client.drive_terms import TermChoice
from grange_client.orders.plan import StoreOptions
from grange_client.packs.placing import PlacedPack

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what it would do and cost, and change nothing.")
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, help="How long its pack is kept at least; as long as the drive's last if not given."),
]
Message = Annotated[
    str | None, typer.Option("--message", "-m", metavar="TEXT", help="What the log says of it.")
]
MAX_SHOWN_CHARACTERS = 200
MakeRecords = Callable[[DriveState], Sequence[Record]]


class OnlyLooked(Exception):
    """A dry run has come as far as it goes: `offer` is what would be paid."""

    def __init__(self, offer: PackOffer) -> None:
        super().__init__()
        self.offer = offer


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions:
    """What all commands that edit take."""

    epochs: int | None = None
    device: str | None = None
    max_spend: str | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


class EditRun:
    """One edit of a command: asked for, published, and told."""

    def __init__(
        self, drive: DriveOfCommand, options: EditOptions, *, question: str, facts: list[tuple[str, str]]
    ) -> None:
        """`facts` may still grow while the edit is made: they are shown when it is asked."""
        self.drive = drive
        self._options = options
        self._facts = facts
        self._device = device_name(options.device)
        self._spending = Spending(
            drive.renter,
            question=question,
            yes=options.yes or options.dry_run,
            max_spend=options.max_spend,
            facts=self._rows,
            quiet=options.as_json,
        )

    async def publish(self, edit: MakeEdit, *, done: str, same: str, document: Mapping[str, Any]) -> None:
        """Make the edit, and say what was done, or `same` if the drive was like that already. `document` is
        what a program gets besides, as it is then."""
        with self._ending_dry_runs(document):
            published = await publish_edit(
                self.drive.session,
                edit,
                options=self._store_options(),
                device=self._device,
                max_spend=self._spending.limit,
                agree=self._agree,
            )
            commit = published.commit
            commit_id = None if commit is None else id_of(commit.key).hex()
            merged = f" It merged {published.merged_heads} heads." if published.merged_heads else ""
            self._tell(
                same if commit_id is None else f"{done} Commit {commit_id[:SHORT_ID_CHARACTERS]}.{merged}",
                {**document, "commit": commit_id, "merged_heads": published.merged_heads},
                published.placed,
            )

    async def publish_values(self, records: MakeRecords, *, done: str, document: Mapping[str, Any]) -> None:
        """Publish records without a commit, and say what was done."""
        with self._ending_dry_runs(document):
            placed = await publish_values(
                self.drive.session,
                records,
                options=self._store_options(),
                device=self._device,
                max_spend=self._spending.limit,
                agree=self._agree,
            )
            self._tell(done, document, placed)

    async def _agree(self, offer: PackOffer) -> None:
        """Before a pack is sent. Raises OnlyLooked in a dry run, and as `Spending.agree`."""
        await self._spending.agree(offer)
        if self._options.dry_run:
            raise OnlyLooked(offer)

    def _store_options(self) -> TermChoice:
        """How the pack of the edit is stored: as `put` would."""
        options = StoreOptions(epochs=self._options.epochs)
        return term_of(self.drive, options, most=self._spending.limit)

    @contextmanager
    def _ending_dry_runs(self, document: Mapping[str, Any]) -> Iterator[None]:
        """Say what a dry run ends with, when it has come as far as it goes."""
        try:
            yield
        except OnlyLooked as looked:
            offer = looked.offer
            if self._options.as_json:
                cost = str(offer.quote.cost)
                common.print_json({**document, "dry_run": True, "cost": cost, "pack_bytes": offer.size_bytes})
            else:
                say("Nothing was changed: it was a dry run.")

    def _tell(self, said: str, document: Mapping[str, Any], placed: Sequence[PlacedPack]) -> None:
        """Say what was done, and what it cost if anything was placed."""
        if self._options.as_json:
            packs = [one.descriptor.pack.hex() for one in placed]
            common.print_json({**document, "packs": packs, "cost": str(self._spending.spent)})
            return
        paid = self.drive.renter.market.unit.rounded_up(self._spending.spent)
        with alone():
            print_prose(common.out, said + (f" It cost {paid}." if placed else ""))

    async def _rows(self, offer: PackOffer) -> list[tuple[str, str]]:
        sent = f"a pack with {format_size(offer.size_bytes)} of names and keys"
        return [("drive", self.drive.name), *self._facts, ("stores", sent)]


def shortened(text: str) -> str:
    """A text for a message, or for one line."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"


def listed_text(places: Sequence[str]) -> str:
    """The first of some places, and how many more."""
    more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
    return shortened(places[0]) + more
