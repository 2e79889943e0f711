// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../../../contracts/Market.sol";
import {Bits} from "../../../contracts/libraries/Bits.sol";
import {BookHeaders} from "../../../contracts/types/BookHeader.sol";
import {FarmerState} from "../../../contracts/types/FarmerState.sol";
import {Entry, Epoch, FarmerId, Parameters, Rate} from "../../../contracts/types/Types.sol";

/// @title The market behind `IOpenMarket`
contract OpenMarket is Market {
    constructor(Parameters memory p, address farmers) Market(p, farmers) {}

    function enter(FarmerId farmer, Epoch end, bool extension, Entry memory entry) external {
        Farmer storage stored = _farmers[farmer];
        uint256 current = _currentEpoch();
        FarmerState state = _settled(farmer, stored, stored.state, current);
        state = state.committed(state.committedRate() + Rate.unwrap(entry.rate), current, extension);
        _append(farmer, state, Epoch.unwrap(end) / GRID_EPOCHS, extension, entry);
        stored.state = state;
    }

    function pass(FarmerId farmer, Epoch epoch) external {
        _farmers[farmer].state = _farmers[farmer].state.settled(Epoch.unwrap(epoch));
    }

    function grow(FarmerId farmer, Epoch end, bool extension, uint256 count) external {
        uint256 grid = Epoch.unwrap(end) / GRID_EPOCHS;
        Book storage stored = _bookOf(farmer, grid, extension);
        stored.header = BookHeaders.pack(grid, count, _currentEpoch() - 1, 0, 0);
        for (uint256 i = 0; i < Bits.popcount(count); ++i) stored.peaks[i] = keccak256(abi.encode(i));
    }
}
