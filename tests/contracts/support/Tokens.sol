// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IMarket} from "../../../contracts/interfaces/IMarket.sol";

/// @dev Takes one base unit of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && value > 0) super._update(to, address(0xFEE), 1);
    }
}

/// @dev Says no instead of reverting, once it is told to.
contract RefusingToken is ERC20("Refusing", "NO") {
    bool private _refuses;

    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }

    function refuse() external {
        _refuses = true;
    }

    function transfer(address to, uint256 value) public override returns (bool) {
        return !_refuses && super.transfer(to, value);
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        return !_refuses && super.transferFrom(from, to, value);
    }
}

/// @dev Calls the market again, as itself, from within each of its transfers.
contract ReentrantToken is ERC20("Reentrant", "RE") {
    IMarket private _market;
    bytes private _call;
    bytes public answer;
    bool private _mayPass;

    constructor(uint256 supply) {
        _mint(msg.sender, supply);
        _mint(address(this), supply);
    }

    function attack(IMarket market, bytes calldata data) external {
        _market = market;
        _call = data;
        _approve(address(this), address(market), type(uint256).max);
    }

    /// @dev The same with a call that may succeed.
    function attackAnd(IMarket market, bytes calldata data) external {
        _market = market;
        _call = data;
        _mayPass = true;
    }

    /// @dev Gives itself a vault to attack with.
    function deposit(IMarket market, uint256 amount) external {
        _approve(address(this), address(market), type(uint256).max);
        market.deposit(amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (address(_market) == address(0)) return;
        bool done;
        (done, answer) = address(_market).call(_call);
        require(_mayPass || !done, "the market let itself be entered again");
    }
}

/// @title A token whose balances change by themselves, and that may begin to take a fee
contract RebasingToken is ERC20("Rebasing", "ELASTIC") {
    bool private _taxes;

    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }

    function rebase(address holder, uint256 balance) external {
        uint256 had = balanceOf(holder);
        if (balance > had) _mint(holder, balance - had);
        else _burn(holder, had - balance);
    }

    function tax() external {
        _taxes = true;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_taxes && from != address(0) && to != address(0)) super._update(to, address(0), 1);
    }
}

/// @title A token without permits that takes any call, as wrapped gas tokens do
contract PhantomPermitToken is ERC20("Phantom", "PHANTOM") {
    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }

    // solhint-disable-next-line no-complex-fallback,no-empty-blocks
    fallback() external {}
}

/// @title A token whose permit is another than ERC-2612's, as DAI's is
contract OtherPermitToken is ERC20("Other", "OTHER") {
    constructor(uint256 supply) {
        _mint(msg.sender, supply);
    }

    function permit(address holder, address spender, uint256, uint256, bool allowed, uint8, bytes32, bytes32) external {
        _approve(holder, spender, allowed ? type(uint256).max : 0);
    }
}
