// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Permit} from "../types/Types.sol";
import {Settings} from "./Settings.sol";

/// @title Balances inside the market
/// @dev Decides how tokens come in and go out; it is the only module that calls the token.
///
/// Invariants:
///   token.balanceOf(market) >= sum(vault) + sum(stake) + sum(prepaid, not yet proven)
///   a token moves out only through `withdraw`, from the caller's own vault
abstract contract Vault is IVault, Settings, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    mapping(address account => uint256) private _vaults;

    /// @inheritdoc IVault
    function deposit(uint256 amount) external nonReentrant {
        _deposit(amount);
    }

    /// @inheritdoc IVault
    function depositWithPermit(Permit calldata permit) external nonReentrant {
        _depositWithPermit(permit);
    }

    /// @inheritdoc IVault
    function withdraw(address to, uint256 amount) external nonReentrant {
        if (amount == 0) revert ZeroAmount();
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        IERC20(TOKEN).safeTransfer(to, amount);
    }

    /// @inheritdoc IVault
    function vault(address account) external view returns (uint256) {
        return _vaults[account];
    }

    function _depositWithPermit(Permit memory permit) internal {
        _usePermit(permit, permit.value);
        _deposit(permit.value);
    }

    function _credit(address account, uint256 amount) internal {
        _vaults[account] += amount;
    }

    function _debit(address account, uint256 amount) internal {
        uint256 balance = _vaults[account];
        if (balance < amount) revert VaultTooSmall(account, balance, amount);
        unchecked {
            _vaults[account] = balance - amount;
        }
    }

    /// @dev Pulls tokens from the caller. What it pays for is written by then: this calls out.
    function _pull(uint256 amount) internal {
        uint256 balanceBefore = IERC20(TOKEN).balanceOf(address(this));
        IERC20(TOKEN).safeTransferFrom(msg.sender, address(this), amount);
        uint256 balanceAfter = IERC20(TOKEN).balanceOf(address(this));
        if (balanceAfter != balanceBefore + amount) {
            revert WrongAmountReceived(amount, balanceBefore, balanceAfter);
        }
    }

    /// @dev Anyone may have submitted the permit before us, which uses it up but leaves its allowance: so a permit
    /// that fails is an error only if the allowance does not suffice.
    function _usePermit(Permit memory p, uint256 needed) internal {
        // solhint-disable-next-line no-empty-blocks
        try IERC20Permit(TOKEN).permit(msg.sender, address(this), p.value, p.deadline, p.v, p.r, p.s) {} catch {
            uint256 allowance = IERC20(TOKEN).allowance(msg.sender, address(this));
            if (allowance < needed) revert PermitRefused(msg.sender, allowance, needed);
        }
    }

    function _deposit(uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        _credit(msg.sender, amount);
        emit Deposited(msg.sender, amount);
        _pull(amount);
    }
}
