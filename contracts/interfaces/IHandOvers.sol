// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, OrderId, Parting} from "../types/Types.sol";

/// @title Slots that pass from farmer to farmer
interface IHandOvers {
    /// @notice The farmer's time with the slot, which began with epoch `from`, is over after `epoch`, and that of `taker` begins,
    /// as a `SlotFilled` event behind this one says. `bound` of the farmer's stake is returned by `release`; `refund`, what its
    /// misses left, went to the renter's vault.
    event SlotHandedOver(
        OrderId indexed order,
        FarmerId indexed farmer,
        uint8 slot,
        Epoch from,
        Epoch epoch,
        FarmerId indexed taker,
        uint256 bound,
        uint256 refund
    );

    /// @notice What the farmer had bound by what it handed over to `taker` in epoch `epoch` is free: `returned` went to its owner's
    /// earnings, `burnt` was lost with the epochs that the taker missed before it had proven once.
    event Released(FarmerId indexed farmer, FarmerId indexed taker, Epoch epoch, uint256 returned, uint256 burnt);

    /// @notice No slot was handed in.
    error NothingToHandOver();

    /// @notice The slot is kept by another farmer.
    error NotItsSlot(uint256 slot, FarmerId keeper);

    /// @notice Some slots of a parting go to others, and some to the farmer itself.
    error ToItselfAndOthers(uint256 slot);

    /// @notice The order's renter forbade it.
    error HandOverForbidden(OrderId order);

    /// @notice Of the order `limit` slots were handed over in this grid period.
    error TooManyHandOvers(OrderId order, uint256 limit);

    /// @notice The farmer has to prove the current epoch first.
    error EpochNotProven(FarmerId farmer, Epoch current);

    /// @notice A farmer with strikes neither hands slots over nor takes them: a proof takes one away.
    error HasStrikes(FarmerId farmer, uint256 strikes);

    /// @notice Nothing is bound by what the farmer handed over to `taker` in this epoch.
    error NothingBound(FarmerId farmer, FarmerId taker, Epoch epoch);

    /// @notice The taker has not proven an epoch in which it has what was handed over, nor lapsed.
    error TakerNotProven(FarmerId taker, Epoch settledEpoch);

    /// @notice Passes slots of a farmer on to farmers that signed for them, from the next epoch on. By the owner, or by the operator
    /// within the limit that the owner set for losses. The farmer forfeits nothing; the collateral of what it hands over is bound until
    /// the other has proven once.
    /// @dev A farmer may hand a slot over to itself: it is then behind all others of its book, and is not counted as handed over.
    /// All slots of a parting go to others, or all to itself.
    /// @param farmer The farmer that hands over. It has proven the current epoch.
    /// @param partings The slots, book by book, each with its order, its place in the book and what the taker signed.
    function handOver(FarmerId farmer, Parting[] calldata partings) external;

    /// @notice Returns what is bound by what a farmer handed over to another in one epoch, once that has proven, less the fines that
    /// it missed before. If it lapses without a proof they are at least those of one epoch. By anyone.
    /// @param farmer The farmer that handed over.
    /// @param taker The farmer that it handed over to.
    /// @param epoch The epoch in which it did.
    function release(FarmerId farmer, FarmerId taker, Epoch epoch) external;

    /// @notice What is bound by what a farmer handed over to another in one epoch.
    /// @param farmer The farmer that handed over.
    /// @param taker The farmer that it handed over to.
    /// @param epoch The epoch in which it did.
    /// @return In token base units; zero when it was returned.
    function bound(FarmerId farmer, FarmerId taker, Epoch epoch) external view returns (uint256);
}
