// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title A plain ERC-20 with permit, for chains on which no token exists yet
/// @notice The whole supply goes to the deployer. Nobody can mint, burn for others, pause or upgrade.
contract GrangeToken is ERC20, ERC20Permit {
    constructor(uint256 supply) ERC20("Grange", "GRNG") ERC20Permit("Grange") {
        _mint(msg.sender, supply);
    }
}
