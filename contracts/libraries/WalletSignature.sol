// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @title What a contract says of a signature, whatever that contract is
/// @dev It may be the enemy of who asks: so it cannot write, it has so much gas and no more, and of what it returns one
/// word is read.
library WalletSignature {
    /// @dev Enough for a dozen owners, or for a P-256 key that is checked in Solidity.
    uint256 private constant GAS = 300_000;

    /// @dev So much must be left, or a caller could make a good signature look bad by giving too little. EIP-150 keeps a
    /// 64th back.
    uint256 internal constant GAS_NEEDED = (GAS * 64) / 63 + 5_000;

    /// @dev Whether the contract at the address says that the signature is its own (ERC-1271).
    function isValid(address wallet, bytes32 digest, bytes calldata signature) internal view returns (bool valid) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 yes = bytes32(IERC1271.isValidSignature.selector);
        // In assembly: a call in Solidity copies all that comes back, at the caller's cost.
        // solhint-disable-next-line no-inline-assembly
        assembly ("memory-safe") {
            mstore(0x00, 0)
            let done := staticcall(GAS, wallet, add(question, 0x20), mload(question), 0x00, 0x20)
            valid := and(and(done, gt(returndatasize(), 0x1f)), eq(mload(0x00), yes))
        }
    }
}
