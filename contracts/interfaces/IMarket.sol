// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC165} from "@openzeppelin/contracts/utils/introspection/IERC165.sol";
import {IAudits} from "./IAudits.sol";
import {IBooks} from "./IBooks.sol";
import {IDelegates} from "./IDelegates.sol";
import {IFarmers} from "./IFarmers.sol";
import {IHandOvers} from "./IHandOvers.sol";
import {ILosses} from "./ILosses.sol";
import {IMandateExtensions} from "./IMandateExtensions.sol";
import {IMandates} from "./IMandates.sol";
import {IOrders} from "./IOrders.sol";
import {IParts} from "./IParts.sol";
import {IRecoveries} from "./IRecoveries.sol";
import {IRepairs} from "./IRepairs.sol";
import {ISeeds} from "./ISeeds.sol";
import {ISettings} from "./ISettings.sol";
import {IVault} from "./IVault.sol";
import {IVouchers} from "./IVouchers.sol";

/// @dev What `MarketAccounts` answers to. An id changes with every call that it is made of, so parts of two editions
/// are never one market.
bytes4 constant ACCOUNTS_INTERFACE =
    type(IDelegates).interfaceId ^
        type(IMandates).interfaceId ^
        type(IParts).interfaceId ^
        type(ISettings).interfaceId ^
        type(IVault).interfaceId ^
        type(IVouchers).interfaceId;

/// @dev What `MarketSlots` answers to, with what it hands on.
bytes4 constant SLOTS_INTERFACE =
    ACCOUNTS_INTERFACE ^ type(IHandOvers).interfaceId ^ type(ILosses).interfaceId ^ type(IRecoveries).interfaceId;

/// @dev What `MarketFarmers` answers to, with what it hands on.
bytes4 constant FARMERS_INTERFACE =
    SLOTS_INTERFACE ^
        type(IAudits).interfaceId ^
        type(IBooks).interfaceId ^
        type(IFarmers).interfaceId ^
        type(ISeeds).interfaceId;

/// @dev What the market answers to, all of it.
bytes4 constant MARKET_INTERFACE =
    FARMERS_INTERFACE ^ type(IMandateExtensions).interfaceId ^ type(IOrders).interfaceId ^ type(IRepairs).interfaceId;

/// @title Everything that the market answers to at its one address
// solhint-disable-next-line no-empty-blocks
interface IMarket is
    IERC165,
    IAudits,
    IBooks,
    IDelegates,
    IFarmers,
    IHandOvers,
    ILosses,
    IMandateExtensions,
    IMandates,
    IOrders,
    IParts,
    IRecoveries,
    IRepairs,
    ISeeds,
    ISettings,
    IVault,
    IVouchers
{}
