// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The contracts that the market's code is in
interface IParts {
    /// @notice The contract does not answer to the calls that the market leaves to this part (ERC-165).
    error NotThisPart(address part, bytes4 interfaceId);

    /// @notice The part was deployed with other parameters than the market.
    error OtherParameters(address part);

    /// @notice The contracts whose code the market runs on its own storage.
    /// @return Their addresses; they never change.
    function parts() external view returns (address[] memory);
}
