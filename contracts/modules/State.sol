// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MAX_PEAKS} from "../libraries/Mountain.sol";
import {Settings} from "./Settings.sol";
import {Epoch, FarmerId, Offer, OrderId, OrderView, Parameters} from "../types/Types.sol";

/// @title What the market remembers
/// @dev Everything that is stored is declared here and nowhere else: the market's code is in two contracts, `Market`
/// and `Office`, which work on the storage of the first, and this is what makes them agree about its layout.
/// What the values mean and who may change them is decided by the modules.
abstract contract State is Settings, EIP712, ReentrancyGuardTransient {
    /// @dev One word: what every call about a farmer reads.
    struct Standing {
        uint80 committedRate; // per epoch, of slots that it keeps or will keep
        uint32 sweptGrid; // books up to this date are no longer in committedRate
        uint32 settledEpoch; // up to here every epoch is proven, recorded as missed, or had nothing to prove
        uint48 lastOrder; // low bits of the id of the order in which it was last given a slot
        uint32 misses;
        uint8 strikes; // misses less proofs since
        bool lapsed; // with settledEpoch
        bool extended; // its second ring of books was ever used
        bool lost; // it ever declared a slot lost
    }

    struct Farmer {
        Standing standing;
        address operator; // zero for a farmer that does not exist
        uint96 stake;
        address owner;
        Offer offer;
        string endpoint;
    }

    /// @dev One word.
    struct Header {
        uint32 grid; // the date; 0 before the first use
        uint32 count;
        uint32 addedEpoch;
        uint80 rateBefore; // without what counts only after addedEpoch
        uint80 rateAdded; // counts after addedEpoch
    }

    /// @dev One word: how much of a book was declared lost.
    struct LostRates {
        uint32 lostEpoch;
        uint80 lostBefore; // without what counts only after lostEpoch
        uint80 lostAdded; // counts after lostEpoch
    }

    struct Book {
        Header header;
        LostRates lost;
        bytes32[MAX_PEAKS] peaks;
    }

    /// @dev A slot declared lost. Two words: where it lies among the positions of its book, and what it left.
    struct Loss {
        uint80 first;
        uint80 rate;
        uint32 grid; // the date of its book
        bool extension; // its book is of the second ring
        FarmerId farmer;
        uint32 lostEpoch; // the last epoch that counts for the farmer
        uint64 lostBlock;
        uint32 collateralEpochs; // epochs of its pay that it has of the stake
    }

    /// @dev One word.
    struct Eviction {
        uint64 evictedBlock; // zero for a farmer that was not evicted
        uint32 collateralEpochs; // epochs of its pay that each vacant slot has of the stake
    }

    /// @dev One word.
    struct Withdrawal {
        uint224 amount;
        uint32 readyEpoch;
    }

    /// @dev Takes what is burnt out of circulation; nobody has its key.
    address internal constant BURNT = address(0xdEaD);

    mapping(address account => uint256) internal _vaults;
    mapping(address account => uint256) internal _earnings;
    mapping(address account => Withdrawal) internal _withdrawals;

    uint32 internal _farmerCount;
    mapping(FarmerId id => Farmer) internal _farmers;
    mapping(FarmerId id => mapping(uint256 position => Book)) internal _books;
    mapping(FarmerId id => mapping(uint256 word => uint256)) internal _missMap;
    mapping(FarmerId id => Eviction) internal _evictions;
    mapping(bytes32 tenure => Loss) internal _losses;

    mapping(Epoch epoch => bytes32) internal _seeds;
    mapping(OrderId id => OrderView) internal _orders;
    mapping(address renter => mapping(FarmerId farmer => uint256)) internal _redeemed;

    constructor(Parameters memory p) Settings(p) EIP712("Grange", "1") {}
}
