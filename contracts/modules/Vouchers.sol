// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IVouchers} from "../interfaces/IVouchers.sol";
import {WalletSignature} from "../libraries/WalletSignature.sol";
import {FarmerId, Voucher} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title Vouchers: how downloads are paid
/// @dev Decides what a voucher is worth: the running total it names, less what was paid of it, as far as the vault goes.
/// One that neither its renter nor a delegate signed is worth nothing, and keeps no other from being paid: what a contract says of its
/// signatures may change from block to block.
///
/// Invariants:
///   redeemed(farmer, renter, signer) never falls, and is at most the highest total that the signer signed for the farmer
abstract contract Vouchers is IVouchers, Settlement {
    bytes32 private constant VOUCHER_TYPEHASH = keccak256("Voucher(address renter,uint32 farmer,uint256 cumulative)");

    /// @inheritdoc IVouchers
    function redeem(FarmerId id, Voucher[] calldata vouchers) external {
        Farmer storage stored = _existing(id);
        uint256 total = 0;
        bool isForged = false;
        address forged = address(0);
        for (uint256 i = 0; i < vouchers.length; ++i) {
            address signer = _signerOf(id, vouchers[i]);
            if (signer == address(0)) (isForged, forged) = (true, vouchers[i].renter);
            else total += _redeem(id, vouchers[i], signer);
        }
        if (total == 0 && isForged) revert VoucherForged(forged, id);
        if (total == 0) revert NothingToRedeem(id);
        _earn(stored.owner, total);
    }

    /// @inheritdoc IVouchers
    function redeemed(FarmerId id, address renter, address signer) external view returns (uint256) {
        return _redeemed[renter][signer][id];
    }

    /// @dev Who signed: a key that may sign for the renter, or the renter where a contract at its address says that it did.
    /// Zero if nobody did. The account is part of what is signed, so two contracts of one owner have different vouchers.
    function _signerOf(FarmerId id, Voucher calldata v) private view returns (address) {
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, v.renter, id, v.cumulative)));
        if (v.signature.length == 64) {
            // What it leaves is detail about the failure.
            // slither-disable-next-line unused-return
            (address signer, ECDSA.RecoverError failure, ) = ECDSA.tryRecover(
                digest,
                bytes32(v.signature[:32]),
                bytes32(v.signature[32:])
            );
            if (failure == ECDSA.RecoverError.NoError && _maySign(v.renter, signer)) return signer;
        }
        if (v.renter.code.length == 0) return address(0);
        if (gasleft() < WalletSignature.GAS_NEEDED) revert TooLittleGas(gasleft(), WalletSignature.GAS_NEEDED);
        return WalletSignature.isValid(v.renter, digest, v.signature) ? v.renter : address(0);
    }

    function _redeem(FarmerId id, Voucher calldata v, address signer) private returns (uint256 amount) {
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
