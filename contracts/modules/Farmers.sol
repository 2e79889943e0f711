// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFarmers} from "../interfaces/IFarmers.sol";
import {Epochs} from "../libraries/Epochs.sol";
import {Standing, Standings} from "../types/Standing.sol";
import {Epoch, FarmerId, FarmerView, Offer, Permit} from "../types/Types.sol";
import {Books} from "./Books.sol";
import {Vault} from "./Vault.sol";

/// @title Who the farmers are and what they have at stake
/// @dev Decides who may act for a farmer, and keeps what every call about a farmer reads in one word, its standing.
/// When a farmer may take on a slot is decided by `Orders`.
///
/// Invariants:
///   committedRate = sum(rateBefore + rateAdded) over the farmer's books of dates after sweptGrid
///   stake >= COLLATERAL_EPOCHS * committedRate
///   every epoch up to settledEpoch is proven, recorded as missed, or had nothing to prove
abstract contract Farmers is IFarmers, Vault, Books {
    struct Farmer {
        Standing standing;
        address operator; // zero for a farmer that does not exist
        uint96 stake;
        address owner;
        Offer offer;
        string endpoint;
    }

    uint256 private constant MAX_ENDPOINT_BYTES = 256;
    uint256 private constant MAX_PAGE = 100;

    mapping(FarmerId id => Farmer) internal _farmers;

    /// @inheritdoc IFarmers
    uint32 public farmerCount;

    /// @inheritdoc IFarmers
    function register(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake
    ) external nonReentrant returns (FarmerId) {
        return _register(owner, operator, endpoint, offer, stake);
    }

    /// @inheritdoc IFarmers
    function registerWithPermit(
        address owner,
        address operator,
        string calldata endpoint,
        Offer calldata offer,
        uint256 stake,
        Permit calldata permit
    ) external nonReentrant returns (FarmerId) {
        _usePermit(permit, stake);
        return _register(owner, operator, endpoint, offer, stake);
    }

    /// @inheritdoc IFarmers
    function updateFarmer(FarmerId id, string calldata endpoint, Offer calldata offer) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner && msg.sender != stored.operator) revert NotOwnerOrOperator(id, msg.sender);
        _update(id, stored, endpoint, offer);
    }

    /// @inheritdoc IFarmers
    function setOperator(FarmerId id, address operator) external {
        Farmer storage stored = _existing(id);
        if (msg.sender != stored.owner) revert NotOwner(id, msg.sender);
        if (operator == address(0)) revert ZeroAddress();
        stored.operator = operator;
        emit OperatorChanged(id, operator);
    }

    /// @inheritdoc IFarmers
    function addStake(FarmerId id, uint256 amount) external nonReentrant {
        _addStake(id, _existing(id), amount);
    }

    /// @inheritdoc IFarmers
    function farmer(FarmerId id) external view returns (FarmerView memory) {
        return _shown(id, _existing(id));
    }

    /// @inheritdoc IFarmers
    function farmers(uint32 first, uint32 count) external view returns (FarmerView[] memory shown) {
        if (count > MAX_PAGE) revert PageTooLong(count, MAX_PAGE);
        if (first == 0) revert UnknownFarmer(FarmerId.wrap(0));
        uint256 left = first > farmerCount ? 0 : farmerCount - first + 1;
        shown = new FarmerView[](count < left ? count : left);
        for (uint32 i = 0; i < shown.length; ++i) {
            FarmerId id = FarmerId.wrap(first + i);
            shown[i] = _shown(id, _farmers[id]);
        }
    }

    function _existing(FarmerId id) internal view returns (Farmer storage stored) {
        stored = _farmers[id];
        if (stored.operator == address(0)) revert UnknownFarmer(id);
    }

    /// @dev Takes books that have ended out of the committed rate.
    function _swept(FarmerId id, Standing standing, uint256 current) internal view returns (Standing) {
        uint256 grid = Epochs.gridOf(current, GRID_EPOCHS);
        uint256 sweptGrid = standing.sweptGrid();
        if (grid == sweptGrid) return standing;
        return standing.swept(standing.committedRate() - _rateEnding(id, sweptGrid, grid), grid);
    }

    function _register(
        address owner,
        address operator,
        string calldata endpoint,
        Offer memory offer,
        uint256 stake
    ) private returns (FarmerId id) {
        if (owner == address(0) || operator == address(0)) revert ZeroAddress();
        uint256 current = _currentEpoch();
        id = FarmerId.wrap(++farmerCount);
        Farmer storage stored = _farmers[id];
        stored.owner = owner;
        stored.operator = operator;
        stored.standing = Standings.pack(0, Epochs.gridOf(current, GRID_EPOCHS), current, 0, 0);
        emit FarmerRegistered(id, owner, operator);
        _update(id, stored, endpoint, offer);
        _addStake(id, stored, stake);
    }

    function _update(FarmerId id, Farmer storage stored, string calldata endpoint, Offer memory offer) private {
        uint256 length = bytes(endpoint).length;
        if (length > MAX_ENDPOINT_BYTES) revert EndpointTooLong(length, MAX_ENDPOINT_BYTES);
        stored.endpoint = endpoint;
        stored.offer = offer;
        emit FarmerUpdated(id, endpoint, offer);
    }

    function _addStake(FarmerId id, Farmer storage stored, uint256 amount) private {
        if (amount == 0) revert ZeroAmount();
        if (amount > type(uint96).max - stored.stake) revert StakeTooLarge(amount, type(uint96).max - stored.stake);
        stored.stake += uint96(amount);
        emit StakeAdded(id, amount, stored.stake);
        _pull(amount);
    }

    function _shown(FarmerId id, Farmer storage stored) private view returns (FarmerView memory) {
        uint256 current = _currentEpoch();
        Standing standing = stored.standing;
        (uint256 first, uint256 end) = _owed(id, standing.settledEpoch(), current);
        return
            FarmerView({
                owner: stored.owner,
                operator: stored.operator,
                stake: stored.stake,
                committedRate: _swept(id, standing, current).committedRate(),
                settledEpoch: Epoch.wrap(uint32(standing.settledEpoch())),
                misses: standing.misses() + (end - first),
                endpoint: stored.endpoint,
                offer: stored.offer
            });
    }
}
