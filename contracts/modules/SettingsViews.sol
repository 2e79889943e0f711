// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettings} from "../interfaces/ISettings.sol";
import {Epoch, Parameters} from "../types/Types.sol";
import {Settings} from "./Settings.sol";

/// @title What anyone may read of parameters and clock
/// @dev Decides nothing.
abstract contract SettingsViews is ISettings, Settings {
    /// @inheritdoc ISettings
    function parameters() external view returns (Parameters memory) {
        return
            Parameters({
                token: TOKEN,
                epochBlocks: uint32(EPOCH_BLOCKS),
                gridEpochs: uint32(GRID_EPOCHS),
                maxBooks: uint8(MAX_BOOKS),
                samples: uint8(SAMPLES),
                collateralEpochs: uint32(COLLATERAL_EPOCHS),
                maxMisses: uint8(MAX_MISSES),
                penalty: uint8(PENALTY),
                fine: uint8(FINE),
                auctionEpochs: uint32(AUCTION_EPOCHS),
                withdrawDelayEpochs: uint32(WITHDRAW_DELAY_EPOCHS),
                minStake: uint96(MIN_STAKE),
                formerOperatorBlocks: uint32(FORMER_OPERATOR_BLOCKS)
            });
    }

    /// @inheritdoc ISettings
    function currentEpoch() external view returns (Epoch) {
        return Epoch.wrap(uint32(_currentEpoch()));
    }
}
