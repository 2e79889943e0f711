// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettings} from "../interfaces/ISettings.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Epoch, Parameters} from "../types/Types.sol";

/// @title The market's parameters and its clock
/// @dev Decides which parameters make a market whose every call fits in a block; what they mean is up to the modules.
abstract contract Settings is ISettings {
    /// @dev EIP-2935 serves the hashes of 8,191 blocks, and a proof is due within the epoch.
    uint256 private constant MIN_EPOCH_BLOCKS = 2;
    uint256 private constant MAX_EPOCH_BLOCKS = 8191;
    uint256 private constant MAX_BOOKS_LIMIT = 32;
    uint256 private constant MAX_SAMPLES = 32;
    uint256 private constant MAX_COLLATERAL_EPOCHS = type(uint16).max;
    /// @dev A farmer absent for the longest term has its misses recorded in one call: a word for 256 epochs.
    uint256 private constant MAX_TERM_EPOCHS = 4096;

    address internal immutable TOKEN;
    uint256 internal immutable EPOCH_BLOCKS;
    uint256 internal immutable GRID_EPOCHS;
    uint256 internal immutable MAX_BOOKS;
    uint256 internal immutable SAMPLES;
    uint256 internal immutable COLLATERAL_EPOCHS;

    constructor(Parameters memory p) {
        if (p.token.code.length == 0) revert TokenHasNoCode(p.token);
        if (p.epochBlocks < MIN_EPOCH_BLOCKS || p.epochBlocks > MAX_EPOCH_BLOCKS) {
            revert EpochBlocksOutOfRange(p.epochBlocks, MIN_EPOCH_BLOCKS, MAX_EPOCH_BLOCKS);
        }
        if (p.maxBooks == 0 || p.maxBooks > MAX_BOOKS_LIMIT) {
            revert MaxBooksOutOfRange(p.maxBooks, 1, MAX_BOOKS_LIMIT);
        }
        if (p.gridEpochs == 0 || p.gridEpochs > MAX_TERM_EPOCHS / p.maxBooks) {
            revert GridEpochsOutOfRange(p.gridEpochs, 1, MAX_TERM_EPOCHS / p.maxBooks);
        }
        if (p.samples == 0 || p.samples > MAX_SAMPLES) revert SamplesOutOfRange(p.samples, 1, MAX_SAMPLES);
        if (p.collateralEpochs == 0 || p.collateralEpochs > MAX_COLLATERAL_EPOCHS) {
            revert CollateralEpochsOutOfRange(p.collateralEpochs, 1, MAX_COLLATERAL_EPOCHS);
        }
        TOKEN = p.token;
        EPOCH_BLOCKS = p.epochBlocks;
        GRID_EPOCHS = p.gridEpochs;
        MAX_BOOKS = p.maxBooks;
        SAMPLES = p.samples;
        COLLATERAL_EPOCHS = p.collateralEpochs;
    }

    /// @inheritdoc ISettings
    function parameters() external view returns (Parameters memory) {
        return
            Parameters({
                token: TOKEN,
                epochBlocks: uint32(EPOCH_BLOCKS),
                gridEpochs: uint32(GRID_EPOCHS),
                maxBooks: uint8(MAX_BOOKS),
                samples: uint8(SAMPLES),
                collateralEpochs: uint32(COLLATERAL_EPOCHS)
            });
    }

    /// @inheritdoc ISettings
    function currentEpoch() external view returns (Epoch) {
        return Epoch.wrap(uint32(_currentEpoch()));
    }

    function _currentEpoch() internal view returns (uint256) {
        return Epochs.epochOf(block.number, EPOCH_BLOCKS);
    }
}
