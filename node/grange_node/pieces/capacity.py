"""How many bytes are spoken for: in all, and before anything is paid, by all renters and by each.

Arithmetic over what store and ledger hold, kept in memory and counted again at each start. Decided here:
when capacity, the part of it that may wait for payment, or a renter's share is used up. The disk's own
free space is the store's business, and how many slots and pieces may wait `waiting`'s.
"""

from __future__ import annotations

from collections import defaultdict

from grange.types import Address
from grange_node.errors import StorageFull, TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import UNKNOWN, Network
from grange_node.pieces.waiting import SHARE_WEIGHT, Waiting
from grange_node.slot_key import SlotKey


class Capacity:
    """Bytes by slot. `unplaced` slots, staged or accepted, count against two further limits.

    An extension has the bytes of the slot that it prolongs: they count once, for that one while it is here.
    Where they were copied, since the file system cannot share them, each counts for itself. What is unplaced
    counts for the network from which it was first sent, too, and each has a share (`fair_shares`). Of what
    was here before this process that network is not known.
    """

    def __init__(self, *, capacity_bytes: int, unplaced_bytes: int, unplaced_bytes_per_renter: int) -> None:
        """The capacity is what the farmer's offer says; the others are limits on what is not placed."""
        self.capacity_bytes = capacity_bytes
        self.unplaced_bytes_per_renter = unplaced_bytes_per_renter
        self.used_bytes = 0
        self._shared_bytes = FairShares(unplaced_bytes, SHARE_WEIGHT)
        self._networks: dict[SlotKey, Network] = {}
        """Of what is unplaced."""
        self._bytes: dict[SlotKey, int] = {}
        self._pieces: dict[SlotKey, int] = {}
        self._placed: set[SlotKey] = set()
        self._lenders: dict[SlotKey, SlotKey] = {}
        self._unplaced_by_renter: defaultdict[Address, int] = defaultdict(int)
        self._waiting = Waiting(max_bytes=unplaced_bytes, max_bytes_per_renter=unplaced_bytes_per_renter)

    @property
    def all_unplaced_bytes(self) -> int:
        """What waits here of all."""
        return round(self._shared_bytes.total)

    def claim(self, key: SlotKey, size_bytes: int, *, pieces: int, network: Network) -> None:
        """Speak for pieces that are about to arrive from a network, of so many bytes together.

        Raises StorageFull when the capacity is used up, TooBusy when the renter, its network, or all
        together, have too much here that is not placed.
        """
        network = self._networks.get(key, network)
        if self.used_bytes + size_bytes > self.capacity_bytes:
            raise StorageFull(
                "the capacity on offer is used up",
                used_bytes=self.used_bytes,
                capacity_bytes=self.capacity_bytes,
            )
        if not self._shared_bytes.may_take(network, size_bytes):
            raise TooBusy(
                "too many bytes of all renters, or of your network, wait here that are not placed yet; "
                "try again later",
                unplaced_bytes=self.all_unplaced_bytes,
                limit_bytes=self._shared_bytes.limit,
            )
        unplaced = self.unplaced_bytes(key.renter) + size_bytes
        if unplaced > self.unplaced_bytes_per_renter:
            raise TooBusy(
                "too many bytes wait here that are not placed yet; place or delete some",
                unplaced_bytes=unplaced - size_bytes,
                limit_bytes=self.unplaced_bytes_per_renter,
            )
        self._waiting.require(key, network, pieces)
        self.add(key, size_bytes, pieces=pieces, network=network)

    def add(self, key: SlotKey, size_bytes: int, *, pieces: int, network: Network = UNKNOWN) -> None:
        """Count what is here whatever the limits say; negative numbers give a claim back."""
        if key not in self._placed:
            network = self._networks.setdefault(key, network)
            self._waiting.add(key, network, pieces)
        self._bytes[key] = self._bytes.get(key, 0) + size_bytes
        self._pieces[key] = self._pieces.get(key, 0) + pieces
        self.used_bytes += size_bytes
        if key not in self._placed:
            self._count_unplaced(key, size_bytes)

    def share(self, key: SlotKey, lender: SlotKey, size_bytes: int, *, network: Network = UNKNOWN) -> None:
        """Note a slot whose bytes are those of another, which is here; its own claim is given back."""
        if key not in self._lenders:
            self.add(key, -self.bytes_of(key), pieces=0, network=network)
        self._bytes[key] = size_bytes
        self._lenders[key] = lender

    def set_placed(self, key: SlotKey, placed: bool) -> None:
        """The chain placed the slot, or took that back."""
        size_bytes = self._bytes.setdefault(key, 0)
        if placed == (key in self._placed):
            return
        if key in self._lenders:
            size_bytes = 0
        if placed:
            self._waiting.take(key)
            self._placed.add(key)
            self._count_unplaced(key, -size_bytes)
            self._networks.pop(key, None)
        else:
            self._placed.remove(key)
            # Anyone who sends more of it now must not count for what others sent before.
            self._networks.setdefault(key, UNKNOWN)
            self._waiting.add(key, UNKNOWN, self._pieces.get(key, 0))
            self._count_unplaced(key, size_bytes)

    def forget(self, key: SlotKey) -> None:
        """The slot is gone."""
        self._waiting.take(key)
        size_bytes = self._bytes.pop(key, 0)
        self._pieces.pop(key, None)
        was_placed = key in self._placed
        self._placed.discard(key)
        lender = self._lenders.pop(key, None)
        if lender is None:
            self.used_bytes -= size_bytes
            if not was_placed:
                self._count_unplaced(key, -size_bytes)
        self._networks.pop(key, None)
        for borrower in [one for one, whose in self._lenders.items() if whose == key]:
            if lender is not None:
                self._lenders[borrower] = lender
                continue
            # It keeps the bytes from now on, and lends them to the others.
            del self._lenders[borrower]
            lender = borrower
            self._count(borrower)

    def knows(self, key: SlotKey) -> bool:
        """Whether the slot was begun: it has a row in the ledger, or its first piece is on its way."""
        return key in self._bytes

    def bytes_of(self, key: SlotKey) -> int:
        """What is spoken for by one slot."""
        return self._bytes.get(key, 0)

    def unplaced_bytes(self, renter: Address) -> int:
        """What waits here of one renter."""
        return self._unplaced_by_renter.get(renter, 0)

    def free_bytes(self, network: Network) -> int:
        """What can still be claimed from a network before something more is placed."""
        return max(0, min(self.capacity_bytes - self.used_bytes, int(self._shared_bytes.most(network))))

    def _count(self, key: SlotKey) -> None:
        self.used_bytes += self._bytes[key]
        if key not in self._placed:
            self._count_unplaced(key, self._bytes[key])

    def _count_unplaced(self, key: SlotKey, size_bytes: int) -> None:
        self._shared_bytes.add(self._networks.get(key, UNKNOWN), size_bytes)
        self._unplaced_by_renter[key.renter] += size_bytes
        if not self._unplaced_by_renter[key.renter]:
            del self._unplaced_by_renter[key.renter]
