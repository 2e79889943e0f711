// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IVouchers} from "../interfaces/IVouchers.sol";
import {FarmerId, Voucher} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title Vouchers: how downloads are paid
/// @dev Decides what a voucher is worth: the running total it names, less what was paid of it, as far as the vault goes.
///
/// Invariants:
///   redeemed(farmer, renter) never falls, and is at most the highest total that the renter signed for the farmer
abstract contract Vouchers is IVouchers, Settlement {
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(address renter,uint32 farmer,uint256 cumulative)");

    /// @inheritdoc IVouchers
    function redeem(FarmerId id, Voucher[] calldata vouchers) external {
        Farmer storage stored = _existing(id);
        uint256 total = 0;
        for (uint256 i = 0; i < vouchers.length; ++i) total += _redeem(id, vouchers[i]);
        if (total == 0) revert NothingToRedeem(id);
        _earn(stored.owner, total);
    }

    /// @inheritdoc IVouchers
    function redeemed(FarmerId id, address renter) external view returns (uint256) {
        return _redeemed[renter][id];
    }

    function _redeem(FarmerId id, Voucher calldata v) private returns (uint256 amount) {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, v.renter, id, v.cumulative)));
        // What it leaves is detail about the failure.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecover(digest, v.r, v.vs);
        if (failure != ECDSA.RecoverError.NoError || signer != v.renter) revert VoucherForged(v.renter, id, signer);
        uint256 before = _redeemed[v.renter][id];
        if (v.cumulative <= before) return 0;
        uint256 balance = _vaults[v.renter];
        amount = v.cumulative - before;
        if (amount > balance) amount = balance;
        if (amount == 0) return 0;
        _debit(v.renter, amount);
        _redeemed[v.renter][id] = before + amount;
        emit Redeemed(id, v.renter, amount, before + amount);
    }
}
