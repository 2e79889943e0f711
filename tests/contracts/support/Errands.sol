// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acceptance, FarmerId, OperatorConsent, OrderId, Terms} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {Passages} from "./Passages.sol";

/// @title What people of a story do about themselves, and what they pay for by a permit
abstract contract Errands is Passages {
    function _keyOf(address account) internal pure returns (uint256 key) {
        for (key = RENTER_KEY; vm.addr(key) != account; ++key) vm.assertTrue(key < RENTER_KEY + RENTERS, "a renter");
    }

    /// @dev Lets the market pull what it likes, again: a permit leaves no more than it says.
    function _approveAll(address account) internal {
        vm.prank(account);
        token.approve(address(market), type(uint256).max);
    }

    /// @dev What changes nothing that a story counts: endpoint, limits, the same operator again.
    function _changeFarmer() internal {
        FarmerId farmer = _anyFarmer();
        uint256 kind = _pick(3);
        OperatorConsent memory consent = _consentTo(_operatorKey(farmer), _ownerOf(farmer), farmer);
        address operator = _operator(farmer);
        bool lapsed = market.farmer(farmer).lapsed;
        vm.startPrank(_ownerOf(farmer));
        if (kind == 0) {
            market.updateFarmer(farmer, "http://farm", _offer());
            _did(Done.UpdateFarmer);
        } else if (kind == 1 && !lapsed) {
            market.setLimits(farmer, type(uint80).max, type(uint80).max);
            _did(Done.SetLimits);
        } else if (kind == 2) {
            market.setOperator(farmer, operator, false, consent);
            _did(Done.SetOperator);
        }
        vm.stopPrank();
    }

    /// @dev A farmer whose stake a renter pays.
    function _registerByPermit(uint256 stake) internal {
        _anyRenter();
        FarmerId next = FarmerId.wrap(market.farmerCount() + 1);
        address owner = _ownerOf(next);
        OperatorConsent memory consent = _consentTo(_operatorKey(next), owner, FarmerId.wrap(0));
        bytes memory data = abi.encodeCall(
            market.registerWithPermit,
            (owner, _operator(next), "http://farmer", _offer(), stake, consent, _permit(_keyOf(renter), stake))
        );
        _isRefused(renter, data, new bytes4[](0));
        _approveAll(renter);
        _did(Done.RegisterWithPermit);
    }

    function _depositByPermit(uint256 amount) internal {
        bytes memory data = abi.encodeCall(market.depositWithPermit, (_permit(_keyOf(renter), amount)));
        _isRefused(renter, data, new bytes4[](0));
        _approveAll(renter);
        _did(Done.DepositWithPermit);
    }

    /// @dev Places an order of the renter, and pays for it in the same call.
    function _storeByPermit(FarmerId[] memory farmers, uint256 end, uint256 leafCount, uint256 rate) internal {
        (Terms memory terms, Acceptance[] memory acceptances) = _offered(farmers, end, leafCount, rate);
        uint256 cost = farmers.length * rate * (end - _now() - 1);
        bytes memory data = abi.encodeCall(market.placeWithPermit, (terms, acceptances, _permit(_keyOf(renter), cost)));
        _isRefused(renter, data, new bytes4[](0));
        _approveAll(renter);
        uint256[] memory seeds = new uint256[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) seeds[slot] = _data(terms, slot);
        _know(_orderId(terms), terms, acceptances, _now() + 1, seeds, false);
        _did(Done.PlaceWithPermit);
    }

    /// @dev The same with the order that goes on where `previous` ends.
    function _extendByPermit(OrderId previous, FarmerId[] memory farmers, uint256 end, uint256 rate) internal {
        Stored storage old = _stored[previous];
        Terms memory terms = _terms(keccak256(abi.encode("by permit", _random)), end, old.leafCount, 1, 1);
        Acceptance[] memory acceptances = new Acceptance[](farmers.length);
        for (uint256 slot = 0; slot < farmers.length; ++slot) {
            acceptances[slot] = _accept(terms, farmers[slot], slot, old.slots[slot].root, rate, previous);
        }
        uint256 cost = farmers.length * rate * (end - old.end);
        bytes memory data = abi.encodeCall(
            market.extendWithPermit,
            (_held(previous), terms, acceptances, _permit(_keyOf(renter), cost))
        );
        _isRefused(renter, data, new bytes4[](0));
        _approveAll(renter);
        _know(_orderId(terms), terms, acceptances, old.end, old.data, true);
        _did(Done.ExtendWithPermit);
    }
}
