// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, Voucher} from "../types/Types.sol";

/// @title Vouchers: how downloads are paid
interface IVouchers {
    /// @notice `amount` went from the renter's vault to the earnings of the farmer's owner: `redeemed` in all by vouchers that
    /// `signer` signed, the renter or a delegate.
    event Redeemed(FarmerId indexed farmer, address indexed renter, address signer, uint256 amount, uint256 redeemed);

    /// @notice Nothing is paid, and what was handed in for this renter is signed neither by its key nor by a delegate's, nor is
    /// it good by what a contract at its address says.
    error VoucherForged(address renter, FarmerId farmer);

    /// @notice A contract cannot be asked for its signature with so little gas.
    error TooLittleGas(uint256 gas, uint256 needed);

    /// @notice All was redeemed before, or the vaults are empty.
    error NothingToRedeem(FarmerId farmer);

    /// @notice Pays what renters and their delegates signed over to the farmer beyond what it redeemed before, as far as vaults
    /// and delegates' limits go. What they do not hold can be redeemed later. By anyone. A voucher that neither signed is
    /// passed over. A renter that is a contract is asked (ERC-1271), with 300,000 gas at most.
    /// @param farmer The farmer that the vouchers are for.
    /// @param vouchers One for each signer: the latest that the farmer holds.
    function redeem(FarmerId farmer, Voucher[] calldata vouchers) external;

    /// @notice What the farmer has redeemed in all of what one key signed for a renter.
    /// @param farmer The farmer that was paid.
    /// @param renter The account whose vault paid.
    /// @param signer The key that signed the vouchers: the renter's own, or a delegate.
    /// @return In token base units, over all vouchers so far.
    function redeemed(FarmerId farmer, address renter, address signer) external view returns (uint256);
}
