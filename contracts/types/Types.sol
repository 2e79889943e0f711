// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev keccak256(abi.encode(renter, salt)): the renter knows it before it is placed, so acceptances can name it.
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
    uint32 pieceLeaves; // leaves in each piece: a power of two that divides leafCount
    uint8 k; // any k slots give the data back
}

/// @dev One slot as the renter hands it in: what a farmer signed. The position in the array is the slot's index.
struct Acceptance {
    FarmerId farmer;
    bytes32 root; // SHA-256 Merkle root over the slot's leaves
    Rate rate;
    uint64 deadlineBlock; // the last block in which `place` may use it
    bytes32 r; // EIP-2098 compact signature by the farmer's operator
    bytes32 vs;
}

/// @dev One slot as the order's hash binds it.
struct Slot {
    FarmerId farmer;
    bytes32 root;
    Rate rate;
}

/// @dev An ERC-2612 permit for the Market to pull `value` tokens from the caller.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @dev The market's immutable parameters.
struct Parameters {
    address token;
    uint32 epochBlocks; // blocks in an epoch
    uint32 gridEpochs; // orders end on multiples of this
    uint8 maxBooks; // grid dates ahead that an order may end on, and so live books per farmer
    uint8 samples; // leaves proven per farmer and epoch
    uint32 collateralEpochs; // epochs of its pay that a farmer has at stake
}
