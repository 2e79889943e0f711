// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IDelegates} from "../interfaces/IDelegates.sol";
import {State} from "./State.sol";

/// @title What a delegate may spend of an account's vault
/// @dev Decides how much is left to a delegate, and counts what it spends. There is one counter, for orders and vouchers
/// alike, and nothing sets it back: so limits can be changed while they are used.
///
/// An order must be within the limits of now. A voucher was taken by a farmer before, which relied on the limits of then: so
/// it is paid by these too, for as long as a withdrawal is announced before money leaves.
///
/// Invariants:
///   spent by a delegate in an epoch <= the highest `perEpoch` that was in force in the last WITHDRAW_DELAY_EPOCHS epochs
///   spent by a delegate <= the highest `inAll` that was ever in force
abstract contract Delegations is State {
    /// @dev Called where money leaves a vault, and nowhere else. `owed`: for vouchers, which were signed before.
    function _countSpending(address account, address delegate, uint256 amount, bool owed) internal {
        uint256 current = _currentEpoch();
        Delegation storage stored = _delegations[account][delegate];
        if (!owed && current >= stored.untilEpoch) revert IDelegates.NotDelegate(account, delegate);
        uint256 left = owed ? _leftForVouchers(stored, current) : _leftForOrders(stored, current);
        if (amount > left) revert IDelegates.DelegateLimitExceeded(account, delegate, amount, left);
        uint256 spentInEpoch = _spentIn(stored, current) + amount;
        uint256 spent = stored.spent + amount;
        (stored.spent, stored.spentInEpoch, stored.lastEpoch) = (uint96(spent), uint96(spentInEpoch), uint32(current));
        emit IDelegates.DelegateSpent(account, delegate, amount, spent);
    }

    function _leftForOrders(Delegation storage stored, uint256 current) internal view returns (uint256) {
        if (current >= stored.untilEpoch) return 0;
        return _leftOf(stored, stored.perEpoch, stored.inAll, current);
    }

    function _leftForVouchers(Delegation storage stored, uint256 current) internal view returns (uint256 left) {
        if (current < stored.untilEpoch + WITHDRAW_DELAY_EPOCHS) {
            left = _leftOf(stored, stored.perEpoch, stored.inAll, current);
        }
        if (current < stored.formerUntilEpoch) {
            left = Math.max(left, _leftOf(stored, stored.formerPerEpoch, stored.formerInAll, current));
        }
    }

    function _spentIn(Delegation storage stored, uint256 current) internal view returns (uint256) {
        return stored.lastEpoch == current ? stored.spentInEpoch : 0;
    }

    function _leftOf(
        Delegation storage stored,
        uint256 perEpoch,
        uint256 inAll,
        uint256 current
    ) private view returns (uint256) {
        return
            Math.min(Math.saturatingSub(perEpoch, _spentIn(stored, current)), Math.saturatingSub(inAll, stored.spent));
    }
}
