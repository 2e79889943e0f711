// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ISettings} from "../interfaces/ISettings.sol";
import {SeedBlocks} from "../libraries/SeedBlocks.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Parameters} from "../types/Types.sol";

/// @title The market's parameters and its clock
/// @dev Decides which parameters make a market whose every call fits in a block, and in which no attack pays; what they mean
/// is up to the modules.
abstract contract Settings {
    /// @dev A proof is due within the epoch, and there is no seed in its first block.
    uint256 private constant MIN_EPOCH_BLOCKS = 2;
    uint256 private constant MAX_EPOCH_BLOCKS = type(uint16).max;
    /// @dev Chains of tests are that young when a market is deployed, and may serve no hashes yet.
    uint256 private constant FIRST_BLOCKS = 2;
    /// @dev Settling a farmer may look at every book, and a call about an order settles all of its farmers.
    uint256 private constant MAX_BOOKS_LIMIT = 14;
    uint256 private constant MAX_SAMPLES = 16;
    uint256 private constant MAX_COLLATERAL_EPOCHS = type(uint16).max;
    /// @dev Settling a farmer goes through its misses one by one until it lapses.
    uint256 private constant MAX_MAX_MISSES = 6;
    uint256 private constant MAX_PENALTY = 16;
    /// @dev Closing a slot looks for its farmer's misses in the whole term: a word for 256 epochs.
    uint256 private constant MAX_TERM_EPOCHS = 4096;
    uint256 private constant MAX_FORMER_OPERATOR_BLOCKS = type(uint16).max;

    address internal immutable TOKEN;
    uint256 internal immutable EPOCH_BLOCKS;
    uint256 internal immutable GRID_EPOCHS;
    uint256 internal immutable MAX_BOOKS;
    uint256 internal immutable SAMPLES;
    uint256 internal immutable COLLATERAL_EPOCHS;
    uint256 internal immutable MAX_MISSES;
    uint256 internal immutable PENALTY;
    uint256 internal immutable FINE;
    uint256 internal immutable AUCTION_EPOCHS;
    uint256 internal immutable WITHDRAW_DELAY_EPOCHS;
    uint256 internal immutable MIN_STAKE;
    uint256 internal immutable FORMER_OPERATOR_BLOCKS;

    constructor(Parameters memory p) {
        _checkChain(p.token);
        if (p.epochBlocks < MIN_EPOCH_BLOCKS || p.epochBlocks > MAX_EPOCH_BLOCKS) {
            revert ISettings.EpochBlocksOutOfRange(p.epochBlocks, MIN_EPOCH_BLOCKS, MAX_EPOCH_BLOCKS);
        }
        // With one an order ends on the next date, and no date is left to extend it to.
        if (p.maxBooks < 2 || p.maxBooks > MAX_BOOKS_LIMIT) {
            revert ISettings.MaxBooksOutOfRange(p.maxBooks, 2, MAX_BOOKS_LIMIT);
        }
        if (p.maxMisses == 0 || p.maxMisses > MAX_MAX_MISSES) {
            revert ISettings.MaxMissesOutOfRange(p.maxMisses, 1, MAX_MAX_MISSES);
        }
        // So a farmer that misses until it lapses passes few dates, of which each has two books to sweep.
        if (p.gridEpochs < p.maxMisses || p.gridEpochs > MAX_TERM_EPOCHS / p.maxBooks) {
            revert ISettings.GridEpochsOutOfRange(p.gridEpochs, p.maxMisses, MAX_TERM_EPOCHS / p.maxBooks);
        }
        if (p.penalty == 0 || p.penalty > MAX_PENALTY) revert ISettings.PenaltyOutOfRange(p.penalty, 1, MAX_PENALTY);
        if (p.fine == 0 || p.fine > MAX_PENALTY) revert ISettings.FineOutOfRange(p.fine, 1, MAX_PENALTY);
        // Or a bounty could be taken for nothing under cover of slots of one's own: samples * fine epochs of pay are what a
        // slot that is not kept costs in an epoch, 1 + (penalty + fine) / 2 what it wins (docs/economics.md).
        uint256 leastSamples = Math.ceilDiv(2 + uint256(p.penalty) + p.fine, 2 * uint256(p.fine));
        if (p.samples < leastSamples || p.samples > MAX_SAMPLES) {
            revert ISettings.SamplesOutOfRange(p.samples, leastSamples, MAX_SAMPLES);
        }
        uint256 leastCollateral = 2 * uint256(p.maxMisses) * (uint256(p.penalty) + p.fine);
        if (p.collateralEpochs < leastCollateral || p.collateralEpochs > MAX_COLLATERAL_EPOCHS) {
            revert ISettings.CollateralEpochsOutOfRange(p.collateralEpochs, leastCollateral, MAX_COLLATERAL_EPOCHS);
        }
        if (p.auctionEpochs == 0 || p.auctionEpochs > MAX_TERM_EPOCHS) {
            revert ISettings.AuctionEpochsOutOfRange(p.auctionEpochs, 1, MAX_TERM_EPOCHS);
        }
        if (p.withdrawDelayEpochs == 0 || p.withdrawDelayEpochs > MAX_TERM_EPOCHS) {
            revert ISettings.WithdrawDelayOutOfRange(p.withdrawDelayEpochs, 1, MAX_TERM_EPOCHS);
        }
        if (p.minStake == 0) revert ISettings.MinStakeOutOfRange(0, 1, type(uint96).max);
        if (p.formerOperatorBlocks > MAX_FORMER_OPERATOR_BLOCKS) {
            revert ISettings.FormerOperatorBlocksOutOfRange(p.formerOperatorBlocks, 0, MAX_FORMER_OPERATOR_BLOCKS);
        }
        TOKEN = p.token;
        EPOCH_BLOCKS = p.epochBlocks;
        GRID_EPOCHS = p.gridEpochs;
        MAX_BOOKS = p.maxBooks;
        SAMPLES = p.samples;
        COLLATERAL_EPOCHS = p.collateralEpochs;
        MAX_MISSES = p.maxMisses;
        PENALTY = p.penalty;
        FINE = p.fine;
        AUCTION_EPOCHS = p.auctionEpochs;
        WITHDRAW_DELAY_EPOCHS = p.withdrawDelayEpochs;
        MIN_STAKE = p.minStake;
        FORMER_OPERATOR_BLOCKS = p.formerOperatorBlocks;
    }

    function _currentEpoch() internal view returns (uint256) {
        return Epochs.epochOf(block.number, EPOCH_BLOCKS);
    }

    /// @dev What the chain must have: the token, and the hashes that seeds are made of.
    function _checkChain(address token) private view {
        if (token.code.length == 0) revert ISettings.TokenHasNoCode(token);
        if (block.number < FIRST_BLOCKS) return;
        (bytes32 hash, bytes32 kept) = SeedBlocks.previous();
        if (hash == 0 || hash != kept) revert ISettings.BlockHashesNotServed(hash, kept);
    }
}
