// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {DelegationView, Epoch, FarmerId} from "../types/Types.sol";

/// @title Delegates: keys that spend from an account's vault, up to limits
/// @dev A delegate places orders of the account and extends them, and signs vouchers for it. It moves nothing out of the
/// market: what comes back of an order goes to the account's vault.
interface IDelegates {
    /// @notice The account has set what the delegate may spend; all zero if it may spend nothing.
    event DelegateAuthorized(
        address indexed account,
        address indexed delegate,
        uint96 perEpoch,
        uint96 inAll,
        Epoch untilEpoch
    );

    /// @notice The delegate has spent `amount` of the account's vault, and with it `spent` so far.
    event DelegateSpent(address indexed account, address indexed delegate, uint256 amount, uint256 spent);

    /// @notice The zero address and the account itself are no delegates.
    error BadDelegate(address delegate);

    /// @notice The account has not authorized this sender, or not for this epoch.
    error NotDelegate(address account, address sender);

    /// @notice The delegate may spend `left` in this epoch.
    error DelegateLimitExceeded(address account, address delegate, uint256 amount, uint256 left);

    /// @notice A delegate, and anyone who extends by mandate, extends an order with the farmers that have its slots: this one
    /// does not have this slot.
    error NotHolder(uint256 slot, FarmerId farmer, FarmerId holder);

    /// @notice Sets what a delegate may spend from the caller's vault, from now on. All zero revokes it.
    /// What it has spent before counts: `inAll` is the most that it will ever have spent, so a delegate that spends while its
    /// limit is lowered never has more than the higher of the two. Orders are held to the new limits at once; vouchers that it
    /// signed are paid by those before for `withdrawDelayEpochs` more, so that farmers can redeem them.
    /// @param delegate The key that may spend.
    /// @param perEpoch The most in one epoch, in token base units. What is not spent is not there in the next.
    /// @param inAll The most ever, with all that it has spent.
    /// @param untilEpoch The epoch from which on it spends nothing. Its vouchers are paid for `withdrawDelayEpochs` more.
    function authorize(address delegate, uint96 perEpoch, uint96 inAll, Epoch untilEpoch) external;

    /// @notice What a delegate may spend from an account's vault, and has spent.
    /// @param account Whose vault.
    /// @param delegate Which key.
    /// @return Its limits, and what is left of them now. All zero for a stranger.
    function delegation(address account, address delegate) external view returns (DelegationView memory);
}
