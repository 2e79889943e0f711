// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IDelegates} from "../interfaces/IDelegates.sol";
import {DelegationView, Epoch} from "../types/Types.sol";
import {Delegations} from "./Delegations.sol";

/// @title Keys that spend from an account's vault
/// @dev Decides who may be a delegate, and what becomes of the limits that it had. What is left of them is decided by
/// `Delegations`.
///
/// Invariants:
///   nobody but the account itself changes what its delegates may spend
abstract contract Delegates is IDelegates, Delegations {
    /// @inheritdoc IDelegates
    function authorize(address delegate, uint96 perEpoch, uint96 inAll, Epoch untilEpoch) external {
        if (delegate == address(0) || delegate == msg.sender) revert BadDelegate(delegate);
        Delegation storage stored = _delegations[msg.sender][delegate];
        _keepForVouchers(stored);
        stored.perEpoch = perEpoch;
        stored.inAll = inAll;
        stored.untilEpoch = Epoch.unwrap(untilEpoch);
        emit DelegateAuthorized(msg.sender, delegate, perEpoch, inAll, untilEpoch);
    }

    /// @inheritdoc IDelegates
    function delegation(address account, address delegate) external view returns (DelegationView memory) {
        Delegation storage stored = _delegations[account][delegate];
        uint256 current = _currentEpoch();
        return
            DelegationView({
                perEpoch: stored.perEpoch,
                inAll: stored.inAll,
                untilEpoch: Epoch.wrap(stored.untilEpoch),
                spentInEpoch: _spentIn(stored, current),
                spent: stored.spent,
                leftForOrders: _leftForOrders(stored, current),
                leftForVouchers: _leftForVouchers(stored, current)
            });
    }

    /// @dev Vouchers are paid by the limits of now for a while. If those before are still in force for them, by the higher of
    /// both: else two calls in a row would take back what farmers relied on.
    function _keepForVouchers(Delegation storage stored) private {
        uint256 current = _currentEpoch();
        uint256 until = Math.min(current, stored.untilEpoch) + WITHDRAW_DELAY_EPOCHS;
        (uint256 perEpoch, uint256 inAll) = current < until ? (stored.perEpoch, stored.inAll) : (0, 0);
        if (current < stored.formerUntilEpoch) {
            perEpoch = Math.max(perEpoch, stored.formerPerEpoch);
            inAll = Math.max(inAll, stored.formerInAll);
            until = Math.max(until, stored.formerUntilEpoch);
        }
        stored.formerPerEpoch = uint96(perEpoch);
        stored.formerInAll = uint96(inAll);
        stored.formerUntilEpoch = uint32(until);
    }
}
