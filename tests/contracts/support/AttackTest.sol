// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {FarmTest} from "./FarmTest.sol";

/// @title What attackers have, and what they can know
abstract contract AttackTest is FarmTest {
    uint256 internal constant R = 1e6;
    address internal constant REPAIRER = address(0x4E9A14);
    uint256 internal constant OWN_RENTER_KEY = 78;

    /// @dev All that a farmer and its owner have.
    function _worth(FarmerId farmer) internal view returns (uint256) {
        return market.farmer(farmer).stake + market.earnings(_ownerOf(farmer));
    }

    /// @dev Orders from here on are those of the attacker's own renter.
    function _asOwnRenter() internal returns (address own) {
        own = vm.addr(OWN_RENTER_KEY);
        token.transfer(own, 1e30);
        renter = own;
        vm.prank(own);
        token.approve(address(market), type(uint256).max);
    }

    function _money(address account) internal view returns (uint256) {
        return token.balanceOf(account) + market.vault(account);
    }

    /// @dev Whether one of the epoch's samples lies in a slot after the first `kept` of the farmer's.
    function _drawnFrom(FarmerId farmer, uint256 kept) internal returns (bool) {
        market.recordSeed();
        uint256 live = 0;
        for (uint256 number = 0; live < SAMPLES; ++number) {
            Drawn memory drawn = _drawn(farmer, _now(), number);
            if (drawn.kept.lostEpoch < _now()) continue;
            ++live;
            for (uint256 i = kept; i < _kept[farmer].length; ++i) {
                if (_tenureOf(_kept[farmer][i]) == _tenureOf(drawn.kept)) return true;
            }
        }
        return false;
    }
}
