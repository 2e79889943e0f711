// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Permit} from "../types/Types.sol";

/// @title Balances inside the market
/// @notice Renters pay for orders out of their vault, farmers are paid into their owner's.
interface IVault {
    /// @notice `amount` tokens came from `account` into its vault.
    event Deposited(address indexed account, uint256 amount);

    /// @notice `amount` tokens left the vault of `account` for `to`.
    event Withdrawn(address indexed account, address to, uint256 amount);

    /// @notice An amount that must not be zero is.
    error ZeroAmount();

    /// @notice The vault of `account` holds `balance`, and `needed` is more.
    error VaultTooSmall(address account, uint256 balance, uint256 needed);

    /// @notice Tokens sent there could never be moved again.
    error BadRecipient(address to);

    /// @notice The transfer moved another amount than it said: tokens that take a fee are refused.
    error WrongAmountReceived(uint256 amount, uint256 balanceBefore, uint256 balanceAfter);

    /// @notice The permit is not valid, and what `account` allowed the market before does not suffice.
    error PermitRefused(address account, uint256 allowance, uint256 needed);

    /// @notice Moves tokens that the caller approved into its vault.
    function deposit(uint256 amount) external;

    /// @notice Moves `permit.value` tokens into the caller's vault.
    /// @dev A permit that somebody else has already submitted does no harm: the allowance counts.
    function depositWithPermit(Permit calldata permit) external;

    /// @notice Moves tokens from the caller's vault to `to`.
    function withdraw(address to, uint256 amount) external;

    /// @notice The balance of `account` inside the market.
    function vault(address account) external view returns (uint256);
}
