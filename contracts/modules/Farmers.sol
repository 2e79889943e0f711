// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IAudits} from "../interfaces/IAudits.sol";
import {IFarmers} from "../interfaces/IFarmers.sol";
import {IVault} from "../interfaces/IVault.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {FarmerState, FarmerStates} from "../types/FarmerState.sol";
import {Epoch, FarmerId, FarmerView, Offer, OperatorConsent, Permit} from "../types/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title Who the farmers are and what they have at stake
/// @dev Decides who may act for a farmer, and when its owner may have stake back.
///
/// Invariants:
///   anyone who takes from a stake by choice leaves COLLATERAL_EPOCHS * answeredRate, and MIN_STAKE or nothing
///   a farmer that left nothing has lapsed
///   an operator consented to each farmer that names it, once for each time
abstract contract Farmers is IFarmers, Settlement {
    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    uint256 private constant MAX_PAGE = 100;

    bytes32 private constant CONSENT_TYPEHASH = keccak256(
        "OperatorConsent(address operator,address owner,uint32 farmer,uint256 nonce,uint64 deadlineBlock)"
    );

    /// @inheritdoc IFarmers
    function register(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        OperatorConsent calldata consent
    ) external nonReentrant returns (FarmerId) {
        return _register(owner, operator, endpoint, offer, stake, consent);
    }

    /// @inheritdoc IFarmers
    // The permit is used before anything is written, and calls that call out do not nest.
    // slither-disable-next-line reentrancy-benign
    function registerWithPermit(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        OperatorConsent calldata consent,
        Permit calldata permit
    ) external nonReentrant returns (FarmerId) {
        _usePermit(permit, stake);
        return _register(owner, operator, endpoint, offer, stake, consent);
    }

    /// @inheritdoc IFarmers
    function updateFarmer(FarmerId id, string calldata endpoint, Offer calldata offer) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner && msg.sender != stored.operator) revert NotOwnerOrOperator(id, msg.sender);
        _update(id, stored, endpoint, offer);
    }

    /// @inheritdoc IFarmers
    function setOperator(FarmerId id, address operator, bool voidFormer, OperatorConsent calldata consent) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner) revert NotOwner(id, msg.sender);
        if (operator == address(0)) revert ZeroAddress();
        _useConsent(operator, msg.sender, id, consent);
        uint256 until = voidFormer ? 0 : block.number + FORMER_OPERATOR_BLOCKS;
        stored.formerOperator = stored.operator;
        stored.formerUntilBlock = uint48(until);
        stored.operator = operator;
        emit OperatorChanged(id, operator, uint64(until));
    }

    /// @inheritdoc IFarmers
    function setLimits(FarmerId id, uint80 ceiling, uint80 lossLimit) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner) revert NotOwner(id, msg.sender);
        FarmerState state = _settledUnlapsed(id, stored, stored.state, _currentEpoch()).withCeiling(ceiling);
        stored.state = state;
        stored.allowance.limited = lossLimit != type(uint80).max;
        stored.allowance.perEpoch = lossLimit;
        emit LimitsChanged(id, state.ceiling(), lossLimit);
    }

    /// @inheritdoc IFarmers
    function addStake(FarmerId id, uint256 amount) external nonReentrant {
        Farmer storage stored = _existing(id);
        stored.state = _settledUnlapsed(id, stored, stored.state, _currentEpoch());
        _addStake(id, stored, amount);
    }

    /// @inheritdoc IFarmers
    function unstake(FarmerId id, uint256 amount) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner) revert NotOwner(id, msg.sender);
        if (amount == 0) revert IVault.ZeroAmount();
        FarmerState state = _settledUnlapsed(id, stored, stored.state, _currentEpoch());
        uint256 stake = stored.stake;
        // What was given up in this epoch is still asked for in it.
        bool leaves = amount == stake && state.committedRate() == 0 && !state.hasGivenUp();
        uint256 answered = state.committedRate() - _carriedRate(stored, state);
        uint256 needed = leaves ? 0 : Math.max(answered * COLLATERAL_EPOCHS, MIN_STAKE);
        if (amount > stake || stake - amount < needed) revert StakeNotFree(id, amount, stake, needed);
        if (leaves) {
            state = state.lapsed();
            emit IAudits.Lapsed(id, Epoch.wrap(uint32(state.settledEpoch() + 1)));
        }
        stored.state = state;
        stored.stake = uint96(stake - amount);
        _earn(msg.sender, amount);
        emit StakeReturned(id, amount, stake - amount);
    }

    /// @inheritdoc IFarmers
    function consentNonce(address operator) external view returns (uint256) {
        return _consentNonces[operator];
    }

    /// @inheritdoc IFarmers
    function farmerCount() external view returns (uint32) {
        return _farmerCount;
    }

    /// @inheritdoc IFarmers
    function farmer(FarmerId id) external view returns (FarmerView memory) {
        return _shown(id, _existing(id));
    }

    /// @inheritdoc IFarmers
    function farmers(uint32 first, uint32 count) external view returns (FarmerView[] memory shown) {
        if (count > MAX_PAGE) revert PageTooLong(count, MAX_PAGE);
        if (first == 0) revert UnknownFarmer(FarmerId.wrap(0));
        uint256 left = first > _farmerCount ? 0 : _farmerCount - first + 1;
        shown = new FarmerView[](count < left ? count : left);
        for (uint32 i = 0; i < shown.length; ++i) {
            FarmerId id = FarmerId.wrap(first + i);
            shown[i] = _shown(id, _farmers[id]);
        }
    }

    function _register(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        OperatorConsent calldata consent
    ) private returns (FarmerId id) {
        if (owner == address(0) || operator == address(0)) revert ZeroAddress();
        if (stake < MIN_STAKE) revert StakeBelowLeast(stake, MIN_STAKE);
        _useConsent(operator, owner, FarmerId.wrap(0), consent);
        uint256 current = _currentEpoch();
        id = FarmerId.wrap(++_farmerCount);
        Farmer storage stored = _farmers[id];
        stored.owner = owner;
        stored.operator = operator;
        stored.registeredBlock = uint48(block.number);
        stored.state = FarmerStates.registered(Epochs.gridOf(current, GRID_EPOCHS), current);
        emit FarmerRegistered(id, owner, operator);
        _update(id, stored, endpoint, offer);
        _addStake(id, stored, stake);
    }

    /// @dev The operator's consent to act for a farmer of this owner; for one that does not exist yet `id` is zero. Without
    /// it a farmer could be registered in whose stake somebody else's operator sees its own.
    function _useConsent(address operator, address owner, FarmerId id, OperatorConsent calldata consent) private {
        if (msg.sender == operator) return;
        if (block.number > consent.deadlineBlock) revert ConsentExpired(consent.deadlineBlock, block.number);
        uint256 nonce = _consentNonces[operator]++;
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(CONSENT_TYPEHASH, operator, owner, id, nonce, consent.deadlineBlock))
        );
        // An invalid signature recovers to the zero address, which is never an operator.
        // slither-disable-next-line unused-return
        (address signer, , ) = ECDSA.tryRecover(digest, consent.r, consent.vs);
        if (signer != operator) revert ConsentForged(operator, signer);
    }

    function _update(FarmerId id, Farmer storage stored, string calldata endpoint, Offer calldata offer) private {
        uint256 length = bytes(endpoint).length;
        if (length > MAX_ENDPOINT_BYTES) revert EndpointTooLong(length, MAX_ENDPOINT_BYTES);
        stored.endpoint = endpoint;
        stored.offer = offer;
        emit FarmerUpdated(id, endpoint, offer);
    }

    function _addStake(FarmerId id, Farmer storage stored, uint256 amount) private {
        if (amount == 0) revert IVault.ZeroAmount();
        if (amount > type(uint96).max - stored.stake) revert StakeTooLarge(amount, type(uint96).max - stored.stake);
        stored.stake += uint96(amount);
        emit StakeAdded(id, amount, stored.stake);
        _pull(amount);
    }

    function _shown(FarmerId id, Farmer storage stored) private view returns (FarmerView memory) {
        uint256 current = _currentEpoch();
        Outcome memory outcome = _outcome(id, stored.stake, stored.state, current);
        FarmerState state = outcome.state;
        if (!state.isLapsed()) state = _swept(id, state, current);
        return
            FarmerView({
                owner: stored.owner,
                operator: stored.operator,
                stake: outcome.stake,
                committedRate: state.committedRate(),
                carriedRate: state.isEvicted() ? 0 : _carriedRate(stored, state),
                settledEpoch: Epoch.wrap(uint32(state.settledEpoch())),
                misses: state.misses(),
                strikes: state.strikes(),
                epochsProven: state.epochsProven(),
                registeredBlock: stored.registeredBlock,
                lapsed: state.isLapsed(),
                ceiling: state.isEvicted() ? 0 : state.ceiling(),
                lossLimit: stored.allowance.limited ? stored.allowance.perEpoch : type(uint80).max,
                endpoint: stored.endpoint,
                offer: stored.offer
            });
    }
}
