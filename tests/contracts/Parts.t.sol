// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {
    ACCOUNTS_INTERFACE,
    FARMERS_INTERFACE,
    IMarket,
    MARKET_INTERFACE,
    SLOTS_INTERFACE
} from "../../contracts/interfaces/IMarket.sol";
import {IParts} from "../../contracts/interfaces/IParts.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {GrangeToken} from "../../contracts/token/GrangeToken.sol";
import {Acceptance, FarmerId, Parameters, Parting, Permit, Terms, Voucher} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {ReentrantToken} from "./support/Tokens.sol";

/// @title The market's four contracts, of which only one is the market
contract PartsTest is MarketTest {
    function _parts() private view returns (IMarket farmers, IMarket slots, IMarket accounts) {
        address[] memory parts = market.parts();
        vm.assertEq(parts.length, 3, "parts");
        return (IMarket(parts[0]), IMarket(parts[1]), IMarket(parts[2]));
    }

    /// Must hold: each part says what it answers to (ERC-165), each for itself.
    function testFuzz_supportsInterface(bytes4 other) external view {
        bytes4[5] memory ids = [
            type(IERC165).interfaceId,
            MARKET_INTERFACE,
            FARMERS_INTERFACE,
            SLOTS_INTERFACE,
            ACCOUNTS_INTERFACE
        ];
        (IMarket farmers, IMarket slots, IMarket accounts) = _parts();
        IMarket[4] memory all = [market, farmers, slots, accounts];
        for (uint256 i = 0; i < all.length; ++i) {
            for (uint256 id = 0; id < ids.length; ++id) {
                vm.assertTrue(all[i].supportsInterface(ids[id]) == (id == 0 || id == i + 1), "its own only");
                vm.assume(other != ids[id]);
            }
            vm.assertTrue(!all[i].supportsInterface(other), "anything else");
        }
    }

    /// Must hold: a part knows those behind it, and all of them answer with the same parameters.
    function test_partsBehind() external view {
        (IMarket farmers, IMarket slots, IMarket accounts) = _parts();
        address[] memory behind = farmers.parts();
        vm.assertEq(behind.length, 2, "behind the farmers");
        vm.assertEq(behind[0], address(slots), "the slots");
        vm.assertEq(behind[1], address(accounts), "the accounts");
        vm.assertEq(slots.parts()[0], address(accounts), "behind the slots");
        vm.assertEq(accounts.parts().length, 0, "behind the accounts");
        IMarket[3] memory all = [farmers, slots, accounts];
        bytes memory parameters = abi.encode(market.parameters());
        for (uint256 i = 0; i < all.length; ++i) {
            vm.assertTrue(address(all[i]).code.length > 0, "it is there");
            vm.assertEq(keccak256(abi.encode(all[i].parameters())), keccak256(parameters), "its parameters");
        }
    }

    /// Must hold: a part is made only over the next one: not over an account, a token or another part.
    function testFuzz_notThisPart(address nothing) external {
        vm.assume(nothing.code.length == 0 && uint160(nothing) > 0xffff);
        Parameters memory p = _parameters(address(token));
        (IMarket farmers, IMarket slots, IMarket accounts) = _parts();
        address[6] memory all = [
            nothing,
            address(token),
            address(market),
            address(farmers),
            address(slots),
            address(accounts)
        ];
        for (uint256 i = 0; i < all.length; ++i) {
            if (all[i] != address(farmers)) {
                vm.expectRevert(abi.encodeWithSelector(IParts.NotThisPart.selector, all[i], FARMERS_INTERFACE));
                _create("Market.sol:Market", abi.encode(p, all[i]));
            }
            if (all[i] != address(slots)) {
                vm.expectRevert(abi.encodeWithSelector(IParts.NotThisPart.selector, all[i], SLOTS_INTERFACE));
                _createFarmers(p, all[i]);
            }
            if (all[i] != address(accounts)) {
                vm.expectRevert(abi.encodeWithSelector(IParts.NotThisPart.selector, all[i], ACCOUNTS_INTERFACE));
                _createSlots(p, all[i]);
            }
        }
    }

    /// Must hold: a part is made only over one with its own parameters, to the last of them.
    function test_otherParameters() external {
        Parameters memory p = _parameters(address(token));
        address accounts = _createAccounts(p);
        address slots = _createSlots(p, accounts);
        address farmers = _createFarmers(p, slots);
        ++p.formerOperatorBlocks;
        _expectOther(p, farmers, slots, accounts);
        --p.formerOperatorBlocks;
        p.token = address(new GrangeToken(1));
        _expectOther(p, farmers, slots, accounts);
        p.token = address(token);
        IMarket made = IMarket(_create("Market.sol:Market", abi.encode(p, farmers)));
        vm.assertEq(made.parts()[0], farmers, "its farmers");
        vm.assertEq(made.parts()[1], slots, "its slots");
        vm.assertEq(made.parts()[2], accounts, "its accounts");
    }

    function _expectOther(Parameters memory p, address farmers, address slots, address accounts) private {
        vm.expectRevert(abi.encodeWithSelector(IParts.OtherParameters.selector, farmers));
        _create("Market.sol:Market", abi.encode(p, farmers));
        vm.expectRevert(abi.encodeWithSelector(IParts.OtherParameters.selector, slots));
        _createFarmers(p, slots);
        vm.expectRevert(abi.encodeWithSelector(IParts.OtherParameters.selector, accounts));
        _createSlots(p, accounts);
    }

    /// Must hold: what is done with a part itself happens in it alone; the market knows nothing of it and loses nothing.
    function test_thePartsThemselves() external {
        (IMarket farmers, IMarket slots, IMarket accounts) = _parts();
        market.deposit(1000);
        token.approve(address(farmers), type(uint256).max);
        FarmerId there = farmers.register(address(this), address(this), "", _offer(), 70, _itself());
        vm.assertEq(FarmerId.unwrap(there), 1, "a farmer of its own");
        vm.assertEq(market.farmerCount(), 0, "of which the market knows nothing");
        farmers.unstake(there, 70);
        farmers.claim(address(this), 70);
        IMarket[3] memory all_ = [farmers, slots, accounts];
        for (uint256 i = 0; i < all_.length; ++i) {
            token.approve(address(all_[i]), type(uint256).max);
            all_[i].deposit(500);
            all_[i].requestWithdrawal(type(uint224).max);
        }
        vm.assertEq(market.vault(address(this)), 1000, "the market's vault");
        vm.assertEq(token.balanceOf(address(market)), 1000, "the market's tokens");
        _enter(_now() + WITHDRAW_DELAY_EPOCHS);
        for (uint256 i = 0; i < all_.length; ++i) {
            all_[i].withdraw(address(this));
            vm.assertEq(token.balanceOf(address(all_[i])), 0, "what came in went out");
        }
        vm.assertEq(token.balanceOf(address(market)), 1000, "of its own");
        (uint256 announced, ) = market.withdrawal(address(this));
        vm.assertEq(announced, 0, "nothing announced to the market");
    }

    /// Must hold: a part does not answer to calls of a part before it: there is nobody behind the last to ask.
    function test_onlyThoseBehind() external {
        (IMarket farmers, IMarket slots, IMarket accounts) = _parts();
        Terms memory terms;
        bytes[4] memory calls = [
            abi.encodeCall(market.place, (terms, new Acceptance[](0))),
            abi.encodeCall(market.evict, (FarmerId.wrap(1))),
            abi.encodeCall(market.settle, (FarmerId.wrap(1))),
            abi.encodeCall(market.handOver, (FarmerId.wrap(1), new Parting[](0)))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory answer) = address(accounts).call(calls[i]);
            vm.assertTrue(!done && answer.length == 0, "no such call of accounts");
            if (i == 3) continue;
            (done, answer) = address(slots).call(calls[i]);
            vm.assertTrue(!done && answer.length == 0, "no such call of slots");
            if (i == 2) continue;
            (done, answer) = address(farmers).call(calls[i]);
            vm.assertTrue(!done && answer.length == 0, "no such call of farmers");
        }
    }

    /// Must hold: what the last part refuses is refused by the market, with the reason, and so is what no part has.
    function test_noSuchCall() external {
        vm.expectRevert(abi.encodeWithSelector(IVault.ZeroAmount.selector));
        market.deposit(0);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, FarmerId.wrap(9)));
        market.redeem(FarmerId.wrap(9), new Voucher[](0));
        (bool done, ) = address(market).call{value: 1}("");
        vm.assertTrue(!done, "no ether");
        (done, ) = address(market).call{value: 1}(abi.encodeCall(IVault.deposit, (1)));
        vm.assertTrue(!done, "no ether with a call");
        (done, ) = address(market).call("");
        vm.assertTrue(!done, "no call");
        (done, ) = address(market).call(hex"deadbeef");
        vm.assertTrue(!done, "no such call");
    }

    /// Must hold: while one part calls the token, none can be entered.
    function test_guardedTogether() external {
        bytes memory entered = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        ReentrantToken re = new ReentrantToken(SUPPLY);
        market = _deploy(_parameters(address(re)));
        re.approve(address(market), type(uint256).max);
        renter = address(this);
        FarmerId farmer = _register(1e6);
        re.deposit(market, 1000);
        re.attack(market, abi.encodeCall(IVault.claim, (address(1), 1)));
        Terms memory terms = _terms("salt", _date(1), 1, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](1);
        acceptances[0] = _accept(terms, farmer, 0, "root", 10);
        uint256 price = 10 * (_date(1) - _now() - 1);
        market.placeWithPermit(terms, acceptances, Permit(price, 0, 0, 0, 0));
        vm.assertEq(keccak256(re.answer()), keccak256(entered), "accounts while placing");
        re.attack(market, abi.encodeCall(IMarket(address(0)).place, (terms, acceptances)));
        market.addStake(farmer, 5);
        vm.assertEq(keccak256(re.answer()), keccak256(entered), "orders while staking");
        vm.assertEq(market.farmer(farmer).stake, 1e6 + 5, "staked once");
        re.attack(market, abi.encodeCall(IFarmers.addStake, (farmer, 5)));
        re.deposit(market, 7);
        vm.assertEq(keccak256(re.answer()), keccak256(entered), "farmers while depositing");
    }

    /// Must hold: calls that the guard leaves open, made from within a deposit of stake, cannot make it count twice.
    function test_unguardedCallsWithin() external {
        ReentrantToken re = new ReentrantToken(SUPPLY);
        market = _deploy(_parameters(address(re)));
        re.approve(address(market), type(uint256).max);
        FarmerId farmer = market.register(address(re), address(this), "", _offer(), 100, _itself());
        re.attackAnd(market, abi.encodeCall(IFarmers.unstake, (farmer, 50)));
        market.addStake(farmer, 50);
        vm.assertEq(market.farmer(farmer).stake, 100, "stake");
        vm.assertEq(market.earnings(address(re)), 50, "earnings");
        vm.assertEq(re.balanceOf(address(market)), 150, "tokens");
    }
}
