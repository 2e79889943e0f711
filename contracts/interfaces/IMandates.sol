// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, MandateTerms, MandateView, OrderId} from "../types/Types.sol";

/// @title Mandates: a renter's standing orders to go on
/// @notice A mandate says until when, for how much at most and in all, and for which fee anyone may extend the orders that it
/// covers. Only its account gives, changes and revokes it, by transactions of its own; nothing is signed that could be kept.
interface IMandates {
    /// @notice The account's orders that this mandate covers may be extended within `terms`.
    event MandateGiven(address indexed account, uint16 indexed number, MandateTerms terms);

    /// @notice Nothing is extended by this mandate any more.
    event MandateRevoked(address indexed account, uint16 indexed number);

    /// @notice The order may be extended by this mandate of its renter; by none if it is 0.
    event OrderCovered(OrderId indexed order, uint16 indexed number);

    /// @notice The account had this mandate before; 0 and 65535 are none.
    error MandateExists(address account, uint16 number);

    /// @notice The account has given no such mandate, or revoked it.
    error NoMandate(address account, uint16 number);

    /// @notice Only the order's renter puts it under a mandate.
    error NotRenter(OrderId order, address caller);

    /// @notice A term is a multiple of `gridEpochs` that can be placed, until a date of the grid that is not past.
    error BadMandateTerms(Epoch until, uint32 termEpochs);

    /// @notice Lets anyone extend the caller's orders within these terms, `orders` among them.
    /// @dev A mandate never changes but by what is spent of it. To change one, revoke it and give another with its orders in
    /// one go: an order that was extended meanwhile is refused, so nothing is spent twice.
    /// @param number Which of the caller's mandates: one that it never had.
    /// @param terms What it allows.
    /// @param orders The caller's orders that it covers from now on, with what extends them.
    /// @param revoked The caller's mandates that are revoked in the same call.
    function giveMandate(
        uint16 number,
        MandateTerms calldata terms,
        OrderId[] calldata orders,
        uint16[] calldata revoked
    ) external;

    /// @notice Lets a mandate cover orders of the caller, and what extends them; or none if `number` is 0.
    /// @param number The caller's mandate.
    /// @param orders Orders of the caller that were not extended yet.
    function coverOrders(uint16 number, OrderId[] calldata orders) external;

    /// @notice Ends mandates of the caller, whatever they cover. What was extended by them goes on.
    /// @param numbers Which of the caller's mandates.
    function revokeMandates(uint16[] calldata numbers) external;

    /// @notice A mandate of an account. All zero if it was never given.
    /// @param account Who gave it.
    /// @param number Which of its mandates.
    /// @return What it allows and what is left of it.
    function mandate(address account, uint16 number) external view returns (MandateView memory);
}
