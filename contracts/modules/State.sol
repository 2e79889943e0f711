// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MAX_PEAKS} from "../libraries/Mountain.sol";
import {BookHeader} from "../types/BookHeader.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {HandOverTally} from "../types/HandOverTally.sol";
import {LostRates} from "../types/LostRates.sol";
import {Epoch, FarmerId, Offer, OrderId, Parameters} from "../types/Types.sol";
import {Settings} from "./Settings.sol";

/// @title What the market remembers
/// @dev Everything that is stored is declared here and nowhere else: the market's code is in several contracts, which work
/// on the storage of `Market`, and this is what makes them agree about its layout.
/// What the values mean and who may change them is decided by the modules.
abstract contract State is Settings, EIP712, ReentrancyGuardTransient {
    /// @dev What the operator alone may declare lost. One word, all zero as long as the owner set no limit.
    struct LossAllowance {
        bool limited;
        uint80 perEpoch; // the rate of all slots that it may declare lost in an epoch
        uint32 lastEpoch; // in which it declared a loss while there was a limit
        uint80 used; // in that epoch
    }

    struct Farmer {
        FarmerState state;
        address operator; // zero for a farmer that does not exist
        uint96 stake;
        uint80 startingRate; // of extensions that begin on the date after the one it was last swept to, if any do
        uint80 carriedRate; // of that, what takes the place of slots of its own that end on this date
        uint48 registeredBlock;
        uint48 formerUntilBlock; // the last block in which acceptances of its former operator count
        address owner;
        address formerOperator; // zero unless it had another
        LossAllowance allowance;
        Offer offer;
        string endpoint;
    }

    struct Book {
        BookHeader header;
        LostRates lost;
        LostRates front; // of what is lost, what lies before all that is alive: positions begin behind it
        bytes32[MAX_PEAKS] peaks;
    }

    /// @dev A slot that its farmer gave up. Two words: where it lies among the positions of its book, and what it left, which
    /// is zero if it was handed over.
    struct Loss {
        uint80 first;
        uint80 rate; // zero if it was not given up
        FarmerId farmer;
        uint32 lostEpoch; // the last epoch that counts for the farmer
        uint8 dates; // from the grid date before that epoch to that of its book
        bool extension; // its book is of the second ring
        uint64 lostBlock;
        uint32 collateralEpochs; // epochs of its pay that it has of the stake
    }

    /// @dev What a farmer that handed slots over to another in one epoch has bound until that has proven. One word.
    struct Bond {
        uint96 amount;
        uint80 rate; // of the slots
    }

    /// @dev One word.
    struct Withdrawal {
        uint224 amount;
        uint32 readyEpoch;
    }

    /// @dev What a delegate may spend of an account's vault, and has spent. Three words.
    struct Delegation {
        uint96 perEpoch;
        uint96 inAll; // with what it has spent
        uint32 untilEpoch; // exclusive
        uint32 formerUntilEpoch; // exclusive: vouchers are paid by the former limits too
        uint96 spent; // ever
        uint96 spentInEpoch; // in `lastEpoch`
        uint32 lastEpoch;
        uint96 formerPerEpoch;
        uint96 formerInAll;
    }

    /// @dev Two words, of which only `left` changes often. A mandate that was given has an end.
    struct Mandate {
        uint80 highestPrice;
        uint96 fee;
        uint32 until;
        uint32 termEpochs;
        bool revoked;
        uint80 highestEgressPrice;
        uint128 left;
    }

    /// @dev Two words, of which the first is full. A term is 4,096 epochs at most, so the first epoch is told by the end.
    struct Order {
        address renter;
        uint16 termEpochs;
        Epoch end; // exclusive
        uint8 k;
        uint8 n;
        HandOverTally handOvers;
        uint16 mandate; // 0 if it names none, EXTENDED if another order goes on where it ends
        bytes32 slotsHash;
    }

    /// @dev Takes what is burnt out of circulation; nobody has its key.
    address internal constant BURNT = address(0xdEaD);

    // Each part of the code leaves some of these to the others, and writes others through pointers only: for Slither they
    // are never set, or never used.
    // slither-disable-start uninitialized-state,unused-state,constable-states
    mapping(address account => uint256) internal _vaults;
    mapping(address account => uint256) internal _earnings;
    mapping(address account => Withdrawal) internal _withdrawals;

    uint32 internal _farmerCount;
    mapping(FarmerId id => Farmer) internal _farmers;
    mapping(FarmerId id => mapping(uint256 position => Book)) internal _books;
    mapping(FarmerId id => mapping(uint256 word => uint256)) internal _missMap;
    mapping(bytes32 tenure => Loss) internal _losses;
    mapping(bytes32 handOver => Bond) internal _bonds;
    mapping(address operator => uint256) internal _consentNonces;

    mapping(Epoch epoch => bytes32) internal _seeds;
    mapping(OrderId id => Order) internal _orders;
    mapping(address renter => mapping(address signer => mapping(FarmerId farmer => uint256))) internal _redeemed;
    mapping(address account => mapping(address delegate => Delegation)) internal _delegations;
    mapping(address account => mapping(uint16 number => Mandate)) internal _mandates;
    // slither-disable-end uninitialized-state,unused-state,constable-states

    constructor(Parameters memory p) Settings(p) EIP712("Grange", "1") {}
}
