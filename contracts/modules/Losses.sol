// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {ILosses} from "../interfaces/ILosses.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {BookHeader} from "../types/BookHeader.sol";
import {FarmerState} from "../types/FarmerState.sol";
import {LostRates} from "../types/LostRates.sol";
import {Entry, Epoch, FarmerId, LossView, OrderId, Rate} from "../types/Types.sol";
import {Proofs} from "./Proofs.sol";

/// @title Slots that their farmer gives up
/// @dev Decides what a farmer forfeits for a slot whose data it lost. Who takes it over is decided by `Repairs`.
///
/// A loss counts from the next epoch, like an addition: if it counted at once, a farmer could drop everything, wait for
/// the seed, and give up none but the few slots that were drawn. So the slot is still asked for in this epoch. If that
/// is missed, the penalty for the slot comes out of the collateral that it left, since the stake is free of it.
///
/// Invariants:
///   a lost slot leaves min(COLLATERAL_EPOCHS, stake / committedRate, rounded down) epochs of its pay
///   what stays of the stake covers what stays of the slots as well as before, or in full
///   what a lost slot leaves bears a miss: carriedRate <= committedRate / 2, and 2 * stake >= COLLATERAL_EPOCHS *
///     answeredRate, in full with MAX_MISSES = 1, so stake >= (PENALTY + FINE) * committedRate
///   in an epoch an operator declares slots lost of at most the rate that the owner allows; the owner all it wants
abstract contract Losses is ILosses, Proofs {
    /// @dev One call's losses, all in one book.
    struct Losing {
        FarmerId farmer;
        uint256 current;
        uint32 grid;
        bool extension;
        uint256 collateralEpochs;
    }

    /// @dev What a stake answers for, before and after a loss.
    struct Cover {
        uint256 stakeBefore;
        uint256 rateBefore;
        uint256 stake;
        uint256 carried;
    }

    /// @inheritdoc ILosses
    function declareLoss(FarmerId id, Epoch end, bool extension, bytes32[] calldata words) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner && msg.sender != stored.operator) {
            revert IFarmers.NotOwnerOrOperator(id, msg.sender);
        }
        if (words.length == 0) revert NoLoss();
        uint256 current = _currentEpoch();
        FarmerState state = _settledUnlapsed(id, stored, stored.state, current);
        uint256 grid = Epochs.gridOf(Epoch.unwrap(end), GRID_EPOCHS);
        Book storage kept = _bookOf(id, grid, extension);
        if (Epoch.unwrap(end) <= current || grid * GRID_EPOCHS != Epoch.unwrap(end) || kept.header.grid() != grid) {
            revert NoSuchBook(id, end, extension);
        }
        uint256 stake = stored.stake;
        uint256 committed = state.committedRate();
        Losing memory losing = Losing({
            farmer: id,
            current: current,
            grid: uint32(grid),
            extension: extension,
            // A live book holds an entry: unless all were lost, the rate is not zero.
            collateralEpochs: committed == 0 ? 0 : Math.min(stake / committed, COLLATERAL_EPOCHS)
        });
        uint256 rate = _declareAll(losing, kept, words);
        if (msg.sender != stored.owner) _useAllowance(id, stored, rate, current);
        _addLost(id, kept, rate, current);
        uint256 left = stake - losing.collateralEpochs * rate;
        uint256 carried = _carriedRate(stored, state);
        state = state.lessened(rate, current);
        if (carried > 0) _checkCovered(losing, stored, state, Cover(stake, committed - carried, left, carried));
        stored.state = state;
        stored.stake = uint96(left);
    }

    /// @inheritdoc ILosses
    function loss(OrderId order, uint8 slot, Epoch from) external view returns (LossView memory) {
        Loss memory stored = _losses[_tenure(order, slot, from)];
        return
            LossView({
                farmer: stored.farmer,
                lostEpoch: Epoch.wrap(stored.lostEpoch),
                lostBlock: stored.lostBlock,
                collateral: uint256(stored.collateralEpochs) * stored.rate
            });
    }

    function _useAllowance(FarmerId id, Farmer storage stored, uint256 rate, uint256 current) private {
        LossAllowance memory allowance = stored.allowance;
        if (!allowance.limited) return;
        uint256 used = allowance.lastEpoch == current ? rate + allowance.used : rate;
        if (used > allowance.perEpoch) revert LossLimitExceeded(id, used, allowance.perEpoch);
        (allowance.lastEpoch, allowance.used) = (uint32(current), uint80(used));
        stored.allowance = allowance;
    }

    /// @dev Declares the slots in the words lost, and returns the sum of their rates.
    function _declareAll(
        Losing memory losing,
        Book storage kept,
        bytes32[] calldata words
    ) private returns (uint256 rate) {
        uint256 cursor = 0;
        for (uint256 number = 0; cursor < words.length; ++number) {
            (Entry memory entry, uint256 index) = _readHead(number, words, cursor);
            cursor += HEAD_WORDS;
            _need(number, cursor + 1, words);
            entry.root = words[cursor];
            cursor = _verifyEntry(number, kept, entry, index, words, cursor + 1);
            _declare(losing, entry);
            rate += Rate.unwrap(entry.rate);
        }
    }

    function _declare(Losing memory losing, Entry memory entry) private {
        if (Epoch.unwrap(entry.from) > losing.current) revert SlotNotBegun(entry.order, entry.slot, entry.from);
        bytes32 tenure = _tenure(entry.order, entry.slot, entry.from);
        if (_losses[tenure].lostBlock != 0) revert AlreadyLost(entry.order, entry.slot);
        _losses[tenure] = Loss({
            first: entry.first,
            rate: Rate.unwrap(entry.rate),
            grid: losing.grid,
            extension: losing.extension,
            farmer: losing.farmer,
            lostEpoch: uint32(losing.current),
            lostBlock: uint64(block.number),
            collateralEpochs: uint32(losing.collateralEpochs)
        });
        emit LossDeclared(
            entry.order,
            losing.farmer,
            entry.slot,
            entry.from,
            Epoch.wrap(uint32(losing.current)),
            losing.collateralEpochs * Rate.unwrap(entry.rate)
        );
    }

    /// @dev With extensions that are about to begin, the stake answers once for what they take the place of. Who gives that up
    /// needs the stake for what begins, as if it had not had the slot.
    function _checkCovered(Losing memory losing, Farmer storage stored, FarmerState state, Cover memory cover) private {
        if (losing.grid == Epochs.firstLiveGrid(losing.current, GRID_EPOCHS)) {
            uint256 ending = _rateKept(losing.farmer, state, losing.grid, false) +
                _rateKept(losing.farmer, state, losing.grid, true);
            if (ending < cover.carried) {
                stored.carriedRate = uint80(ending);
                cover.carried = ending;
            }
        }
        uint256 rate = state.committedRate() - cover.carried;
        uint256 needed = Math.min(
            COLLATERAL_EPOCHS * rate,
            Math.ceilDiv(cover.stakeBefore * rate, cover.rateBefore)
        );
        if (cover.stake < needed) revert IFarmers.StakeTooSmall(losing.farmer, cover.stake, needed);
    }

    /// @dev Counts the loss in the book. What is left of it must be all gone or enough to be drawn soon, both of what has
    /// begun by the next epoch and of what will have begun in the end.
    function _addLost(FarmerId id, Book storage kept, uint256 rate, uint256 current) private {
        LostRates lost = kept.lost.plus(rate, current);
        kept.lost = lost;
        BookHeader header = kept.header;
        uint256 lostTotal = lost.lostTotal();
        uint256 all = header.rateTotal();
        uint256 begun = header.rateBefore();
        if (lostTotal != all) _checkAlive(id, all, lostTotal);
        if (header.addedEpoch() > current && lostTotal != begun) _checkAlive(id, begun, lostTotal);
    }
}
