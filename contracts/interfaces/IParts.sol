// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The contracts that the market's code is in
interface IParts {
    /// @notice The contract does not answer to the calls that are left to it and to the parts behind it (ERC-165).
    error NotThisPart(address part, bytes4 interfaceId);

    /// @notice The part was deployed with other parameters.
    error OtherParameters(address part);

    /// @notice The contracts whose code the market runs on its own storage.
    /// @return Their addresses, in the order in which a call is handed on; they never change.
    function parts() external view returns (address[] memory);
}
