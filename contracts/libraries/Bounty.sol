// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title What is offered for a vacant slot
/// @dev A Dutch auction upwards: from nothing when the slot falls vacant to `full`. Never more than half of what one who
/// takes the slot and does not keep it loses: in `left` epochs `lossPerMiss` epochs of pay each, up to the stake.
library Bounty {
    /// @dev The most that is ever offered, in token base units. Rounded down; what is not paid is the renter's.
    function full(
        uint256 rate,
        uint256 collateral,
        uint256 left,
        uint256 lossPerMiss,
        uint256 collateralEpochs
    ) internal pure returns (uint256) {
        return Math.min(collateral, (rate * Math.min(lossPerMiss * left, collateralEpochs)) / 2);
    }

    /// @dev What is offered `elapsed` blocks after the slot fell vacant. Rounded down; what is not paid is the renter's.
    function offered(uint256 full_, uint256 elapsed, uint256 duration) internal pure returns (uint256) {
        return elapsed >= duration ? full_ : (full_ * elapsed) / duration;
    }
}
