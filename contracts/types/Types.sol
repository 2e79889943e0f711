// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HandOverTally} from "./HandOverTally.sol";

/// @dev keccak256(abi.encode(account, sender, salt)): the sender knows it before it is placed, so acceptances can name it.
type OrderId is bytes32;

/// @dev Counted from 1 in order of registration; 0 is nobody.
type FarmerId is uint32;

/// @dev block.number / epochBlocks.
type Epoch is uint32;

/// @dev Token base units per epoch.
type Rate is uint80;

/// @dev What a farmer asks and has. Prices are in token base units.
struct Offer {
    uint80 pricePerGibEpoch;
    uint80 egressPricePerGib;
    uint64 capacityBytes;
    uint32 longestTermEpochs;
}

/// @dev What is the same for all slots of an order.
struct Terms {
    bytes32 salt;
    Epoch end; // exclusive; a multiple of gridEpochs
    uint32 leafCount; // leaves in each slot
    uint32 pieceLeaves; // leaves in each piece: a power of two, 2048 at most, that divides leafCount
    uint8 k; // any k slots give the data back
    bool allowsHandOver; // whether farmers may pass its slots on to others
}

/// @dev One slot as the renter hands it in: what a farmer signed. The position in the array is the slot's index.
struct Acceptance {
    FarmerId farmer;
    bytes32 root; // SHA-256 Merkle root over the slot's leaves
    Rate rate;
    uint80 maxEgressPricePerGib; // the most that the farmer asks for reading until the order's end
    uint64 deadlineBlock; // the last block in which it may be used
    bytes32 r; // EIP-2098 compact signature by the farmer's operator
    bytes32 vs;
}

/// @dev A farmer's acceptance of a vacant slot, at its root, its rate and its highest price for reading.
struct Takeover {
    uint8 slot;
    FarmerId farmer;
    uint64 deadlineBlock; // the last block in which it may be used
    bytes32 r; // EIP-2098 compact signature by the farmer's operator
    bytes32 vs;
}

/// @dev A slot that its farmer hands over: the order with the slot's group as it is now, where the slot is in the farmer's book,
/// and what the other farmer signed.
struct Passing {
    HeldGroup held;
    uint32 index; // in the mountain range of its book
    uint80 first; // the book's total rate before it
    bytes32[] path; // from the slot's entry to its peak
    Takeover takeover;
}

/// @dev One slot as the order's hash binds it: its present tenure.
struct Slot {
    FarmerId farmer;
    bytes32 root;
    Rate rate;
    uint80 maxEgressPricePerGib;
    Epoch from; // the first epoch that this farmer is audited and paid for it
}

/// @dev An order with its slots, as its maintenance hands it in: the order keeps only the hash of these.
struct Held {
    OrderId order;
    uint32 leafCount;
    uint32 pieceLeaves;
    Slot[] slots;
}

/// @dev An order of which four slots are handed in: those of the numbers 4g to 4g + 3. In the last group there may be fewer.
struct HeldGroup {
    OrderId order;
    uint32 leafCount;
    uint32 pieceLeaves;
    bytes farmers; // of all slots, in four bytes each
    bytes32[] groups; // keccak256(abi.encodePacked(slots)) of each other group, with all values of a slot in words
    Slot[] slots;
}

/// @dev What a farmer hands over of one of its books.
struct Parting {
    Epoch end; // the date on which the slots' orders end
    bool extension; // whether it is the book for extensions
    Passing[] passings;
}

/// @dev Signed by a renter or its delegate: in all, so much of the renter's vault for one farmer. Each signer counts for itself.
struct Voucher {
    address renter;
    uint256 cumulative; // in token base units; what was redeemed before is part of it
    bytes signature; // 64 bytes by a key (EIP-2098), or what the renter's contract takes (ERC-1271)
}

/// @dev One slot as its farmer's book keeps it: the mountain range holds keccak256(abi.encode(entry)).
struct Entry {
    OrderId order;
    uint8 slot;
    bytes32 root;
    uint32 leafCount;
    Epoch from; // the first epoch that is audited and paid
    uint80 first; // the book's total rate before this slot: it is drawn by positions in [first, first + rate)
    Rate rate;
}

/// @dev What a renter lets others do with its orders. Amounts are in token base units.
struct MandateTerms {
    uint80 highestPrice; // for each GiB of a slot and epoch
    uint80 highestEgressPrice; // for each GiB that is read
    uint96 fee; // for each extension
    Epoch until; // no extension ends later
    uint32 termEpochs; // how long an extension lasts
    uint128 total; // what extensions may cost in all, with fees, and bounties of slots that begin vacant
}

/// @dev An ERC-2612 permit for the Market to pull `value` tokens from the caller.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @dev An operator's consent to act for a farmer. All zero where the operator itself sends the call.
struct OperatorConsent {
    uint64 deadlineBlock; // the last block in which it may be used
    bytes32 r; // EIP-2098 compact signature by the operator
    bytes32 vs;
}

