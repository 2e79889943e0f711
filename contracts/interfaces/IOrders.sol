// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Acceptance, Epoch, FarmerId, Held, OrderId, OrderView, Permit, Rate, Terms} from "../types/Types.sol";

/// @title Orders: what renters place with farmers
interface IOrders {
    /// @notice An order of `n` slots is placed and paid for; its `SlotFilled` events follow in slot order.
    event OrderPlaced(
        OrderId indexed order,
        address indexed renter,
        Epoch from,
        Epoch end,
        uint32 leafCount,
        uint32 pieceLeaves,
        uint8 k,
        uint8 n
    );

    /// @notice The order goes on where `previous` ends.
    event OrderExtended(OrderId indexed order, OrderId indexed previous);

    /// @notice The farmer keeps this slot (nobody as yet if it is 0), and is audited and paid for it, from epoch `from` to before
    /// `end`: in its book of extensions or, if it is not kept on from another order, in that of all else. Until then it asks at
    /// most `maxEgressPricePerGib` for reading: it has signed that, and the market cannot make it keep its word.
    event SlotFilled(
        OrderId indexed order,
        FarmerId indexed farmer,
        uint8 slot,
        bytes32 root,
        Rate rate,
        uint80 maxEgressPricePerGib,
        uint32 leafCount,
        Epoch from,
        Epoch end,
        bool extension
    );

    /// @notice The sender has used this salt before, for this account.
    error OrderExists(OrderId order);

    /// @notice An order has from 1 to `limit` slots.
    error SlotCountOutOfRange(uint256 count, uint256 limit);

    /// @notice k must be from 1 to n.
    error ThresholdOutOfRange(uint256 k, uint256 n);

    /// @notice A piece must be a power of two of leaves, 2048 at most, and divide a slot that is not empty.
    error BadPieceLeaves(uint256 pieceLeaves, uint256 leafCount);

    /// @notice The order would end before it has lasted an epoch.
    error EndTooSoon(Epoch end, uint256 from);

    /// @notice Orders end at `latest` at most.
    error EndTooLate(Epoch end, uint256 latest);

    /// @notice The acceptance could be used up to `deadlineBlock`.
    error AcceptanceExpired(uint256 slot, uint256 deadlineBlock, uint256 currentBlock);

    /// @notice The farmer's operator did not sign this; the signature is that of `signer`, or of nobody.
    error AcceptanceForged(uint256 slot, FarmerId farmer, address signer);

    /// @notice A slot without pay would never be audited.
    error ZeroRate(uint256 slot);

    /// @notice The farmer has another slot of the same order.
    error DuplicateFarmer(uint256 slot, FarmerId farmer);

    /// @notice There is no such order, or it is closed.
    error UnknownOrder(OrderId order);

    /// @notice The slots handed in are not those of the order.
    error WrongSlots(OrderId order, bytes32 given, bytes32 kept);

    /// @notice An extension has the leaves of a slot and of a piece, the k and the number of slots of the order it extends:
    /// these.
    error OtherShape(OrderId previous, uint32 leafCount, uint32 pieceLeaves, uint8 k, uint8 n);

    /// @notice An extension keeps the roots of the order it extends.
    error OtherRoot(uint256 slot, bytes32 root, bytes32 expected);

    /// @notice The order goes on as another.
    error AlreadyExtended(OrderId previous);

    /// @notice Orders that end on `extensible`, the next grid date, can be extended.
    error NotInLastPeriod(OrderId previous, Epoch end, uint256 extensible);

    /// @notice Places an order with the farmers that signed `acceptances`, paid out of the caller's vault.
    /// Service and pay begin with the next epoch.
    /// @param terms What is the same for all slots of the order.
    /// @param acceptances What the farmers signed, one for each slot, in slot order.
    /// @return The id of the order: `orderId` of the caller, for itself, and the salt.
    function place(Terms calldata terms, Acceptance[] calldata acceptances) external returns (OrderId);

    /// @notice `place` for an account that has authorized the caller: the order is the account's, whose vault pays for it.
    /// @param account On whose behalf; the caller's own does too.
    /// @param terms What is the same for all slots of the order.
    /// @param acceptances What the farmers signed, one for each slot, in slot order.
    /// @return The id of the order: `orderId` of the account, the caller and the salt.
    function placeFor(
        address account,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) external returns (OrderId);

    /// @notice `depositWithPermit`, then `place`.
    /// @param terms What is the same for all slots of the order.
    /// @param acceptances What the farmers signed, one for each slot, in slot order.
    /// @param permit The caller's permit; `permit.value` tokens go into its vault first.
    /// @return The id of the order.
    function placeWithPermit(
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        Permit calldata permit
    ) external returns (OrderId);

    /// @notice Places an order for the same slots from the day on which `previous` ends, in its last grid period.
    /// Nothing is uploaded; the slots may be with other farmers, if these have what they sign for. By its renter, or by a delegate
    /// of the renter, which goes on with the farmers that have the slots. The order is the renter's.
    /// @param previous The order that is extended, with its slots as they are now.
    /// @param terms What is the same for all slots of the new order. Leaves and k are those of the previous
    /// one.
    /// @param acceptances What the farmers signed, one for each slot, in slot order.
    /// @return The id of the new order.
    function extend(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances
    ) external returns (OrderId);

    /// @notice `depositWithPermit`, then `extend`.
    /// @param previous The order that is extended, with its slots as they are now.
    /// @param terms What is the same for all slots of the new order. Leaves and k are those of the previous
    /// one.
    /// @param acceptances What the farmers signed, one for each slot, in slot order.
    /// @param permit The caller's permit; `permit.value` tokens go into its vault first.
    /// @return The id of the new order.
    function extendWithPermit(
        Held calldata previous,
        Terms calldata terms,
        Acceptance[] calldata acceptances,
        Permit calldata permit
    ) external returns (OrderId);

    /// @notice An order. All zero once it is closed.
    /// @param id Which order.
    /// @return The order without its slots, of which only a hash is kept.
    function order(OrderId id) external view returns (OrderView memory);

    /// @notice The id that an order of `account` has or will have, if `sender` places it with this salt. It is the sender's
    /// alone: nobody else can take it.
    /// @param account The account that the order belongs to, and whose vault pays for it.
    /// @param sender The account that places it: the same, or its delegate.
    /// @param salt Chosen by the sender, once for each order.
    /// @return keccak256(abi.encode(account, sender, salt)).
    function orderId(address account, address sender, bytes32 salt) external pure returns (OrderId);
}
