// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IVault} from "../interfaces/IVault.sol";
import {Epoch, Permit} from "../types/Types.sol";
import {Balances} from "./Balances.sol";

/// @title Balances inside the market
/// @dev Decides when money may leave: out of a vault, which vouchers and orders are paid from, after a delay; out of
/// earnings at once.
///
/// Invariants:
///   a token moves out only through `withdraw`, `claim` and `burn`, from the caller's own balance or from what is burnt
abstract contract Vault is IVault, Balances {
    /// @inheritdoc IVault
    function deposit(uint256 amount) external nonReentrant {
        _deposit(amount);
    }

    /// @inheritdoc IVault
    function depositWithPermit(Permit calldata permit) external nonReentrant {
        _depositWithPermit(permit);
    }

    /// @inheritdoc IVault
    function requestWithdrawal(uint256 amount) external {
        if (amount == 0) revert ZeroAmount();
        if (amount > type(uint224).max) revert AmountTooLarge(amount, type(uint224).max);
        uint32 readyEpoch = uint32(_currentEpoch() + WITHDRAW_DELAY_EPOCHS);
        _withdrawals[msg.sender] = Withdrawal({amount: uint224(amount), readyEpoch: readyEpoch});
        emit WithdrawalRequested(msg.sender, amount, Epoch.wrap(readyEpoch));
    }

    /// @inheritdoc IVault
    function withdraw(address to) external nonReentrant {
        _checkRecipient(to);
        Withdrawal memory request = _withdrawals[msg.sender];
        if (request.amount == 0) revert NothingRequested(msg.sender);
        uint256 current = _currentEpoch();
        if (current < request.readyEpoch) {
            revert WithdrawalNotReady(Epoch.wrap(request.readyEpoch), Epoch.wrap(uint32(current)));
        }
        uint256 balance = _vaults[msg.sender];
        if (balance == 0) revert VaultTooSmall(msg.sender, 0, request.amount);
        uint256 amount = request.amount < balance ? request.amount : balance;
        delete _withdrawals[msg.sender];
        _debit(msg.sender, msg.sender, amount, false);
        emit Withdrawn(msg.sender, to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IVault
    function claim(address to, uint256 amount) external nonReentrant {
        _checkRecipient(to);
        if (amount == 0) revert ZeroAmount();
        _spend(msg.sender, amount);
        emit Claimed(msg.sender, to, amount);
        _push(to, amount);
    }

    /// @inheritdoc IVault
    function burn() external nonReentrant {
        uint256 amount = _earnings[BURNT];
        if (amount == 0) revert ZeroAmount();
        _spend(BURNT, amount);
        emit Claimed(BURNT, BURNT, amount);
        _push(BURNT, amount);
    }

    /// @inheritdoc IVault
    function vault(address account) external view returns (uint256) {
        return _vaults[account];
    }

    /// @inheritdoc IVault
    function earnings(address account) external view returns (uint256) {
        return _earnings[account];
    }

    /// @inheritdoc IVault
    function withdrawal(address account) external view returns (uint256 amount, Epoch readyEpoch) {
        Withdrawal memory request = _withdrawals[account];
        return (request.amount, Epoch.wrap(request.readyEpoch));
    }

    function _spend(address account, uint256 amount) private {
        uint256 balance = _earnings[account];
        if (balance < amount) revert EarningsTooSmall(account, balance, amount);
        unchecked {
            _earnings[account] = balance - amount;
        }
    }

    function _checkRecipient(address to) private view {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
    }
}
