// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IBooks} from "../interfaces/IBooks.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {IOrders} from "../interfaces/IOrders.sol";
import {Entry, Epoch, FarmerId, OrderId, Rate} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title Giving a slot to the farmer that accepted it
/// @dev Decides whether an acceptance counts and whether the farmer may take on the slot: the one way into a farmer's
/// books, for `place`, `extend` and `refill`.
///
/// Invariants:
///   every entry was signed by its farmer's operator, for this use: first placing, extending that order, or taking over
///     with the bounty for that repairer
///   a farmer that takes on a slot has not lapsed, and stake >= COLLATERAL_EPOCHS * committedRate
abstract contract Tenures is Settlement {
    /// @dev What is the same for all slots of a call.
    struct Taking {
        OrderId order;
        OrderId previous; // zero but for extensions
        address repairer; // zero but for repairs
        uint32 leafCount;
        uint256 current;
        Epoch from;
        Epoch end;
    }

    /// @dev A slot and the consent of the farmer that takes it.
    struct Taken {
        uint8 slot;
        FarmerId farmer;
        bytes32 root;
        Rate rate;
        uint64 deadlineBlock;
        bytes32 r;
        bytes32 vs;
    }

    bytes32 private constant ACCEPTANCE_TYPEHASH =
        keccak256(
            "Acceptance(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,uint32 end,"
            "uint64 deadlineBlock,bytes32 previous,address repairer)"
        );

    /// @dev Gives the slot to the farmer that accepted it.
    function _take(Taking memory taking, Taken memory taken) internal {
        if (block.number > taken.deadlineBlock) {
            revert IOrders.AcceptanceExpired(taken.slot, taken.deadlineBlock, block.number);
        }
        Farmer storage stored = _existing(taken.farmer);
        (address signer, , ) = ECDSA.tryRecover(_digest(taking, taken), taken.r, taken.vs);
        if (signer != stored.operator) revert IOrders.AcceptanceForged(taken.slot, taken.farmer, signer);
        _commit(taking, taken, stored);
        emit IOrders.SlotFilled(
            taking.order,
            taken.farmer,
            taken.slot,
            taken.root,
            taken.rate,
            taking.leafCount,
            taking.from,
            taking.end
        );
    }

    /// @dev Adds the slot to what the farmer answers for with its stake, and to its books.
    function _commit(Taking memory taking, Taken memory taken, Farmer storage stored) private {
        Standing memory standing = stored.standing;
        uint48 mark = uint48(uint256(OrderId.unwrap(taking.order)));
        // A repair looks for the farmer among the order's slots: it may have been given others in between.
        if (taking.repairer == address(0) && standing.lastOrder == mark) {
            revert IOrders.DuplicateFarmer(taken.slot, taken.farmer);
        }
        standing.lastOrder = mark;
        _settle(taken.farmer, stored, standing, taking.current);
        if (standing.lapsed) {
            revert IFarmers.FarmerLapsed(taken.farmer, Epoch.wrap(standing.settledEpoch + 1));
        }
        _sweep(taken.farmer, standing, taking.current);
        uint256 committed = uint256(standing.committedRate) + Rate.unwrap(taken.rate);
        if (committed > type(uint80).max) {
            revert IBooks.RateTooLarge(taken.farmer, committed, type(uint80).max);
        }
        uint256 needed = committed * COLLATERAL_EPOCHS;
        if (stored.stake < needed) revert IFarmers.StakeTooSmall(taken.farmer, stored.stake, needed);
        bool extension = OrderId.unwrap(taking.previous) != 0;
        standing.committedRate = uint80(committed);
        if (extension) standing.extended = true;
        stored.standing = standing;
        _append(
            taken.farmer,
            standing,
            Epoch.unwrap(taking.end) / GRID_EPOCHS,
            extension,
            Entry({
                order: taking.order,
                slot: taken.slot,
                root: taken.root,
                leafCount: taking.leafCount,
                from: taking.from,
                first: 0,
                rate: taken.rate
            })
        );
    }

    function _digest(Taking memory taking, Taken memory taken) private view returns (bytes32) {
        return
            _hashTypedDataV4(
                keccak256(
                    abi.encode(
                        ACCEPTANCE_TYPEHASH,
                        taking.order,
                        taken.farmer,
                        taken.slot,
                        taken.root,
                        taking.leafCount,
                        taken.rate,
                        taking.end,
                        taken.deadlineBlock,
                        taking.previous,
                        taking.repairer
                    )
                )
            );
    }
}
