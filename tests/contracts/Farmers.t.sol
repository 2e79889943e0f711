// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {IVault} from "../../contracts/interfaces/IVault.sol";
import {Epoch, FarmerId, FarmerView, Offer, OperatorConsent, Permit} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {FarmTest} from "./support/FarmTest.sol";

/// @title Farmers register, change what they say of themselves, and add to their stake
contract FarmersTest is FarmTest {
    address private constant OWNER = address(0xA11CE);

    /// Must hold: a farmer is what it registered as, with the stake pulled from the caller.
    function testFuzz_registerKeepsWhatItIsGiven(
        address owner,
        uint256 key,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake
    ) external {
        vm.assume(owner != address(0) && bytes(endpoint).length <= 256);
        key = _within(key, 1, type(uint128).max);
        address operator = vm.addr(key);
        stake = _within(stake, 1, type(uint96).max);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.FarmerRegistered(FarmerId.wrap(1), owner, operator);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.FarmerUpdated(FarmerId.wrap(1), endpoint, offer);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.StakeAdded(FarmerId.wrap(1), stake, stake);
        OperatorConsent memory consent = _consentTo(key, owner, FarmerId.wrap(0));
        FarmerId id = market.register(owner, operator, endpoint, offer, stake, consent);
        vm.assertEq(FarmerId.unwrap(id), 1, "id");
        FarmerView memory shown = market.farmer(id);
        vm.assertEq(shown.owner, owner, "owner");
        vm.assertEq(shown.operator, operator, "operator");
        vm.assertEq(shown.stake, stake, "stake");
        vm.assertEq(shown.endpoint, endpoint, "endpoint");
        vm.assertEq(keccak256(abi.encode(shown.offer)), keccak256(abi.encode(offer)), "offer");
        vm.assertEq(shown.committedRate, 0, "committed rate");
        vm.assertEq(shown.misses, 0, "misses");
        vm.assertEq(shown.strikes, 0, "strikes");
        vm.assertEq(shown.epochsProven, 0, "epochs proven");
        vm.assertEq(shown.registeredBlock, block.number, "registered");
        vm.assertEq(shown.ceiling, type(uint80).max, "no ceiling");
        vm.assertEq(shown.lossLimit, type(uint80).max, "no limit of losses");
        vm.assertTrue(!shown.lapsed, "not lapsed");
        vm.assertEq(market.eviction(id).vacantBlock, 0, "not evicted");
        vm.assertEq(_settledEpoch(id), _now(), "settled epoch");
        vm.assertEq(token.balanceOf(address(market)), stake, "the market's tokens");
    }

    /// Must hold: ids count from 1.
    function test_idsCountFromOne() external {
        for (uint32 i = 1; i <= 3; ++i) vm.assertEq(FarmerId.unwrap(_register()), i, "id");
        vm.assertEq(market.farmerCount(), 3, "count");
    }

    /// Must hold: a farmer without owner, operator or stake is refused.
    function test_registerNobodyOrNothing() external {
        vm.expectRevert(IFarmers.ZeroAddress.selector);
        market.register(address(0), OWNER, "", _offer(), 1, _itself());
        vm.expectRevert(IFarmers.ZeroAddress.selector);
        market.register(OWNER, address(0), "", _offer(), 1, _itself());
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeBelowLeast.selector, 0, MIN_STAKE));
        market.register(OWNER, address(this), "", _offer(), 0, _itself());
    }

    /// Must hold: an endpoint of 256 bytes is kept, a longer one is refused.
    function testFuzz_endpointIsBounded(uint256 length) external {
        length = _within(length, 257, 2000);
        market.register(OWNER, address(this), string(new bytes(256)), _offer(), 1, _itself());
        vm.expectRevert(abi.encodeWithSelector(IFarmers.EndpointTooLong.selector, length, 256));
        market.register(OWNER, address(this), string(new bytes(length)), _offer(), 1, _itself());
        vm.expectRevert(abi.encodeWithSelector(IFarmers.EndpointTooLong.selector, length, 256));
        vm.prank(OWNER);
        market.updateFarmer(FarmerId.wrap(1), string(new bytes(length)), _offer());
    }

    /// Must hold: a permit for the stake registers, no matter who submits it first.
    function testFuzz_registerWithPermit(uint256 stake, bool used) external {
        stake = _within(stake, 1, type(uint96).max);
        token.transfer(renter, stake);
        vm.prank(renter);
        token.approve(address(market), 0);
        Permit memory p = _permit(RENTER_KEY, stake);
        if (used) token.permit(renter, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(renter);
        FarmerId id = market.registerWithPermit(OWNER, renter, "", _offer(), stake, _itself(), p);
        vm.assertEq(market.farmer(id).stake, stake, "stake");
    }

    /// Must hold: the owner and the operator update a farmer, nobody else does.
    function testFuzz_updateFarmer(address stranger, Offer calldata offer) external {
        FarmerId id = _register();
        vm.assume(stranger != _ownerOf(id) && stranger != _operator(id));
        vm.prank(_ownerOf(id));
        market.updateFarmer(id, "by owner", offer);
        vm.assertEq(market.farmer(id).endpoint, "by owner", "endpoint");
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.FarmerUpdated(id, "by operator", offer);
        vm.prank(_operator(id));
        market.updateFarmer(id, "by operator", offer);
        vm.assertEq(market.farmer(id).endpoint, "by operator", "endpoint");
        vm.assertEq(keccak256(abi.encode(market.farmer(id).offer)), keccak256(abi.encode(offer)), "offer");
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwnerOrOperator.selector, id, stranger));
        vm.prank(stranger);
        market.updateFarmer(id, "", offer);
    }

    /// Must hold: only the owner names another operator, and it must be somebody.
    function testFuzz_setOperator(uint256 key, address stranger, bool voidFormer) external {
        FarmerId id = _register();
        key = _within(key, 1, type(uint128).max);
        address operator = vm.addr(key);
        OperatorConsent memory consent = _consentTo(key, _ownerOf(id), id);
        vm.assume(stranger != _ownerOf(id));
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwner.selector, id, _operator(id)));
        vm.prank(_operator(id));
        market.setOperator(id, operator, voidFormer, consent);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.NotOwner.selector, id, stranger));
        vm.prank(stranger);
        market.setOperator(id, operator, voidFormer, consent);
        vm.expectRevert(IFarmers.ZeroAddress.selector);
        vm.prank(_ownerOf(id));
        market.setOperator(id, address(0), voidFormer, consent);
        vm.expectEmit(true, true, true, true, address(market));
        uint256 until = voidFormer ? 0 : block.number + FORMER_OPERATOR_BLOCKS;
        emit IFarmers.OperatorChanged(id, operator, uint64(until));
        vm.prank(_ownerOf(id));
        market.setOperator(id, operator, voidFormer, consent);
        vm.assertEq(market.farmer(id).operator, operator, "operator");
        vm.assertEq(market.farmer(id).stake, STAKE, "the stake beside it");
    }

    /// Must hold: anyone adds to a stake, and it is the sum.
    function testFuzz_addStake(uint256 amount) external {
        FarmerId id = _register();
        amount = _within(amount, 1, type(uint96).max - STAKE);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.StakeAdded(id, amount, STAKE + amount);
        market.addStake(id, amount);
        vm.assertEq(market.farmer(id).stake, STAKE + amount, "stake");
        vm.assertEq(market.farmer(id).operator, _operator(id), "the operator beside it");
        vm.expectRevert(IVault.ZeroAmount.selector);
        market.addStake(id, 0);
    }

    /// Must hold: misses not yet recorded are paid for before stake is added.
    function testFuzz_addStakeSettlesFirst(uint256 amount, uint256 misses) external {
        FarmerId id = _register();
        misses = _within(misses, 1, MAX_MISSES - 1);
        amount = _within(amount, 1, type(uint96).max - STAKE);
        _store(id, _date(3), 1, 1e18);
        _enter(_now() + 1 + misses);
        uint256 left = STAKE - misses * (PENALTY + FINE) * 1e18;
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.StakeLost(id, misses * PENALTY * 1e18, misses * FINE * 1e18, left);
        vm.expectEmit(true, true, true, true, address(market));
        emit IFarmers.StakeAdded(id, amount, left + amount);
        market.addStake(id, amount);
        vm.assertEq(market.farmer(id).stake, left + amount, "stake");
        vm.assertEq(market.farmer(id).misses, misses, "misses");
    }

    /// Must hold: a stake beyond 96 bits is refused, and says how much more would fit.
    function testFuzz_stakeIsBounded(uint256 amount) external {
        FarmerId id = _register();
        uint256 limit = type(uint96).max - STAKE;
        vm.assume(amount > limit);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.StakeTooLarge.selector, amount, limit));
        market.addStake(id, amount);
    }

    /// Must hold: nothing is done to, or said of, a farmer that does not exist.
    function testFuzz_unknownFarmer(uint32 number) external {
        _register();
        vm.assume(number != 1);
        FarmerId id = FarmerId.wrap(number);
        bytes memory unknown = abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, id);
        vm.expectRevert(unknown);
        market.farmer(id);
        vm.expectRevert(unknown);
        market.updateFarmer(id, "", _offer());
        vm.expectRevert(unknown);
        market.setOperator(id, OWNER, true, _itself());
        vm.expectRevert(unknown);
        market.setLimits(id, 0, 0);
        vm.expectRevert(unknown);
        market.addStake(id, 1);
        vm.expectRevert(unknown);
        market.settle(id);
        vm.expectRevert(unknown);
        market.unstake(id, 1);
        vm.expectRevert(unknown);
        market.evict(id);
        vm.expectRevert(unknown);
        market.declareLoss(id, Epoch.wrap(0), false, new bytes32[](4));
        vm.expectRevert(unknown);
        market.missed(id, Epoch.wrap(0));
        vm.expectRevert(unknown);
        market.rateAt(id, Epoch.wrap(uint32(_now())));
    }

    /// Must hold: a page has the farmers asked for, or as many as there are.
    function testFuzz_farmersInPages(uint32 first, uint32 count) external {
        for (uint256 i = 0; i < 7; ++i) _register(i + 1);
        first = uint32(_within(first, 1, 10));
        count = uint32(_within(count, 0, 100));
        FarmerView[] memory page = market.farmers(first, count);
        uint256 expected = first > 7 ? 0 : 8 - first;
        if (expected > count) expected = count;
        vm.assertEq(page.length, expected, "length");
        for (uint256 i = 0; i < page.length; ++i) {
            vm.assertEq(
                keccak256(abi.encode(page[i])),
                keccak256(abi.encode(market.farmer(FarmerId.wrap(uint32(first + i))))),
                "as shown alone"
            );
        }
    }

    /// Must hold: a page is bounded and begins with a farmer that may exist.
    function testFuzz_pagesAreBounded(uint32 count) external {
        vm.assume(count > 100);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.PageTooLong.selector, count, 100));
        market.farmers(1, count);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.PageTooLong.selector, 101, 100));
        market.farmers(1, 101);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.UnknownFarmer.selector, 0));
        market.farmers(0, 1);
    }
}
