// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token as USDC is in what matters to a market: few decimals, a list of blocked accounts, and no permits
/// @notice For devnets and tests. Its keeper, who deployed it, blocks and unblocks accounts.
contract UsdcLikeToken is ERC20 {
    /// @notice The account may neither send, nor get, nor approve.
    error AccountBlocked(address account);

    /// @notice Only the keeper may do this.
    error NotKeeper(address sender);

    address private immutable KEEPER;
    uint8 private immutable DECIMALS;

    /// @notice Whether an account is blocked.
    mapping(address account => bool blocked) public isBlocked;

    constructor(uint256 supply, string memory symbol_, uint8 decimals_) ERC20("Devnet dollar", symbol_) {
        KEEPER = msg.sender;
        DECIMALS = decimals_;
        _mint(msg.sender, supply);
    }

    /// @notice Block an account, or let it go on.
    function setBlocked(address account, bool blocked) external {
        if (msg.sender != KEEPER) revert NotKeeper(msg.sender);
        isBlocked[account] = blocked;
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return DECIMALS;
    }

    function _update(address from, address to, uint256 value) internal override {
        _requireNotBlocked(from);
        _requireNotBlocked(to);
        super._update(from, to, value);
    }

    function _approve(address owner, address spender, uint256 value, bool emitEvent) internal override {
        _requireNotBlocked(owner);
        _requireNotBlocked(spender);
        super._approve(owner, spender, value, emitEvent);
    }

    function _requireNotBlocked(address account) private view {
        if (isBlocked[account]) revert AccountBlocked(account);
    }
}
