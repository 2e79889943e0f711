// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    Acceptance,
    Epoch,
    FarmerId,
    Held,
    MandateTerms,
    OrderId,
    Rate,
    Slot,
    Terms
} from "../../../contracts/types/Types.sol";
import {AttackTest} from "./AttackTest.sol";
import {vm} from "./Cheats.sol";

/// @title Orders that go on by mandate
abstract contract MandateTest is AttackTest {
    uint256 internal constant FEE = 777;
    uint256 internal constant LEAVES = 2;
    uint16 internal constant NUMBER = 1;
    address internal constant EXTENDER = address(0xE87E9D);

    FarmerId[] internal _farmers;
    OrderId internal _order;

    /// @dev An order of n slots at the rate R, any k of which give the data back, in the last grid period of its time, and a
    /// mandate that covers it: at that rate, a date further each time.
    function _begin(uint256 n, uint256 k) internal {
        _enter(_date(1));
        _farmers = _registerMany(n);
        _order = _storeWith(_farmers, k);
        _give(NUMBER, _mandate(), _order);
    }

    function _storeWith(FarmerId[] memory farmers, uint256 k) internal returns (OrderId order) {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, _date(1), LEAVES, R);
        terms.k = uint8(k);
        _deposit(farmers.length * R * (_date(1) - _now() - 1));
        vm.prank(renter);
        order = market.place(terms, acceptances);
        uint256[] memory data = new uint256[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) data[slot] = _data(terms, slot);
        _know(order, terms, acceptances, _now() + 1, data, false);
    }

    function _mandate() internal view returns (MandateTerms memory) {
        return
            MandateTerms({
                highestPrice: _priceOf(R),
                highestEgressPrice: _offer().egressPricePerGib,
                fee: uint96(FEE),
                until: Epoch.wrap(uint32(_date(9))),
                termEpochs: uint32(GRID_EPOCHS),
                total: type(uint128).max
            });
    }

    /// @dev What a GiB costs for an epoch where a slot of these tests costs `rate`.
    function _priceOf(uint256 rate) internal pure returns (uint80) {
        return uint80((rate << 30) / (LEAVES * 512));
    }

    function _give(uint16 number, MandateTerms memory terms, OrderId order) internal {
        OrderId[] memory orders = new OrderId[](1);
        orders[0] = order;
        vm.prank(renter);
        market.giveMandate(number, terms, orders, new uint16[](0));
    }

    function _revoke(uint16 number) internal {
        uint16[] memory numbers = new uint16[](1);
        numbers[0] = number;
        vm.prank(renter);
        market.revokeMandates(numbers);
    }

    /// @dev What the present farmers sign for the extender, but for those in the mask `leftOut`.
    function _signedFor(
        OrderId previous,
        uint256 end,
        uint256 rate,
        address extender,
        uint256 leftOut
    ) internal view returns (Acceptance[] memory acceptances) {
        Slot[] memory slots = _stored[previous].slots;
        acceptances = new Acceptance[](slots.length);
        for (uint256 i = 0; i < slots.length; ++i) {
            if ((leftOut >> i) & 1 == 1) {
                uint256 kept = Rate.unwrap(slots[i].rate);
                acceptances[i].root = slots[i].root;
                acceptances[i].rate = Rate.wrap(uint80(kept < R ? kept : R));
                acceptances[i].maxEgressPricePerGib = slots[i].maxEgressPricePerGib;
            } else {
                acceptances[i] = _signedBy(slots[i].farmer, previous, i, end, rate, extender);
            }
        }
    }

    function _signedBy(
        FarmerId farmer,
        OrderId previous,
        uint256 slot,
        uint256 end,
        uint256 rate,
        address extender
    ) internal view returns (Acceptance memory) {
        return _signedBy(farmer, previous, slot, end, rate, _offer().egressPricePerGib, extender);
    }

    /// @dev Extends by mandate until `end` as the extender, and lets the farmers keep it.
    function _extendByMandate(
        OrderId previous,
        uint256 end,
        uint256 rate,
        uint256 leftOut
    ) internal returns (OrderId next) {
        Acceptance[] memory acceptances = _signedFor(previous, end, rate, EXTENDER, leftOut);
        Held memory held = _held(previous);
        vm.prank(EXTENDER);
        next = market.extendByMandate(held, acceptances, EXTENDER);
        Terms memory terms = _terms(0, end, LEAVES, 1, 1);
        _know(next, terms, acceptances, _stored[previous].end, _stored[previous].data, true);
    }

    /// @dev The same call is refused.
    function _refused(OrderId previous, Acceptance[] memory acceptances, bytes memory reason) internal {
        Held memory held = _held(previous);
        uint256 before = market.vault(renter);
        vm.prank(EXTENDER);
        vm.expectRevert(reason);
        market.extendByMandate(held, acceptances, EXTENDER);
        vm.assertEq(market.vault(renter), before, "nothing is paid");
    }

    /// @dev What an extension costs, without fee and bounties.
    function _cost(uint256 slots, uint256 rate, uint256 epochs) internal pure returns (uint256) {
        return slots * rate * epochs;
    }
}
