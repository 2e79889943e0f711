// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ISettings} from "../../contracts/interfaces/ISettings.sol";
import {Epoch, Parameters} from "../../contracts/types/Types.sol";
import {vm} from "./support/Cheats.sol";
import {MarketTest} from "./support/MarketTest.sol";

/// @title A market is made only with parameters under which all of its calls work
contract ParametersTest is MarketTest {
    function _refused(Parameters memory p, bytes4 selector, uint256 value, uint256 least, uint256 most) private {
        _refused(p, abi.encodeWithSelector(selector, value, least, most));
    }

    /// @dev Each part refuses them, whatever the others do.
    function _refused(Parameters memory p, bytes memory reason) private {
        vm.expectRevert(reason);
        _createAccounts(p);
        vm.expectRevert(reason);
        _createFarmers(p, address(0));
        vm.expectRevert(reason);
        _create("Market.sol:Market", abi.encode(p, address(0)));
    }

    /// Must hold: the parameters are those given.
    function testFuzz_parametersAreShown(Parameters memory p) external {
        p.token = address(token);
        p.epochBlocks = uint32(_within(p.epochBlocks, 2, 65535));
        p.maxBooks = uint8(_within(p.maxBooks, 2, 14));
        p.samples = uint8(_within(p.samples, 10, 16));
        p.maxMisses = uint8(_within(p.maxMisses, 1, 6));
        p.gridEpochs = uint32(_within(p.gridEpochs, p.maxMisses, 4096 / p.maxBooks));
        p.penalty = uint8(_within(p.penalty, 1, 16));
        p.fine = uint8(_within(p.fine, 1, 16));
        p.collateralEpochs = uint32(
            _within(p.collateralEpochs, 2 * uint256(p.maxMisses) * (p.penalty + p.fine), 65535)
        );
        p.auctionEpochs = uint32(_within(p.auctionEpochs, 1, 4096));
        p.withdrawDelayEpochs = uint32(_within(p.withdrawDelayEpochs, 1, 4096));
        p.minStake = uint96(_within(p.minStake, 1, type(uint96).max));
        p.formerOperatorBlocks = uint32(_within(p.formerOperatorBlocks, 0, 65535));
        vm.assertEq(keccak256(abi.encode(_deploy(p).parameters())), keccak256(abi.encode(p)), "parameters");
    }

    /// Must hold: a token without code is refused.
    function testFuzz_tokenHasCode(address nothing) external {
        vm.assume(nothing.code.length == 0);
        _refused(_parameters(nothing), abi.encodeWithSelector(ISettings.TokenHasNoCode.selector, nothing));
    }

    /// Must hold: an epoch has at least two blocks, and no more than 65,535.
    function testFuzz_epochBlocks(uint32 blocks) external {
        vm.assume(blocks < 2 || blocks > 65535);
        Parameters memory p = _parameters(address(token));
        uint32[3] memory refused = [blocks, 1, 65536];
        for (uint256 i = 0; i < 3; ++i) {
            p.epochBlocks = refused[i];
            _refused(p, ISettings.EpochBlocksOutOfRange.selector, refused[i], 2, 65535);
        }
    }

    /// Must hold: who misses until it lapses passes one date at most, and the longest term is at most 4096 epochs.
    function testFuzz_gridEpochs(uint32 epochs) external {
        vm.assume(epochs > 4096 / MAX_BOOKS);
        Parameters memory p = _parameters(address(token));
        for (uint256 i = 0; i < 2; ++i) {
            p.gridEpochs = i == 0 ? epochs : uint32(epochs % MAX_MISSES);
            _refused(p, ISettings.GridEpochsOutOfRange.selector, p.gridEpochs, MAX_MISSES, 4096 / MAX_BOOKS);
        }
    }

    /// Must hold: there are 2 to 14 books, so that every order can be extended.
    function testFuzz_maxBooks(uint8 books) external {
        vm.assume(books > 14);
        Parameters memory p = _parameters(address(token));
        uint8[3] memory refused = [books, 0, 1];
        for (uint256 i = 0; i < 3; ++i) {
            p.maxBooks = refused[i];
            _refused(p, ISettings.MaxBooksOutOfRange.selector, refused[i], 2, 14);
        }
        p.maxBooks = 2;
        _deploy(p);
    }

    /// Must hold: there are at most 16 samples, and so many that they find a slot that is not kept before it has won more,
    /// by pay and bounty, than fines under cover of other slots cost.
    function testFuzz_samples(uint8 samples, uint8 penalty, uint8 fine) external {
        Parameters memory p = _parameters(address(token));
        (p.penalty, p.fine) = (uint8(_within(penalty, 1, 16)), uint8(_within(fine, 1, 16)));
        p.collateralEpochs = 65535;
        uint256 least = 1;
        while (2 * least * p.fine < 2 + uint256(p.penalty) + p.fine) ++least;
        vm.assume(samples > 16);
        _refused(p, samples, least);
        _refused(p, _within(samples, 0, least - 1), least);
        p.samples = uint8(least);
        _deploy(p);
    }

    function _refused(Parameters memory p, uint256 samples, uint256 least) private {
        p.samples = uint8(samples);
        _refused(p, ISettings.SamplesOutOfRange.selector, samples, least, 16);
    }

    /// Must hold: a farmer lapses after 1 to 6 misses.
    function testFuzz_maxMisses(uint8 misses) external {
        vm.assume(misses == 0 || misses > 6);
        Parameters memory p = _parameters(address(token));
        p.maxMisses = misses;
        _refused(p, ISettings.MaxMissesOutOfRange.selector, misses, 1, 6);
    }

    /// Must hold: a miss moves 1 to 16 epochs of pay to the renters.
    function testFuzz_penalty(uint8 penalty) external {
        vm.assume(penalty == 0 || penalty > 16);
        Parameters memory p = _parameters(address(token));
        p.penalty = penalty;
        _refused(p, ISettings.PenaltyOutOfRange.selector, penalty, 1, 16);
    }

    /// Must hold: a miss burns 1 to 16 epochs of pay.
    function testFuzz_fine(uint8 fine) external {
        vm.assume(fine == 0 || fine > 16);
        Parameters memory p = _parameters(address(token));
        p.fine = fine;
        _refused(p, ISettings.FineOutOfRange.selector, fine, 1, 16);
    }

    /// Must hold: half of what is at stake covers every miss up to the lapse; at most 65,535 epochs are at stake.
    function testFuzz_collateralEpochs(uint32 epochs, uint8 misses, uint8 penalty, uint8 fine) external {
        Parameters memory p = _parameters(address(token));
        p.maxMisses = uint8(_within(misses, 1, 6));
        p.penalty = uint8(_within(penalty, 1, 16));
        p.fine = uint8(_within(fine, 1, 16));
        p.samples = 16;
        uint256 least = 2 * uint256(p.maxMisses) * (p.penalty + p.fine);
        vm.assume(epochs > 65535);
        for (uint256 i = 0; i < 2; ++i) {
            p.collateralEpochs = i == 0 ? epochs : uint32(_within(epochs, 0, least - 1));
            _refused(p, ISettings.CollateralEpochsOutOfRange.selector, p.collateralEpochs, least, 65535);
        }
    }

    /// Must hold: a bounty rises in 1 to 4096 epochs.
    function testFuzz_auctionEpochs(uint32 epochs) external {
        vm.assume(epochs == 0 || epochs > 4096);
        Parameters memory p = _parameters(address(token));
        p.auctionEpochs = epochs;
        _refused(p, ISettings.AuctionEpochsOutOfRange.selector, epochs, 1, 4096);
    }

    /// Must hold: a withdrawal waits for 1 to 4096 epochs.
    function testFuzz_withdrawDelay(uint32 epochs) external {
        vm.assume(epochs == 0 || epochs > 4096);
        Parameters memory p = _parameters(address(token));
        p.withdrawDelayEpochs = epochs;
        _refused(p, ISettings.WithdrawDelayOutOfRange.selector, epochs, 1, 4096);
    }

    /// Must hold: no farmer registers with nothing.
    function test_minStake() external {
        Parameters memory p = _parameters(address(token));
        p.minStake = 0;
        _refused(p, ISettings.MinStakeOutOfRange.selector, 0, 1, type(uint96).max);
    }

    /// Must hold: what a former operator signed counts for 65,535 blocks at most.
    function testFuzz_formerOperatorBlocks(uint32 blocks) external {
        vm.assume(blocks > 65535);
        Parameters memory p = _parameters(address(token));
        p.formerOperatorBlocks = blocks;
        _refused(p, ISettings.FormerOperatorBlocksOutOfRange.selector, blocks, 0, 65535);
    }

    /// Must hold: the epoch is the block's number divided by the blocks of an epoch.
    function testFuzz_currentEpoch(uint32 number) external {
        vm.roll(number);
        vm.assertEq(Epoch.unwrap(market.currentEpoch()), number / EPOCH_BLOCKS, "epoch");
    }
}
