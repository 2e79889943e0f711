// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../../contracts/interfaces/IFarmers.sol";
import {FarmerId, OperatorConsent, Parameters, Permit} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Nobody acts for a farmer, or is shown to, without having consented; and no name is for nothing
contract ConsentTest is AttackTest {
    uint256 private constant VICTIM_KEY = 4711;
    address private constant OWNER = address(0x0B055);
    address private constant THIEF = address(0x7417EF);
    FarmerId private constant NEW = FarmerId.wrap(0);

    function _try(address owner, address operator, OperatorConsent memory consent) private returns (FarmerId) {
        return market.register(owner, operator, "", _offer(), STAKE, consent);
    }

    /// Must hold: nobody registers a farmer whose operator is somebody else's key, so no newcomer adds its stake to a farmer
    /// that is not its own.
    function test_operatorOfAnotherIsNotToBeHad() external {
        address victim = vm.addr(VICTIM_KEY);
        token.transfer(THIEF, STAKE);
        vm.startPrank(THIEF);
        token.approve(address(market), STAKE);
        vm.expectPartialRevert(IFarmers.ConsentExpired.selector);
        _try(THIEF, victim, _itself());
        OperatorConsent memory own = _consentTo(VICTIM_KEY - 1, THIEF, NEW);
        bytes32 domain = _domain(address(market), block.chainid);
        vm.expectRevert(
            abi.encodeWithSelector(
                IFarmers.ConsentForged.selector,
                victim,
                _signer(_consentDigest(domain, victim, THIEF, NEW, 0, own.deadlineBlock), own.r, own.vs)
            )
        );
        _try(THIEF, victim, own);
        vm.stopPrank();
        vm.assertEq(market.farmerCount(), 0, "no farmer");
        vm.assertEq(token.balanceOf(THIEF), STAKE, "nothing won, nothing lost");
    }

    /// Must hold: a consent is for one owner and a new farmer, on this market and chain, and serves once.
    function testFuzz_aConsentServesOnceAndForItsOwner(address other, uint64 chain, uint32 farmer) external {
        vm.assume(other != OWNER && other != address(0) && chain != block.chainid && farmer != 0);
        address operator = vm.addr(VICTIM_KEY);
        OperatorConsent[5] memory wrong = [
            _consentTo(VICTIM_KEY, other, NEW),
            _consentTo(VICTIM_KEY, OWNER, FarmerId.wrap(farmer)),
            _consentTo(VICTIM_KEY, address(market), chain, OWNER, NEW, 0),
            _consentTo(VICTIM_KEY, market.parts()[0], block.chainid, OWNER, NEW, 0),
            _consentTo(VICTIM_KEY, address(market), block.chainid, OWNER, NEW, 1)
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectPartialRevert(IFarmers.ConsentForged.selector);
            _try(OWNER, operator, wrong[i]);
        }
        OperatorConsent memory consent = _consentTo(VICTIM_KEY, OWNER, NEW);
        vm.assertEq(market.consentNonce(operator), 0, "none used");
        FarmerId id = _try(OWNER, operator, consent);
        vm.assertEq(market.farmer(id).operator, operator, "operator");
        vm.assertEq(market.consentNonce(operator), 1, "one used");
        vm.expectPartialRevert(IFarmers.ConsentForged.selector);
        _try(OWNER, operator, consent);
        consent = _consentTo(VICTIM_KEY, OWNER, NEW);
        Permit memory none;
        market.registerWithPermit(OWNER, operator, "", _offer(), STAKE, consent, none);
        vm.assertEq(market.consentNonce(operator), 2, "the next one");
    }

    /// Must hold: a consent serves up to its deadline's block and not after.
    function test_aConsentExpires() external {
        OperatorConsent memory consent = _consentTo(VICTIM_KEY, OWNER, NEW);
        vm.roll(consent.deadlineBlock + 1);
        vm.expectRevert(abi.encodeWithSelector(IFarmers.ConsentExpired.selector, consent.deadlineBlock, block.number));
        _try(OWNER, vm.addr(VICTIM_KEY), consent);
        vm.roll(consent.deadlineBlock);
        _try(OWNER, vm.addr(VICTIM_KEY), consent);
    }

    /// Must hold: an owner names no key as operator that did not consent to this farmer, and not again by an old consent; the
    /// key itself needs to sign nothing where it is the owner.
    function test_setOperatorNeedsTheNewOnesConsent() external {
        FarmerId id = _register();
        FarmerId sibling = _register();
        address owner = _ownerOf(id);
        address operator = vm.addr(VICTIM_KEY);
        OperatorConsent memory consent = _consentTo(VICTIM_KEY, owner, sibling);
        vm.expectPartialRevert(IFarmers.ConsentForged.selector);
        vm.prank(owner);
        market.setOperator(id, operator, false, consent);
        consent = _consentTo(VICTIM_KEY, owner, id);
        vm.prank(owner);
        market.setOperator(id, operator, false, consent);
        vm.prank(owner);
        market.setOperator(id, owner, false, _itself());
        vm.assertEq(market.farmer(id).operator, owner, "itself");
        vm.expectPartialRevert(IFarmers.ConsentForged.selector);
        vm.prank(owner);
        market.setOperator(id, operator, false, consent);
    }

    /// Must hold: a name costs `minStake` as long as it is there: it is not registered with less, nothing below it is taken
    /// back, and who takes all of it has lapsed for ever.
    function testFuzz_aNameCostsTheLeastStake(uint96 least, uint96 more) external {
        least = uint96(_within(least, 2, type(uint96).max / 2));
        more = uint96(_within(more, 0, type(uint96).max / 2));
        Parameters memory p = _parameters(address(token));
        p.minStake = least;
        market = _deploy(p);
        token.approve(address(market), type(uint256).max);
        bytes memory reason = abi.encodeWithSelector(IFarmers.StakeBelowLeast.selector, least - 1, least);
        vm.expectRevert(reason);
        market.register(OWNER, address(this), "", _offer(), least - 1, _itself());
        FarmerId id = market.register(OWNER, address(this), "", _offer(), uint256(least) + more, _itself());
        vm.startPrank(OWNER);
        reason = abi.encodeWithSelector(IFarmers.StakeNotFree.selector, id, more + 1, uint256(least) + more, least);
        vm.expectRevert(reason);
        market.unstake(id, uint256(more) + 1);
        if (more > 0) market.unstake(id, more);
        vm.assertEq(market.farmer(id).stake, least, "what a name costs");
        vm.assertTrue(!market.farmer(id).lapsed, "still there");
        market.unstake(id, least);
        vm.stopPrank();
        vm.assertTrue(market.farmer(id).lapsed, "gone");
        vm.assertEq(market.earnings(OWNER), uint256(least) + more, "with all that it had");
        vm.expectPartialRevert(IFarmers.FarmerLapsed.selector);
        market.addStake(id, least);
    }
}
