// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {GrangeToken} from "../../../contracts/token/GrangeToken.sol";
import {IMarket} from "../../../contracts/interfaces/IMarket.sol";

/// @title A contract that rents
/// @dev Its owner signs for it with a key of its own, over the hash as it is asked.
contract OwnedWallet is IERC1271 {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function deposit(IMarket market, GrangeToken token, uint256 amount) external {
        token.approve(address(market), amount);
        market.deposit(amount);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view virtual returns (bytes4) {
        return _isOwners(hash, signature) ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }

    function _isOwners(bytes32 hash, bytes calldata signature) internal view returns (bool) {
        bytes32 vs = bytes32(signature[32:64]);
        return ecrecover(hash, uint8(27 + (uint256(vs) >> 255)), bytes32(signature[:32]), (vs << 1) >> 1) == OWNER;
    }
}

/// @title One that does what a renter would do who wants others to be left unpaid
contract HostileWallet is OwnedWallet {
    enum Way {
        BURNS_ALL_GAS,
        RETURNS_A_MEGABYTE,
        RETURNS_TOO_LITTLE,
        RETURNS_NEARLY,
        REVERTS_AT_LENGTH,
        WRITES,
        CALLS_BACK
    }

    Way private immutable WAY;
    uint256 private _written;

    constructor(address owner, Way way) OwnedWallet(owner) {
        WAY = way;
    }

    function isValidSignature(bytes32, bytes calldata) external view override returns (bytes4) {
        Way way = WAY;
        if (way == Way.BURNS_ALL_GAS) while (true) {}
        if (way == Way.WRITES) require(_asIfView(_write)(msg.sender), "not written");
        if (way == Way.CALLS_BACK) require(_asIfView(_callBack)(msg.sender), "not called");
        bytes32 yes = bytes32(IERC1271.isValidSignature.selector);
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, yes)
            if eq(way, 1) {
                return(free, 0x100000)
            }
            if eq(way, 2) {
                return(free, 0x04)
            }
            if eq(way, 3) {
                mstore(free, or(yes, 1))
                return(free, 0x20)
            }
            if eq(way, 4) {
                revert(free, 0x8000)
            }
            return(free, 0x20)
        }
    }

    function _write(address) private returns (bool) {
        return ++_written > 0;
    }

    function _callBack(address market) private returns (bool done) {
        (done, ) = market.call(abi.encodeCall(IMarket(market).requestWithdrawal, (1)));
    }

    /// @dev So that what a view may not do is tried all the same.
    function _asIfView(
        function(address) internal returns (bool) f
    ) private pure returns (function(address) internal view returns (bool) g) {
        assembly ("memory-safe") {
            g := f
        }
    }
}

/// @title One that says yes until it is told to say no
contract FickleWallet is OwnedWallet {
    bool private _denies;

    constructor(address owner) OwnedWallet(owner) {}

    function deny() external {
        _denies = true;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view override returns (bytes4) {
        if (_denies || !_isOwners(hash, signature)) return bytes4(0);
        return IERC1271.isValidSignature.selector;
    }
}
