// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Epoch, FarmerId, FarmerView, Offer, OperatorConsent, Permit} from "../types/Types.sol";

/// @title Who the farmers are and what they have at stake
interface IFarmers {
    /// @notice A farmer exists from here on.
    event FarmerRegistered(FarmerId indexed farmer, address indexed owner, address indexed operator);

    /// @notice Where the farmer is reached and what it offers.
    event FarmerUpdated(FarmerId indexed farmer, string endpoint, Offer offer);

    /// @notice Acceptances are now signed by `operator`; those signed by the operator before it count up to and in block
    /// `formerUntilBlock`, if that is not zero.
    event OperatorChanged(FarmerId indexed farmer, address operator, uint64 formerUntilBlock);

    /// @notice The operator may take on slots up to the committed rate `ceiling`, and declare slots of the rate `lossLimit` lost
    /// in an epoch.
    event LimitsChanged(FarmerId indexed farmer, uint256 ceiling, uint256 lossLimit);

    /// @notice `amount` was added, which makes it `stake`.
    event StakeAdded(FarmerId indexed farmer, uint256 amount, uint256 stake);

    /// @notice `amount` went from the stake to the owner's earnings, which makes it `stake`.
    event StakeReturned(FarmerId indexed farmer, uint256 amount, uint256 stake);

    /// @notice For misses `compensation` went from the stake to renters and `burnt` was burnt, which makes it `stake`.
    event StakeLost(FarmerId indexed farmer, uint256 compensation, uint256 burnt, uint256 stake);

    /// @notice There is no such farmer.
    error UnknownFarmer(FarmerId farmer);

    /// @notice An owner or operator must not be the zero address.
    error ZeroAddress();

    /// @notice A farmer registers with at least this stake.
    error StakeBelowLeast(uint256 stake, uint256 least);

    /// @notice The operator's consent was good until block `deadlineBlock`.
    error ConsentExpired(uint256 deadlineBlock, uint256 blockNumber);

    /// @notice Not the operator but `signer` signed this consent: to another owner, farmer, market or chain, or it was
    /// used before.
    error ConsentForged(address operator, address signer);

    /// @notice With the slot the farmer's committed rate would be above what its owner lets the operator take on.
    error CeilingExceeded(FarmerId farmer, uint256 committed, uint256 ceiling);

    /// @notice The endpoint has `length` bytes, and at most `limit` are kept.
    error EndpointTooLong(uint256 length, uint256 limit);

    /// @notice Only the farmer's owner may do this.
    error NotOwner(FarmerId farmer, address caller);

    /// @notice Only the farmer's owner or operator may do this.
    error NotOwnerOrOperator(FarmerId farmer, address caller);

    /// @notice The farmer missed too much: from `vacantFrom` on all its slots are vacant, and it cannot come back.
    error FarmerLapsed(FarmerId farmer, Epoch vacantFrom);

    /// @notice The farmer's stake does not cover what it is or would be paid for.
    error StakeTooSmall(FarmerId farmer, uint256 stake, uint256 needed);

    /// @notice Of the stake `needed` must stay.
    error StakeNotFree(FarmerId farmer, uint256 amount, uint256 stake, uint256 needed);

    /// @notice A stake is kept in 96 bits.
    error StakeTooLarge(uint256 stake, uint256 limit);

    /// @notice At most `limit` farmers are shown in one call.
    error PageTooLong(uint256 count, uint256 limit);

    /// @notice Registers a farmer; its stake is pulled from the caller, who is the operator or has its consent.
    /// @param owner Withdraws, is paid and names the operator. Best kept cold.
    /// @param operator Signs acceptances. Hot.
    /// @param endpoint Where renters reach the farmer.
    /// @param offer Its prices, its capacity and its longest term. Nothing in it binds the farmer: what it
    /// signs does.
    /// @param stake In token base units, at least `minStake`.
    /// @param consent The operator's, to this owner and farmer 0; all zero if the operator is the caller.
    /// @return The id of the new farmer.
    function register(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        OperatorConsent calldata consent
    ) external returns (FarmerId);

    /// @notice `register`, with the caller's permit for the stake.
    /// @param owner Withdraws, is paid and names the operator. Best kept cold.
    /// @param operator Signs acceptances. Hot.
    /// @param endpoint Where renters reach the farmer.
    /// @param offer Its prices, its capacity and its longest term.
    /// @param stake In token base units.
    /// @param consent The operator's.
    /// @param permit The caller's permit for at least the stake.
    /// @return The id of the new farmer.
    function registerWithPermit(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        OperatorConsent calldata consent,
        Permit calldata permit
    ) external returns (FarmerId);

    /// @notice Changes endpoint and offer. By the farmer's owner or operator.
    /// @param farmer The farmer that changes.
    /// @param endpoint Where renters reach it from now on.
    /// @param offer What it offers from now on. What it signed before stays as it is.
    function updateFarmer(FarmerId farmer, string calldata endpoint, Offer calldata offer) external;

    /// @notice Names another operator. By the farmer's owner, with the new operator's consent.
    /// @param farmer The farmer that changes its key.
    /// @param operator The key that signs its acceptances from now on.
    /// @param voidFormer Whether what the operator until now signed is void at once, and not `formerOperatorBlocks` later. The
    /// market cannot see when something was signed, so a key that was stolen must be void.
    /// @param consent The new operator's, to this owner and farmer; all zero if it is the caller.
    function setOperator(FarmerId farmer, address operator, bool voidFormer, OperatorConsent calldata consent) external;

    /// @notice Limits what the operator alone may do, and so what its key is worth to a thief. By the farmer's owner.
    /// @param farmer The farmer whose operator is limited.
    /// @param ceiling The committed rate up to which it may take on slots. Kept to 18 binary digits, rounded down; 2**80 - 1 is
    /// no ceiling.
    /// @param lossLimit The rate of slots that it may declare lost in an epoch; 2**80 - 1 is no limit.
    function setLimits(FarmerId farmer, uint80 ceiling, uint80 lossLimit) external;

    /// @notice Adds to a farmer's stake; pulled from the caller, who may be anyone.
    /// @param farmer The farmer whose stake grows.
    /// @param amount In token base units.
    function addStake(FarmerId farmer, uint256 amount) external;

    /// @notice Moves what the farmer has at stake above its collateral to its owner's earnings. By the owner.
    /// @dev At once: every epoch gone by is settled in the same call, and what is asked in this one is collateralized.
    /// `minStake` stays too, unless all is taken that there is: then the farmer leaves, and is lapsed for ever.
    /// @param farmer The farmer whose stake shrinks.
    /// @param amount In token base units: at most what is above the collateral. The largest number stands for all that there is.
    function unstake(FarmerId farmer, uint256 amount) external;

    /// @notice The nonce of the next consent that an operator signs.
    /// @param operator The key that would sign.
    /// @return How many of its consents were used.
    function consentNonce(address operator) external view returns (uint256);

    /// @notice Farmers have the ids from 1 to this.
    /// @return The number of farmers that ever registered.
    function farmerCount() external view returns (uint32);

    /// @notice One farmer.
    /// @param id Which farmer.
    /// @return The farmer as if it were settled now.
    function farmer(FarmerId id) external view returns (FarmerView memory);

    /// @notice The farmers with ids from `first`, `count` of them or as many as there are.
    /// @param first The id of the first farmer that is shown.
    /// @param count How many are shown at most.
    /// @return The farmers in the order of their ids, each as if it were settled now.
    function farmers(uint32 first, uint32 count) external view returns (FarmerView[] memory);
}
