// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title The least that a contract wallet is: it calls what its owner says, and vouches for its signatures
/// @notice For devnets and tests; it stands for a Safe.
contract DevnetWallet is IERC1271 {
    /// @notice Only the owner may do this.
    error NotOwner(address sender);

    uint256 private constant COMPACT_BYTES = 64;
    address private immutable OWNER;

    // Who makes a wallet for nobody has only itself to blame, on a devnet.
    // slither-disable-next-line missing-zero-check
    constructor(address owner) {
        OWNER = owner;
    }

    /// @notice Call a contract as this wallet.
    function execute(address to, bytes calldata data) external returns (bytes memory) {
        if (msg.sender != OWNER) revert NotOwner(msg.sender);
        return Address.functionCall(to, data);
    }

    /// @inheritdoc IERC1271
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return _signer(hash, signature) == OWNER ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function _signer(bytes32 hash, bytes calldata signature) private pure returns (address signer) {
        // What else is returned says why there is no signer.
        if (signature.length == COMPACT_BYTES) {
            // slither-disable-next-line unused-return
            (signer, , ) = ECDSA.tryRecover(hash, bytes32(signature[:32]), bytes32(signature[32:]));
        } else {
            // slither-disable-next-line unused-return
            (signer, , ) = ECDSA.tryRecover(hash, signature);
        }
    }
}
