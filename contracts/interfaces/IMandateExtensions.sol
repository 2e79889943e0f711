// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acceptance, Epoch, Held, OrderId, Rate} from "../types/Types.sol";

/// @title Extending orders by their renters' mandates
interface IMandateExtensions {
    /// @notice The order goes on by its mandate, whose fee went to the earnings of `extender`.
    event ExtendedByMandate(OrderId indexed order, address indexed extender);

    /// @notice Nobody would be paid.
    error NoExtender();

    /// @notice The order names no mandate, or one that was revoked.
    error NotCovered(OrderId order, uint16 number);

    /// @notice The mandate keeps orders alive until `until`, and the order lasts as long.
    error MandateOver(uint16 number, Epoch until);

    /// @notice The extension costs more than is left of the mandate.
    error MandateSpent(uint16 number, uint256 left, uint256 cost);

    /// @notice The mandate pays `highest` for the slot in an epoch at the most.
    error RateAboveMandate(uint256 slot, Rate rate, uint256 highest);

    /// @notice The mandate allows the farmer to ask `highest` for reading a GiB at the most.
    error EgressPriceAboveMandate(uint256 slot, uint256 maxEgressPricePerGib, uint256 highest);

    /// @notice A slot that begins vacant has the rate `expected`.
    error OtherRate(uint256 slot, Rate rate, uint256 expected);

    /// @notice Of a slot that begins vacant the highest price for reading is `expected`.
    error OtherEgressPrice(uint256 slot, uint256 maxEgressPricePerGib, uint256 expected);

    /// @notice At most `limit` slots may begin without a farmer, and none if the order is extended before epoch `from`.
    error TooManyVacant(uint256 count, uint256 limit, uint256 from);

    /// @notice Extends an order that a mandate of its renter covers, in its last grid period, for the mandate's fee. By
    /// anyone. The new order lasts for the mandate's term, or until the mandate's end if that comes first.
    /// @dev Each slot stays with its farmer, at the rate that it signs for. Its signature names the extender, so there is
    /// nothing to win by being first with what another has sent. In the second half of the period up to (n - k) / 2 slots
    /// may have no acceptance: those begin vacant, at their present rate and price for reading or the mandate's highest, with as
    /// much as a bounty can ever be out of the mandate. What is not paid of that comes back to the renter's vault.
    /// @param previous The order that is extended, with its slots as they are now.
    /// @param acceptances What the farmers signed, in slot order; with farmer 0 where a slot begins vacant.
    /// @param extender The account that is paid the fee.
    /// @return The id of the new order: `extensionId` of the old one and the new end.
    function extendByMandate(
        Held calldata previous,
        Acceptance[] calldata acceptances,
        address extender
    ) external returns (OrderId);

    /// @notice The id that an order has or will have that extends another by mandate. No other order ever has it, since an
    /// order is extended once.
    /// @param previous The order that is extended.
    /// @param end The end of the extension.
    /// @return keccak256(abi.encode(previous, end)).
    function extensionId(OrderId previous, Epoch end) external pure returns (OrderId);
}
