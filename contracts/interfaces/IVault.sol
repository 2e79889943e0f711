// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, Permit} from "../types/Types.sol";

/// @title Balances inside the market
/// @notice Each account has two. Its vault holds what it deposited and what comes back from its orders, and pays for
/// orders and vouchers; it can be withdrawn after a delay, in which farmers redeem. Its earnings hold what it was paid.
interface IVault {
    /// @notice `amount` tokens came from `account` into its vault.
    event Deposited(address indexed account, uint256 amount);

    /// @notice From `readyEpoch` on `account` may withdraw up to `amount`.
    event WithdrawalRequested(address indexed account, uint256 amount, Epoch readyEpoch);

    /// @notice `amount` tokens left the vault of `account` for `to`.
    event Withdrawn(address indexed account, address to, uint256 amount);

    /// @notice `amount` tokens left the earnings of `account` for `to`.
    event Claimed(address indexed account, address to, uint256 amount);

    /// @notice An amount that must not be zero is.
    error ZeroAmount();

    /// @notice An amount is beyond what can be kept.
    error AmountTooLarge(uint256 amount, uint256 limit);

    /// @notice The vault of `account` holds `balance`, and `needed` is more.
    error VaultTooSmall(address account, uint256 balance, uint256 needed);

    /// @notice The earnings of `account` are `balance`, and `needed` is more.
    error EarningsTooSmall(address account, uint256 balance, uint256 needed);

    /// @notice The account has announced no withdrawal.
    error NothingRequested(address account);

    /// @notice The withdrawal was announced for `readyEpoch`.
    error WithdrawalNotReady(Epoch readyEpoch, Epoch current);

    /// @notice Tokens sent there could never be moved again.
    error BadRecipient(address to);

    /// @notice The transfer moved another amount than it said: tokens that take a fee are refused.
    error WrongAmountReceived(uint256 amount, uint256 balanceBefore, uint256 balanceAfter);

    /// @notice The permit is not valid, and what `account` allowed the market before does not suffice.
    error PermitRefused(address account, uint256 allowance, uint256 needed);

    /// @notice Moves tokens that the caller approved into its vault.
    /// @param amount In token base units.
    function deposit(uint256 amount) external;

    /// @notice Moves `permit.value` tokens into the caller's vault.
    /// @dev A permit that somebody else has already submitted does no harm: the allowance counts.
    /// @param permit The caller's permit for the market to pull `permit.value` tokens.
    function depositWithPermit(Permit calldata permit) external;

    /// @notice Announces that the caller will withdraw up to `amount` of its vault. Takes the place of an earlier
    /// announcement. Until it is withdrawn the money stays in the vault and can be spent.
    /// @param amount In token base units. It may be more than the vault holds.
    function requestWithdrawal(uint256 amount) external;

    /// @notice Moves what was announced, or what is left of it, from the caller's vault to `to`.
    /// @param to The account that receives the tokens.
    function withdraw(address to) external;

    /// @notice Moves tokens from the caller's earnings to `to`.
    /// @param to The account that receives the tokens.
    /// @param amount In token base units.
    function claim(address to, uint256 amount) external;

    /// @notice Sends the fines taken so far out of circulation. By anyone.
    function burn() external;

    /// @notice What the vault of `account` holds.
    /// @param account The account that is asked about.
    /// @return In token base units.
    function vault(address account) external view returns (uint256);

    /// @notice What `account` has earned and not claimed.
    /// @param account The account that is asked about.
    /// @return In token base units.
    function earnings(address account) external view returns (uint256);

    /// @notice What `account` announced to withdraw, and when it may.
    /// @param account The account that is asked about.
    /// @return amount In token base units; zero when nothing is announced.
    /// @return readyEpoch The first epoch in which it can be withdrawn.
    function withdrawal(address account) external view returns (uint256 amount, Epoch readyEpoch);
}
