// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GrangeToken} from "../../contracts/token/GrangeToken.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";
import {Permit} from "../../contracts/types/Types.sol";

/// @title The token is a plain one with permit
contract TokenTest is MarketTest {
    /// Must hold: the whole supply is the deployer's.
    function testFuzz_supplyIsTheDeployers(uint256 supply) external {
        GrangeToken fresh = new GrangeToken(supply);
        vm.assertEq(fresh.totalSupply(), supply, "supply");
        vm.assertEq(fresh.balanceOf(address(this)), supply, "balance");
    }

    /// Must hold: it is called Grange, GRNG, with 18 decimals.
    function test_name() external view {
        vm.assertEq(token.name(), "Grange", "name");
        vm.assertEq(token.symbol(), "GRNG", "symbol");
        vm.assertEq(token.decimals(), 18, "decimals");
    }

    /// Must hold: a permit allows what it says, once.
    function testFuzz_permit(uint256 value) external {
        vm.prank(renter);
        token.approve(address(market), 0);
        Permit memory p = _permit(RENTER_KEY, value);
        token.permit(renter, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.assertEq(token.allowance(renter, address(market)), value, "allowance");
        vm.assertEq(token.nonces(renter), 1, "nonce");
    }
}
