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
///   redeemed(farmer, renter, signer) never falls, and is at most the highest total that the signer signed for the farmer
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
    function redeemed(FarmerId id, address renter, address signer) external view returns (uint256) {
        return _redeemed[renter][signer][id];
    }

    function _redeem(FarmerId id, Voucher calldata v) private returns (uint256 amount) {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, v.renter, id, v.cumulative)));
        // What it leaves is detail about the failure.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecover(digest, v.r, v.vs);
        if (failure != ECDSA.RecoverError.NoError || !_maySign(v.renter, signer)) revert VoucherForged(v.renter, id, signer);
        uint256 before = _redeemed[v.renter][signer][id];
        if (v.cumulative <= before) return 0;
        uint256 balance = _vaults[v.renter];
        amount = v.cumulative - before;
        if (amount > balance) amount = balance;
        if (signer != v.renter) {
            uint256 left = _leftForVouchers(_delegations[v.renter][signer], _currentEpoch());
            if (amount > left) amount = left;
        }
        if (amount == 0) return 0;
        _debit(v.renter, signer, amount, true);
        _redeemed[v.renter][signer][id] = before + amount;
        emit Redeemed(id, v.renter, signer, amount, before + amount);
    }

    /// @dev The renter, and all that it ever authorized, whatever is left to them now.
    function _maySign(address renter, address signer) private view returns (bool) {
        if (signer == renter) return true;
        Delegation storage stored = _delegations[renter][signer];
        return stored.inAll != 0 || stored.formerInAll != 0;
    }
}
