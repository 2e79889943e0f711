// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Permit} from "../types/Types.sol";
import {Delegations} from "./Delegations.sol";

/// @title Moving amounts between balances, and tokens in and out
/// @dev The only module that calls the token. Who may move what is decided by the modules above.
///
/// Invariants:
///   token.balanceOf(market) >= sum(vault) + sum(earnings) + sum(stake) + what is prepaid and not yet proven
///     + what misses, losses and evictions took from stakes for orders that are not yet closed
abstract contract Balances is Delegations {
    using SafeERC20 for IERC20;

    function _credit(address account, uint256 amount) internal {
        if (amount > 0) _vaults[account] += amount;
    }

    /// @dev The one way out of a vault. `spender` is who decided it: the account itself, or a delegate within its limits.
    /// `owed`: for vouchers, which were signed before.
    function _debit(address account, address spender, uint256 amount, bool owed) internal {
        if (spender != account) _countSpending(account, spender, amount, owed);
        uint256 balance = _vaults[account];
        if (balance < amount) revert IVault.VaultTooSmall(account, balance, amount);
        unchecked {
            _vaults[account] = balance - amount;
        }
    }

    function _earn(address account, uint256 amount) internal {
        if (amount > 0) _earnings[account] += amount;
    }

    /// @dev The permit comes first, since the deposit needs it. Nothing is written by then, and calls that call out do not
    /// nest.
    // slither-disable-next-line reentrancy-benign,reentrancy-events
    function _depositWithPermit(Permit calldata permit) internal {
        _usePermit(permit, permit.value);
        _deposit(permit.value);
    }

    function _deposit(uint256 amount) internal {
        if (amount == 0) revert IVault.ZeroAmount();
        uint256 room = type(uint256).max - _vaults[msg.sender];
        if (amount > room) revert IVault.AmountTooLarge(amount, room);
        _credit(msg.sender, amount);
        emit IVault.Deposited(msg.sender, amount);
        _pull(amount);
    }

    /// @dev Pulls tokens from the caller. What it pays for is written by then: this calls out.
    function _pull(uint256 amount) internal {
        uint256 balanceBefore = IERC20(TOKEN).balanceOf(address(this));
        IERC20(TOKEN).safeTransferFrom(msg.sender, address(this), amount);
        uint256 balanceAfter = IERC20(TOKEN).balanceOf(address(this));
        if (balanceAfter != balanceBefore + amount) {
            revert IVault.WrongAmountReceived(amount, balanceBefore, balanceAfter);
        }
    }

    /// @dev Sends tokens out. What they come from is written by then: this calls out.
    function _push(address to, uint256 amount) internal {
        IERC20(TOKEN).safeTransfer(to, amount);
    }

    /// @dev Anyone may have submitted the permit before us, which uses it up but leaves its allowance: so a permit
    /// that fails is an error only if the allowance does not suffice.
    function _usePermit(Permit calldata p, uint256 needed) internal {
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(TOKEN).permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s) {} catch {
            uint256 allowance = IERC20(TOKEN).allowance(msg.sender, address(this));
            if (allowance < needed) revert IVault.PermitRefused(msg.sender, allowance, needed);
        }
    }
}
