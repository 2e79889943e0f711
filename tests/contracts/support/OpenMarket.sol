// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../../../contracts/Market.sol";
import {Bits} from "../../../contracts/libraries/Bits.sol";
import {Headers} from "../../../contracts/types/Header.sol";
import {Standing} from "../../../contracts/types/Standing.sol";
import {Entry, Epoch, FarmerId, Parameters, Rate} from "../../../contracts/types/Types.sol";

/// @title The market behind `IOpenMarket`
contract OpenMarket is Market {
    constructor(Parameters memory p) Market(p) {}

    function enter(FarmerId farmer, Epoch end, bool extension, Entry memory entry) external {
        Farmer storage stored = _farmers[farmer];
        uint256 current = _currentEpoch();
        Standing standing = _settled(farmer, stored, stored.standing, current);
        standing = standing.committed(standing.committedRate() + Rate.unwrap(entry.rate), 0, current, extension);
        _append(farmer, standing, Epoch.unwrap(end) / GRID_EPOCHS, extension, entry);
        stored.standing = standing;
    }

    function pass(FarmerId farmer, Epoch epoch) external {
        _farmers[farmer].standing = _farmers[farmer].standing.settled(Epoch.unwrap(epoch));
    }

    function grow(FarmerId farmer, Epoch end, bool extension, uint256 count) external {
        uint256 grid = Epoch.unwrap(end) / GRID_EPOCHS;
        Book storage stored = _bookOf(farmer, grid, extension);
        stored.header = Headers.pack(grid, count, _currentEpoch() - 1, 0, 0);
        for (uint256 i = 0; i < Bits.popcount(count); ++i) stored.peaks[i] = keccak256(abi.encode(i));
    }
}
