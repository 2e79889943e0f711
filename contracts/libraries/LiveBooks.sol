// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev What of a book counts when. All zero for a ring position that holds no live book.
struct LiveBook {
    uint256 end; // the epoch in which it is no longer live
    uint256 addedEpoch;
    uint256 before; // rate of entries that begin by addedEpoch
    uint256 all; // rate of all entries
    uint256 lostEpoch;
    uint256 lostBefore; // rate of entries declared lost before lostEpoch
    uint256 lostAll; // rate of all entries declared lost
}

/// @title Which rates count in an epoch
/// @dev What is added or declared lost in an epoch counts after it, so what an audit asks is fixed before its seed is
/// known. Of an epoch, all valid from the one in which the book was last changed:
///   started    is drawn from: entries that have begun
///   asked      is audited and paid: started, without what was lost before the epoch
///   backed     is answered for with the stake: started, without what was lost before or in the epoch
///   committed  is answered for from then on: all entries, without those lost
library LiveBooks {
    function started(LiveBook memory book, uint256 epoch) internal pure returns (uint256) {
        if (epoch >= book.end) return 0;
        return book.addedEpoch < epoch ? book.all : book.before;
    }

    function asked(LiveBook memory book, uint256 epoch) internal pure returns (uint256) {
        if (epoch >= book.end) return 0;
        return started(book, epoch) - (book.lostEpoch < epoch ? book.lostAll : book.lostBefore);
    }

    /// @dev All three sums over a farmer's books.
    function sums(
        LiveBook[] memory books,
        uint256 epoch
    ) internal pure returns (uint256 asked_, uint256 backed, uint256 committed) {
        for (uint256 i = 0; i < books.length; ++i) {
            LiveBook memory book = books[i];
            if (epoch >= book.end) continue;
            uint256 begun = started(book, epoch);
            asked_ += begun - (book.lostEpoch < epoch ? book.lostAll : book.lostBefore);
            backed += begun - book.lostAll;
            committed += book.all - book.lostAll;
        }
    }
}
