// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FarmerId, OrderId, Parameters} from "../../contracts/types/Types.sol";
import {AttackTest} from "./support/AttackTest.sol";
import {vm} from "./support/Cheats.sol";

/// @title Attacks of docs/economics.md under cover of one's own, or of who makes the blocks
/// @dev What hangs on chance is played so often that the mean decides.
contract CoverTest is AttackTest {
    uint256 private constant ROUNDS = 24;
    uint256 private constant SEEDS = 12;

    uint256 private _cover;

    /// @dev One round: a farmer with `_cover` times as much of its own takes over a slot for the bounty, `left` epochs before its
    /// end, keeps nothing of it, and misses the epochs in which it is drawn. What everyone in on it has won or lost.
    function _pretendUnderCover(uint256 round, uint256 left, uint256 collateral) private returns (int256 won) {
        address victim = vm.addr(RENTER_KEY);
        _enter(1000 + 40 * round * GRID_EPOCHS);
        renter = victim;
        uint256 end = _date(6);
        FarmerId first = _register();
        OrderId order = _store(first, end, 1, R);
        _lapse(first);
        market.evict(first);
        FarmerId pretender = _register(collateral * (_cover + 1) * R);
        renter = vm.addr(OWN_RENTER_KEY);
        won = -int256(_money(renter) + market.earnings(REPAIRER) + _worth(pretender));
        _enter(end - left - 2);
        OrderId cover = _store(pretender, end, 1, _cover * R);
        _enter(end - left - 1);
        _prove(pretender);
        renter = victim;
        _refill(order, 0, pretender, REPAIRER);
        renter = vm.addr(OWN_RENTER_KEY);
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (!market.farmer(pretender).lapsed && !_drawnFrom(pretender, 1)) _prove(pretender);
        }
        _enter(end);
        vm.startPrank(REPAIRER);
        _close(cover);
        _close(order);
        if (market.farmer(pretender).lapsed && market.farmer(pretender).stake > 0) market.evict(pretender);
        vm.stopPrank();
        won += int256(_money(renter) + market.earnings(REPAIRER) + _worth(pretender));
    }

    function _wonUnderCover(uint256 cover, uint256 collateral) private returns (int256 won) {
        _cover = cover;
        _asOwnRenter();
        for (uint256 round = 0; round < ROUNDS; ++round) won += _pretendUnderCover(round, 8, collateral);
    }

    /// Must hold: who takes a bounty under cover of slots of its own, and keeps nothing of what it took, loses in the mean.
    function test_pretendUnderCover() external {
        vm.assertTrue(_wonUnderCover(99, COLLATERAL_EPOCHS) < 0, "a loss");
    }

    /// Must hold: the same under the cover of a tenth of it.
    function test_pretendUnderLittleCover() external {
        vm.assertTrue(_wonUnderCover(9, COLLATERAL_EPOCHS) < 0, "a loss");
    }

    /// Must hold: the same for the bounties of the highest penalty, with as high a fine as they need.
    function test_pretendUnderCoverForHighBounties() external {
        Parameters memory p = _parameters(address(token));
        p.penalty = 16;
        p.fine = 3;
        p.collateralEpochs = uint32(2 * MAX_MISSES * 19);
        market = _deploy(p);
        token.approve(address(market), type(uint256).max);
        vm.prank(renter);
        token.approve(address(market), type(uint256).max);
        vm.assertTrue(_wonUnderCover(99, p.collateralEpochs) < 0, "a loss");
    }

    /// Must hold: one that is farmers, renter and repairer at once has no more at the end, whatever it proves, gives up and
    /// takes over, and less unless it proves everything.
    function testFuzz_allInOne(uint256 pattern) external {
        address own = _asOwnRenter();
        FarmerId first = _register();
        FarmerId second = _register();
        uint256 before = _money(own) + 2 * STAKE;
        uint256 end = _date(3);
        OrderId order = _store(first, end, 1, R);
        bool faultless = true;
        bool taken = false;
        for (uint256 epoch = _now() + 1; epoch < end; ++epoch) {
            _enter(epoch);
            FarmerId holder = taken ? second : first;
            if (market.farmer(holder).lapsed || _rateAt(holder, epoch) == 0) continue;
            if ((pattern >> (2 * (epoch % 100))) & 3 == 0) faultless = false;
            else _prove(holder);
            if (taken || (pattern >> 200) % 24 != epoch % 24 || epoch + 2 >= end) continue;
            _lose(first, 0);
            _enter(++epoch);
            _refill(order, 0, second, own);
            taken = true;
        }
        _enter(end);
        vm.prank(own);
        _close(order);
        for (uint256 i = 0; i < 2; ++i) {
            FarmerId farmer = i == 0 ? first : second;
            if (!market.farmer(farmer).lapsed || market.farmer(farmer).stake == 0) continue;
            vm.prank(own);
            market.evict(farmer);
        }
        uint256 have = _money(own) + market.earnings(own) + _worth(first) + _worth(second);
        vm.assertTrue(faultless ? have == before : have < before, "nothing won, and something burnt");
    }

    /// @dev A farmer that drops so many tenths of what it is paid for, with whom the producer of the first block of every epoch
    /// that is a multiple of `every` tries blocks until nothing dropped is drawn. What it won beyond the cost of what it keeps.
    /// A call of its own, whose memory is free when it ends.
    function groundSeeds(uint256 every, uint256 tenths) external returns (int256 won) {
        _enter(_date(1));
        FarmerId farmer = _register();
        uint256 end = _date(1);
        uint256 dropped = (R * tenths) / 10;
        _store(farmer, end, 1, R - dropped);
        _store(farmer, end, 1, dropped);
        uint256 epochs = 0;
        while (_now() + 1 < end) {
            _enter(_now() + 1);
            if (market.farmer(farmer).lapsed) break;
            ++epochs;
            uint256 snapshot = vm.snapshotState();
            bool drawn = _drawnFrom(farmer, 1);
            for (uint256 attempt = 0; drawn && _now() % every == 0; ++attempt) {
                vm.revertToState(snapshot);
                vm.setBlockhash(_now() * EPOCH_BLOCKS, keccak256(abi.encode("ground", _now(), attempt)));
                snapshot = vm.snapshotState();
                drawn = _drawnFrom(farmer, 1);
            }
            if (!drawn) _prove(farmer);
        }
        won = int256(_worth(farmer)) - int256(STAKE) - int256(epochs * (R - dropped));
    }

    /// Must hold: who makes every second first block, and tries until the hash suits its farmer, loses by the others in the
    /// mean, whether a tenth, three or five are dropped.
    function test_halfOfTheFirstBlocks() external {
        for (uint256 tenths = 1; tenths <= 5; tenths += 2) {
            int256 won = 0;
            for (uint256 round = 0; round < SEEDS; ++round) won += this.groundSeeds(2, tenths);
            vm.assertTrue(won < 0, "a loss");
        }
    }

    /// What the seed does not give: who makes all blocks of a chain is paid for what its farmer does not keep.
    function test_allTheFirstBlocks() external {
        vm.assertTrue(this.groundSeeds(1, 5) > 0, "not caught");
    }
}
