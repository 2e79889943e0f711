"""What the commands that edit a drive have in common: asking, publishing, and saying what was done.

    async with open_drive(home, "main", writes=True) as drive:
        done = await EditRun(drive, options).publish(edit, question="Remove it?", facts=[...])

The small pack of an edit is kept for as long as one that `put` makes, so that no edit makes a drive end
sooner, and with the code of the drive's policy.
"""

from collections.abc import Mapping, Sequence
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
from grange_client.drive.views.history import SHORT_ID_CHARACTERS
from grange_client.drive_editing import MakeEdit, PublishedEdit, publish_edit
from grange_client.drive_session import PackOffer
from grange_client.drive_terms import TermChoice
from grange_client.orders.plan import StoreOptions

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
        self.device = device_name(options.device)
        self.spending = Spending(
            drive.renter,
            question=question,
            yes=options.yes or options.dry_run,
            max_spend=options.max_spend,
            facts=self._rows,
            quiet=options.as_json,
        )

    async def agree(self, offer: PackOffer) -> None:
        """Before a pack is sent. Raises OnlyLooked in a dry run, and as `Spending.agree`."""
        await self.spending.agree(offer)
        if self._options.dry_run:
            raise OnlyLooked(offer)

    def store_options(self) -> TermChoice:
        """How the pack of the edit is stored: as `put` would."""
        options = StoreOptions(epochs=self._options.epochs)
        return term_of(self.drive, options, most=self.spending.limit)

    async def publish(self, edit: MakeEdit, *, done: str, same: str, document: Mapping[str, Any]) -> None:
        """Make the edit, and say what was done, or `same` if the drive was like that already. `document` is
        what a program gets besides, as it is then."""
        try:
            published = await publish_edit(
                self.drive.session,
                edit,
                options=self.store_options(),
                device=self.device,
                max_spend=self.spending.limit,
                agree=self.agree,
            )
        except OnlyLooked as looked:
            self.say_dry(looked.offer, document)
            return
        if self._options.as_json:
            common.print_json({**document, **self._published_json(published)})
        elif published.commit is None:
            self._print(same)
        else:
            commit = id_of(published.commit.key).hex()[:SHORT_ID_CHARACTERS]
            merged = f" It merged {published.merged_heads} heads." if published.merged_heads else ""
            self._print(f"{done} Commit {commit}.{merged}{self.cost_text()}")

    def say_dry(self, offer: PackOffer, document: Mapping[str, Any]) -> None:
        """What a dry run ends with."""
        if self._options.as_json:
            cost = str(offer.quote.cost)
            common.print_json({**document, "dry_run": True, "cost": cost, "pack_bytes": offer.size_bytes})
        else:
            say("Nothing was changed: it was a dry run.")

    def cost_text(self) -> str:
        """A sentence on what was paid."""
        unit = self.drive.renter.market.unit
        return f" It cost {unit.rounded_up(self.spending.spent)}."

    async def _rows(self, offer: PackOffer) -> list[tuple[str, str]]:
        sent = f"a pack with {format_size(offer.size_bytes)} of names and keys"
        return [("drive", self.drive.name), *self._facts, ("stores", sent)]

    def _published_json(self, published: PublishedEdit) -> dict[str, Any]:
        return {
            "commit": id_of(published.commit.key).hex() if published.commit is not None else None,
            "merged_heads": published.merged_heads,
            "packs": [one.descriptor.pack.hex() for one in published.placed],
            "cost": str(self.spending.spent),
        }

    @staticmethod
    def _print(text: str) -> None:
        with alone():
            print_prose(common.out, text)


def shortened(text: str) -> str:
    """A text for a message, or for one line."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"


def listed_text(places: Sequence[str]) -> str:
    """The first of some places, and how many more."""
    more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
    return shortened(places[0]) + more
