"""Who may read what: the rule itself."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.reads import READ_THIRDS, Reader, Share, is_open, open_epoch, share_of
from grange.types import Epoch

EVERYTHING, THIRD, NOTHING = Share.EVERYTHING, Share.OPEN_THIRD, Share.NOTHING
TABLE = {
    # (vacant, eager): whole and calm, whole and eager, vacant and calm, vacant and eager
    Reader.RENTER: (EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING),
    Reader.FARMER: (THIRD, THIRD, THIRD, EVERYTHING),
    Reader.REPAIRER: (NOTHING, NOTHING, THIRD, EVERYTHING),
    Reader.STRANGER: (NOTHING, NOTHING, NOTHING, NOTHING),
}


@pytest.mark.parametrize("reader", Reader)
def test_each_reader_has_its_share_of_each_kind_of_order(reader: Reader) -> None:
    """Every combination. Small codes are eager while they are whole: that opens nothing."""
    kinds = list(product((False, True), repeat=2))
    shares = [share_of(reader, is_vacant=vacant, is_eager=eager) for vacant, eager in kinds]
    assert tuple(shares) == TABLE[reader]


@given(st.integers(0, 1 << 22), st.integers(0, 1 << 31))
def test_every_piece_is_open_once_in_three_epochs(piece: int, epoch: int) -> None:
    opens = open_epoch(piece, Epoch(epoch))
    assert epoch <= opens < epoch + READ_THIRDS
    assert [is_open(piece, Epoch(epoch + later)) for later in range(READ_THIRDS)] == [
        epoch + later == opens for later in range(READ_THIRDS)
    ]


@given(st.integers(0, 1 << 31))
def test_an_epoch_opens_a_third_of_the_pieces(epoch: int) -> None:
    assert sum(is_open(piece, Epoch(epoch)) for piece in range(300)) == 100
