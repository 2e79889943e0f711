// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title A token as USDT is in what matters to a market: its calls return nothing, and an allowance that is not zero
/// can only be set to zero
/// @notice For devnets and tests.
contract UsdtLikeToken {
    /// @notice As in ERC-20.
    event Transfer(address indexed from, address indexed to, uint256 value);

    /// @notice As in ERC-20.
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /// @notice There is an allowance: set it to zero first.
    error AllowanceNotZero(uint256 allowance);

    /// @notice As in ERC-20.
    string public symbol;
    uint8 private immutable DECIMALS;
    uint256 private immutable SUPPLY;
    /// @notice As in ERC-20.
    mapping(address account => uint256 balance) public balanceOf;
    /// @notice As in ERC-20.
    mapping(address owner => mapping(address spender => uint256 value)) public allowance;

    constructor(uint256 supply, string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        DECIMALS = decimals_;
        SUPPLY = supply;
        balanceOf[msg.sender] = supply;
        emit Transfer(address(0), msg.sender, supply);
    }

    // That three calls return nothing is what this token is for.
    // slither-disable-start erc20-interface

    /// @notice As in ERC-20, but for what it returns.
    function transfer(address to, uint256 value) external {
        _move(msg.sender, to, value);
    }

    /// @notice As in ERC-20, but for what it returns.
    function transferFrom(address from, address to, uint256 value) external {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
    }

    /// @notice As in ERC-20, but for what it returns, and for what is refused.
    function approve(address spender, uint256 value) external {
        uint256 now_ = allowance[msg.sender][spender];
        if (value != 0 && now_ != 0) revert AllowanceNotZero(now_);
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
    }

    // slither-disable-end erc20-interface

    /// @notice As in ERC-20.
    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    /// @notice As in ERC-20.
    function totalSupply() external view returns (uint256) {
        return SUPPLY;
    }

    function _move(address from, address to, uint256 value) private {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}
