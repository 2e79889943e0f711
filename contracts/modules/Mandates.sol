// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMandates} from "../interfaces/IMandates.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Epoch, MandateTerms, MandateView, OrderId, EXTENDED} from "../types/Types.sol";
import {State} from "./State.sol";

/// @title What renters let others extend
/// @dev Decides who gives a mandate and which orders it covers. What is done with it is decided by `MandateExtensions`.
///
/// Invariants:
///   a mandate is given once; after that only `left` changes, downwards, and it is revoked or not
///   an order names a mandate of its renter, which its renter chose for it or for an order that it extends
abstract contract Mandates is IMandates, State {
    /// @inheritdoc IMandates
    function giveMandate(
        uint16 number,
        MandateTerms calldata terms,
        OrderId[] calldata orders,
        uint16[] calldata revoked
    ) external {
        Mandate storage stored = _mandates[msg.sender][number];
        if (number == 0 || number == EXTENDED || stored.until != 0) revert MandateExists(msg.sender, number);
        uint256 until = Epoch.unwrap(terms.until);
        uint256 term = terms.termEpochs;
        if (
            until % GRID_EPOCHS != 0 ||
            until <= _currentEpoch() ||
            term == 0 ||
            term % GRID_EPOCHS != 0 ||
            term >= MAX_BOOKS * GRID_EPOCHS
        ) revert BadMandateTerms(terms.until, terms.termEpochs);
        _mandates[msg.sender][number] = Mandate({
            highestPrice: terms.highestPrice,
            fee: terms.fee,
            until: uint32(until),
            termEpochs: terms.termEpochs,
            revoked: false,
            highestEgressPrice: terms.highestEgressPrice,
            left: terms.total
        });
        emit MandateGiven(msg.sender, number, terms);
        _coverAll(number, orders);
        _revokeAll(revoked);
    }

    /// @inheritdoc IMandates
    function coverOrders(uint16 number, OrderId[] calldata orders) external {
        if (number != 0) _existingMandate(number);
        _coverAll(number, orders);
    }

    /// @inheritdoc IMandates
    function revokeMandates(uint16[] calldata numbers) external {
        _revokeAll(numbers);
    }

    /// @inheritdoc IMandates
    function mandate(address account, uint16 number) external view returns (MandateView memory) {
        Mandate memory stored = _mandates[account][number];
        return
            MandateView({
                highestPrice: stored.highestPrice,
                fee: stored.fee,
                until: Epoch.wrap(stored.until),
                termEpochs: stored.termEpochs,
                highestEgressPrice: stored.highestEgressPrice,
                left: stored.left,
                revoked: stored.revoked
            });
    }

    function _existingMandate(uint16 number) private view returns (Mandate storage stored) {
        stored = _mandates[msg.sender][number];
        if (stored.until == 0 || stored.revoked) revert NoMandate(msg.sender, number);
    }

    function _coverAll(uint16 number, OrderId[] calldata orders) private {
        for (uint256 i = 0; i < orders.length; ++i) {
            Order storage order = _orders[orders[i]];
            if (order.renter == address(0)) revert IOrders.UnknownOrder(orders[i]);
            if (order.renter != msg.sender) revert NotRenter(orders[i], msg.sender);
            if (order.mandate == EXTENDED) revert IOrders.AlreadyExtended(orders[i]);
            order.mandate = number;
            emit OrderCovered(orders[i], number);
        }
    }

    function _revokeAll(uint16[] calldata numbers) private {
        for (uint256 i = 0; i < numbers.length; ++i) {
            _existingMandate(numbers[i]).revoked = true;
            emit MandateRevoked(msg.sender, numbers[i]);
        }
    }
}
