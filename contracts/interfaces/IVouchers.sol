// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, Voucher} from "../types/Types.sol";

/// @title Vouchers: how downloads are paid
interface IVouchers {
    /// @notice `amount` went from the renter's vault to the earnings of the farmer's owner: `redeemed` in all.
    event Redeemed(FarmerId indexed farmer, address indexed renter, uint256 amount, uint256 redeemed);

    /// @notice The renter did not sign this; the signature is that of `signer`, or of nobody.
    error VoucherForged(address renter, FarmerId farmer, address signer);

    /// @notice All was redeemed before, or the vaults are empty.
    error NothingToRedeem(FarmerId farmer);

    /// @notice Pays what renters signed over to the farmer beyond what it redeemed before, as far as their vaults hold it. What
    /// they do not hold can be redeemed later. By anyone.
    /// @param farmer The farmer that the vouchers are for.
    /// @param vouchers One for each renter: the latest that the farmer holds.
    function redeem(FarmerId farmer, Voucher[] calldata vouchers) external;

    /// @notice What the farmer has redeemed of the renter's vouchers in all.
    /// @param farmer The farmer that was paid.
    /// @param renter The account that signed the vouchers.
    /// @return In token base units, over all vouchers so far.
    function redeemed(FarmerId farmer, address renter) external view returns (uint256);
}