/// @dev The market's immutable parameters.
struct Parameters {
    address token;
    uint32 epochBlocks; // blocks in an epoch
    uint32 gridEpochs; // orders end on multiples of this
    uint8 maxBooks; // grid dates ahead that an order may end on, and so live books per farmer
    uint8 samples; // leaves proven per farmer and epoch
    uint32 collateralEpochs; // epochs of its pay that a farmer has at stake
    uint8 maxMisses; // misses, each proof making good for one, with which a farmer lapses
    uint8 penalty; // epochs of pay that a missed epoch moves from the stake to the renters
    uint8 fine; // epochs of pay that a missed epoch burns of the stake
    uint32 auctionEpochs; // in which the bounty for a vacant slot rises to its full height
    uint32 withdrawDelayEpochs; // from a renter's announcement to its withdrawal
    uint96 minStake; // what a farmer registers with at least, and leaves at stake until it leaves
    uint32 formerOperatorBlocks; // in which acceptances of an operator still count once there is another
}

/// @dev A farmer as `farmer` and `farmers` show it, as if it were settled now.
struct FarmerView {
    address owner; // withdraws; is credited
    address operator; // signs acceptances and requests
    uint256 stake;
    uint256 committedRate; // of all slots in its live books
    uint256 carriedRate; // of that, what its stake does not answer for, as it takes the place of slots of its own that end
    Epoch settledEpoch; // up to here every epoch is proven, missed, or had nothing to prove
    uint256 misses; // missed epochs
    uint256 strikes; // misses less proofs since
    uint256 epochsProven;
    uint64 registeredBlock;
    bool lapsed; // it keeps nothing any more, from settledEpoch + 1 on
    uint256 ceiling; // the committed rate up to which its operator may take on slots
    uint256 lossLimit; // the rate of slots that its operator may declare lost in an epoch
    string endpoint;
    Offer offer;
}

/// @dev A book as `book` shows it. All zero when nothing in it is live.
struct BookView {
    uint32 count; // entries appended
    uint80 rateBefore; // total rate without what counts only after `addedEpoch`
    uint80 rateAdded; // rate that counts after `addedEpoch`
    Epoch addedEpoch; // the epoch before the last entries begin
    uint80 lostBefore; // of the total, declared lost, without what counts only after `lostEpoch`
    uint80 lostAdded; // of the total, declared lost in `lostEpoch`
    Epoch lostEpoch; // the last epoch in which a slot was declared lost
    uint80 frontBefore; // of what was lost, all before what is alive, without what counts only after `frontEpoch`
    uint80 frontAdded; // the same, counts only after `frontEpoch`
    Epoch frontEpoch; // the last epoch in which the front moved
    bytes32[] peaks; // of the mountain range, highest first
}

/// @dev In place of an order's mandate, once another order goes on where it ends: it is extended no more.
uint16 constant EXTENDED = type(uint16).max;

/// @dev An order as `order` shows it. All zero when it was never placed.
struct OrderView {
    address renter;
    Epoch from; // the first epoch that is audited and paid
    Epoch end; // exclusive
    uint8 k;
    uint8 n;
    HandOverTally handOvers; // whether farmers may pass its slots on, and how many were in which grid period
    uint16 mandate; // by which of its renter's it may be extended; 0 if by none, or EXTENDED
    bytes32 slotsHash; // of leafCount, pieceLeaves, the number of slots, the hash of each group, all farmers
}

/// @dev What a delegate may spend of an account's vault and has spent, as `delegation` shows it. In token base units.
struct DelegationView {
    uint256 perEpoch;
    uint256 inAll; // with what it has spent
    Epoch untilEpoch; // exclusive
    uint256 spentInEpoch; // in the current epoch
    uint256 spent; // ever
    uint256 leftForOrders; // in the current epoch
    uint256 leftForVouchers; // in the current epoch, by the limits before too while these still count
}

/// @dev A slot that its farmer declared lost, as `loss` shows it. All zero when it did not.
struct LossView {
    FarmerId farmer;
    Epoch lostEpoch; // the last epoch that counts for the farmer
    uint64 lostBlock; // from here the bounty rises
    uint256 collateral; // what the slot has of the farmer's stake
}

/// @dev An evicted farmer, as `eviction` shows it. All zero when it is not.
struct EvictionView {
    uint64 vacantBlock; // the first in which its slots are nobody's: from here the bounties rise
    uint256 collateralEpochs; // epochs of its pay that each vacant slot has of the farmer's stake
}

/// @dev A mandate, as `mandate` shows it. All zero when it was never given.
struct MandateView {
    uint80 highestPrice;
    uint80 highestEgressPrice;
    uint96 fee;
    Epoch until;
    uint32 termEpochs;
    uint128 left; // of its total
    bool revoked;
}
