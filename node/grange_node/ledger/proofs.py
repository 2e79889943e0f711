"""The proofs of the ledger: those that are on their way, and what was proven, missed and earned."""

from __future__ import annotations

import sqlite3

from grange.types import Epoch
from grange_node.ledger.tables import Tables
from grange_node.records import Earnings


class ProofTable(Tables):
    """Attempts to prove, and what the chain made of them."""

    def note_attempt(self, epoch: Epoch, block: int) -> None:
        """Record that a proof is about to be sent, seen from `block`."""

        def change(write: sqlite3.Connection) -> None:
            write.execute("INSERT OR REPLACE INTO attempts (epoch, block) VALUES (?, ?)", (epoch, block))
            write.execute("DELETE FROM attempts WHERE epoch < ?", (epoch,))

        self._note(change)

    def forget_attempt(self, epoch: Epoch) -> None:
        """The proof that was to be sent was refused: nothing of it is on its way."""
        self._note(lambda write: write.execute("DELETE FROM attempts WHERE epoch = ?", (epoch,)))

    def attempt_block(self, epoch: Epoch) -> int | None:
        """The block from which a proof of this epoch was last sent."""
        rows = self._read("SELECT block FROM attempts WHERE epoch = ?", (epoch,))
        return int(rows[0][0]) if rows else None

    def earnings(self) -> Earnings:
        """Proven and missed epochs, and what was paid, as far as the chain was read."""
        proofs = self._read("SELECT epoch, amount FROM proofs ORDER BY epoch", ())
        misses = self._read("SELECT first, last FROM misses", ())
        return Earnings(
            proven_epochs=len(proofs),
            missed_epochs=sum(last - first + 1 for first, last in misses),
            earned=sum(int(amount) for _, amount in proofs),
            last_proven_epoch=Epoch(proofs[-1][0]) if proofs else None,
        )
