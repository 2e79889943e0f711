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
/// Enough of a book must stay alive to be drawn soon. But a book that is given up from its oldest slot on is drawn from
/// behind what was given up: so it can be given up to the last slot, in as many calls as it takes. What was lost elsewhere
/// comes to the front when all before it is lost, and is then cut off. That too counts from the next epoch: it moves
/// positions, so a farmer could otherwise choose between two draws when the seed is known.
///
/// Invariants:
///   a lost slot leaves min(COLLATERAL_EPOCHS, stake / committedRate, rounded down) epochs of its pay
///   what stays of the stake covers what stays of the slots as well as before, or in full
///   what a lost slot leaves bears a miss: carriedRate <= committedRate / 2, and 2 * stake >= COLLATERAL_EPOCHS *
///     answeredRate, in full with MAX_MISSES = 1, so stake >= (PENALTY + FINE) * committedRate
///   in an epoch an operator declares slots lost of at most the rate that the owner allows; the owner all it wants
abstract contract Losses is ILosses, Proofs {
    /// @dev What a farmer gives up of one book in one call.
    struct Losing {
        FarmerId farmer;
        uint256 current;
        uint256 grid;
        bool extension;
        FarmerState state;
        uint256 stake;
        uint256 collateralEpochs; // that each slot leaves
        uint256 before; // the front of the book, before anything was given up
        uint256 front; // with what was given up so far
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
        (Losing memory losing, Book storage kept) = _losing(id, stored, end, extension);
        _giveUp(losing, stored, kept, _declareAll(losing, kept, words), false);
    }

    /// @inheritdoc ILosses
    function cutFront(FarmerId id, Epoch end, bool extension, bytes32[] calldata tenures) external {
        if (tenures.length == 0) revert NoLoss();
        uint256 current = _currentEpoch();
        (Book storage kept, uint256 grid) = _liveBook(id, end, extension, current);
        LostRates cut = kept.front.ofBook(grid);
        uint256 before = cut.lostTotal();
        uint256 front = before;
        for (uint256 i = 0; i < tenures.length; ++i) {
            Loss storage stored = _losses[tenures[i]];
            if (
                FarmerId.unwrap(stored.farmer) != FarmerId.unwrap(id) ||
                _gridOf(stored) != grid ||
                stored.extension != extension ||
                stored.first != front
            ) revert NotAtFront(tenures[i], front);
            front += stored.rate;
        }
        kept.front = cut.plus(front - before, current, grid);
        emit FrontCut(id, end, extension, front, Epoch.wrap(uint32(current)));
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

    /// @dev The book of a date that has not come, with something in it; and the number of the date.
    function _liveBook(
        FarmerId id,
        Epoch end,
        bool extension,
        uint256 current
    ) internal view returns (Book storage kept, uint256 grid) {
        grid = Epochs.gridOf(Epoch.unwrap(end), GRID_EPOCHS);
        kept = _bookOf(id, grid, extension);
        if (Epoch.unwrap(end) <= current || grid * GRID_EPOCHS != Epoch.unwrap(end) || kept.header.grid() != grid) {
            revert NoSuchBook(id, end, extension);
        }
    }

    /// @dev What becomes of a farmer that begins to give up slots of a book. It is settled, and must not have lapsed.
    function _losing(
        FarmerId id,
        Farmer storage stored,
        Epoch end,
        bool extension
    ) internal returns (Losing memory losing, Book storage kept) {
        losing.farmer = id;
        losing.current = _currentEpoch();
        losing.extension = extension;
        losing.state = _settledUnlapsed(id, stored, stored.state, losing.current);
        (kept, losing.grid) = _liveBook(id, end, extension, losing.current);
        losing.stake = stored.stake;
        // A live book holds an entry: unless all were lost, the rate is not zero.
        uint256 committed = losing.state.committedRate();
        losing.collateralEpochs = committed == 0 ? 0 : Math.min(losing.stake / committed, COLLATERAL_EPOCHS);
        losing.before = kept.front.ofBook(losing.grid).lostTotal();
        losing.front = losing.before;
    }

    /// @dev Counts slots of this rate as given up, in book, state and stake.
    function _giveUp(
        Losing memory losing,
        Farmer storage stored,
        Book storage kept,
        uint256 rate,
        bool stays
    ) internal {
        if (msg.sender != stored.owner) _useAllowance(losing.farmer, stored, rate, losing.current);
        if (losing.front != losing.before) {
            LostRates cut = kept.front.ofBook(losing.grid);
            kept.front = cut.plus(losing.front - losing.before, losing.current, losing.grid);
        }
        _addLost(losing.farmer, kept, rate, losing.current, stays);
        uint256 left = losing.stake - losing.collateralEpochs * rate;
        uint256 carried = _carriedRate(stored, losing.state);
        FarmerState state = losing.state.lessened(rate, losing.current);
        if (carried > 0) {
            uint256 before = losing.state.committedRate() - carried;
            _checkCovered(losing, stored, state, Cover(losing.stake, before, left, carried));
        }
        stored.state = state;
        stored.stake = uint96(left);
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
        // Of what was handed over at the front nothing else is remembered.
        if (_losses[tenure].rate != 0 || entry.first < losing.front) revert AlreadyLost(entry.order, entry.slot);
        _losses[tenure] = Loss({
            first: entry.first,
            rate: Rate.unwrap(entry.rate),
            farmer: losing.farmer,
            lostEpoch: uint32(losing.current),
            dates: uint8(losing.grid - Epochs.gridOf(losing.current, GRID_EPOCHS)),
            extension: losing.extension,
            lostBlock: uint64(block.number),
            collateralEpochs: uint32(losing.collateralEpochs)
        });
        if (entry.first == losing.front) losing.front += Rate.unwrap(entry.rate);
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
            uint256 ending =
                _rateKept(losing.farmer, state, losing.grid, false) +
                    _rateKept(losing.farmer, state, losing.grid, true);
            if (ending < cover.carried) {
                stored.carriedRate = uint80(ending);
                cover.carried = ending;
            }
        }
        uint256 rate = state.committedRate() - cover.carried;
        uint256 needed = Math.min(COLLATERAL_EPOCHS * rate, Math.ceilDiv(cover.stakeBefore * rate, cover.rateBefore));
        if (cover.stake < needed) revert IFarmers.StakeTooSmall(losing.farmer, cover.stake, needed);
    }

    /// @dev Counts the loss in the book. Unless the slot stays, moved behind the book's others, which is looked at then: what is left of
    /// it must be all gone or enough to be drawn soon, both of what has begun by the next epoch and of what will have begun
    /// in the end.
    function _addLost(FarmerId id, Book storage kept, uint256 rate, uint256 current, bool stays) private {
        BookHeader header = kept.header;
        uint256 grid = header.grid();
        LostRates lost = kept.lost.ofBook(grid).plus(rate, current, grid);
        kept.lost = lost;
        if (stays) return;
        uint256 lostTotal = lost.lostTotal();
        uint256 all = header.rateTotal();
        uint256 begun = header.rateBefore();
        uint256 front = kept.front.ofBook(grid).lostTotal();
        if (lostTotal != all) _checkAlive(id, all, lostTotal, front);
        if (header.addedEpoch() > current && lostTotal != begun) _checkAlive(id, begun, lostTotal, front);
    }
}
