// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IMarket} from "../../../contracts/interfaces/IMarket.sol";
import {GrangeToken} from "../../../contracts/token/GrangeToken.sol";
import {
    Acceptance,
    Epoch,
    FarmerId,
    Offer,
    OperatorConsent,
    OrderId,
    Parameters,
    Permit,
    Rate,
    Terms
} from "../../../contracts/types/Types.sol";
import {vm} from "./Cheats.sol";
import {History} from "./History.sol";

/// @title A market with a token, and people to act in it
/// @dev Sets up what every test of the market starts from, and signs what they sign. Keys are small numbers.
abstract contract MarketTest {
    uint256 internal constant SUPPLY = 1e33;
    uint256 internal constant STAKE = 1e24;
    uint256 internal immutable EPOCH_BLOCKS = _epochBlocks();
    uint256 internal constant GRID_EPOCHS = 8;
    uint256 internal constant MAX_BOOKS = 12;
    uint256 internal constant SAMPLES = 5;
    uint256 internal constant COLLATERAL_EPOCHS = 16;
    uint256 internal constant MAX_MISSES = 4;
    uint256 internal constant PENALTY = 1;
    uint256 internal constant FINE = 1;
    uint256 internal constant AUCTION_EPOCHS = 4;
    uint256 internal constant WITHDRAW_DELAY_EPOCHS = 2;
    uint256 internal constant MIN_STAKE = 1;
    uint256 internal constant FORMER_OPERATOR_BLOCKS = 30;
    address internal constant BURNT = address(0xdEaD);
    uint256 internal constant FIRST_OPERATOR_KEY = 1000;
    uint256 internal constant RENTER_KEY = 77;

    bytes32 internal constant ACCEPTANCE_TYPEHASH = keccak256(
        "Acceptance(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,uint80 maxEgressPricePerGib,uint32 end,uint64 deadlineBlock,bytes32 previous,address repairer)"
    );
    bytes32 internal constant HAND_OVER_TYPEHASH = keccak256(
        "HandOver(bytes32 order,uint32 farmer,uint8 slot,bytes32 root,uint32 leafCount,uint80 rate,"
        "uint80 maxEgressPricePerGib,uint32 end,"
        "uint64 deadlineBlock,bytes32 previous,uint32 giver)"
    );
    bytes32 internal constant PERMIT_TYPEHASH = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    );

    bytes32 internal constant CONSENT_TYPEHASH = keccak256(
        "OperatorConsent(address operator,address owner,uint32 farmer,uint256 nonce,uint64 deadlineBlock)"
    );
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256("Voucher(address renter,uint32 farmer,uint256 cumulative)");

    /// @dev What a farmer's operator signs.
    struct Consent {
        OrderId order;
        FarmerId farmer;
        uint256 slot;
        bytes32 root;
        uint256 leafCount;
        Rate rate;
        uint80 maxEgressPricePerGib;
        Epoch end;
        uint64 deadlineBlock;
        bytes32 previous;
        address repairer;
    }

    GrangeToken internal token;
    IMarket internal market;
    address internal renter;
    address internal placer; // who places for the renter; zero: the renter itself

    function setUp() public virtual {
        History.install();
        token = new GrangeToken(SUPPLY);
        market = _deploy(_parameters(address(token)));
        renter = vm.addr(RENTER_KEY);
        token.approve(address(market), type(uint256).max);
        token.transfer(renter, 1e30);
        vm.prank(renter);
        token.approve(address(market), type(uint256).max);
        _enter(100);
    }

    function _epochBlocks() internal pure virtual returns (uint256) {
        return 10;
    }

    function _parameters(address token_) internal view returns (Parameters memory) {
        return
            Parameters({
                token: token_,
                epochBlocks: uint32(EPOCH_BLOCKS),
                gridEpochs: uint32(GRID_EPOCHS),
                maxBooks: uint8(MAX_BOOKS),
                samples: uint8(SAMPLES),
                collateralEpochs: uint32(COLLATERAL_EPOCHS),
                maxMisses: uint8(MAX_MISSES),
                penalty: uint8(PENALTY),
                fine: uint8(FINE),
                auctionEpochs: uint32(AUCTION_EPOCHS),
                withdrawDelayEpochs: uint32(WITHDRAW_DELAY_EPOCHS),
                minStake: uint96(MIN_STAKE),
                formerOperatorBlocks: uint32(FORMER_OPERATOR_BLOCKS)
            });
    }

    /// @dev The market as it was compiled, so that the compiler does not do it again for every test that holds it.
    function _deploy(Parameters memory p) internal returns (IMarket) {
        return _deploy("Market.sol:Market", p);
    }

    /// @dev A market or what takes its place, over parts of its own.
    function _deploy(string memory name, Parameters memory p) internal returns (IMarket) {
        return IMarket(_create(name, abi.encode(p, _createFarmers(p, _createSlots(p, _createAccounts(p))))));
    }

    function _createAccounts(Parameters memory p) internal returns (address) {
        return _create("MarketAccounts.sol:MarketAccounts", abi.encode(p));
    }

    function _createSlots(Parameters memory p, address accounts) internal returns (address) {
        return _create("MarketSlots.sol:MarketSlots", abi.encode(p, accounts));
    }

    function _createFarmers(Parameters memory p, address slots) internal returns (address) {
        return _create("MarketFarmers.sol:MarketFarmers", abi.encode(p, slots));
    }

    /// @dev Deploys a contract, and fails as it does.
    function _create(string memory name, bytes memory arguments) internal returns (address created) {
        bytes memory code = bytes.concat(vm.getCode(name), arguments);
        assembly ("memory-safe") {
            created := create(0, add(code, 0x20), mload(code))
            if iszero(created) {
                returndatacopy(0x00, 0x00, returndatasize())
                revert(0x00, returndatasize())
            }
        }
    }

    /// @dev Goes to the second block of an epoch, whose seed is then there.
    function _enter(uint256 epoch) internal {
        vm.roll(epoch * EPOCH_BLOCKS + 1);
        History.set(epoch * EPOCH_BLOCKS, _blockHash(epoch));
    }

    /// @dev The hash of an epoch's first block.
    function _blockHash(uint256 epoch) internal view virtual returns (bytes32) {
        return keccak256(abi.encode("block", epoch));
    }

    /// @dev The current epoch. Not asked of the market: that would be taken for the call of which the test expects
    /// something.
    function _now() internal view returns (uint256) {
        return block.number / EPOCH_BLOCKS;
    }

    /// @dev The grid date `ahead` dates after the current one, as an epoch: 1 is the next.
    function _date(uint256 ahead) internal view returns (uint256) {
        return (_now() / GRID_EPOCHS + ahead) * GRID_EPOCHS;
    }

    function _offer() internal pure returns (Offer memory) {
        return Offer({pricePerGibEpoch: 1e15, egressPricePerGib: 2e15, capacityBytes: 1 << 40, longestTermEpochs: 96});
    }

    function _operatorKey(FarmerId farmer) internal pure returns (uint256) {
        return FIRST_OPERATOR_KEY + FarmerId.unwrap(farmer);
    }

    function _operator(FarmerId farmer) internal pure returns (address) {
        return vm.addr(_operatorKey(farmer));
    }

    function _ownerOf(FarmerId farmer) internal pure returns (address) {
        return address(uint160(0xA11CE0000 + FarmerId.unwrap(farmer)));
    }

    /// @dev Registers the next farmer, with the operator key that belongs to its id.
    function _register(uint256 stake) internal returns (FarmerId) {
        FarmerId next = FarmerId.wrap(market.farmerCount() + 1);
        OperatorConsent memory consent = _consentTo(_operatorKey(next), _ownerOf(next), FarmerId.wrap(0));
        return market.register(_ownerOf(next), _operator(next), "http://farmer", _offer(), stake, consent);
    }

    /// @dev Where the operator itself makes the call.
    function _itself() internal pure returns (OperatorConsent memory) {}

    /// @dev The consent of the holder of `key` to act for a farmer.
    function _consentTo(uint256 key, address owner, FarmerId farmer) internal view returns (OperatorConsent memory) {
        uint256 nonce = market.consentNonce(vm.addr(key));
        return _consentTo(key, address(market), block.chainid, owner, farmer, nonce);
    }

    /// @dev The same for any market, chain and nonce.
    function _consentTo(
        uint256 key,
        address market_,
        uint256 chain,
        address owner,
        FarmerId farmer,
        uint256 nonce
    ) internal view returns (OperatorConsent memory consent) {
        uint64 deadline = uint64(block.number + 5);
        bytes32 digest = _consentDigest(_domain(market_, chain), vm.addr(key), owner, farmer, nonce, deadline);
        consent.deadlineBlock = deadline;
        (consent.r, consent.vs) = _signCompact(key, digest);
    }

    function _consentDigest(
        bytes32 domain,
        address operator,
        address owner,
        FarmerId farmer,
        uint256 nonce,
        uint64 deadlineBlock
    ) internal pure returns (bytes32) {
        bytes32 message = keccak256(abi.encode(CONSENT_TYPEHASH, operator, owner, farmer, nonce, deadlineBlock));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }

    function _register() internal returns (FarmerId) {
        return _register(STAKE);
    }

    function _deposit(uint256 amount) internal {
        vm.prank(renter);
        market.deposit(amount);
    }

    function _acceptanceDigest(address market_, uint256 chain, Consent memory consent) internal pure returns (bytes32) {
        bytes32 message = keccak256(abi.encode(ACCEPTANCE_TYPEHASH, consent));
        return keccak256(abi.encodePacked(hex"1901", _domain(market_, chain), message));
    }

    function _voucherDigest(
        address market_,
        uint256 chain,
        address renter_,
        FarmerId farmer,
        uint256 cumulative
    ) internal pure returns (bytes32) {
        bytes32 message = keccak256(abi.encode(VOUCHER_TYPEHASH, renter_, farmer, cumulative));
        return keccak256(abi.encodePacked(hex"1901", _domain(market_, chain), message));
    }

    function _domain(address market_, uint256 chain) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                    keccak256("Grange"),
                    keccak256("1"),
                    chain,
                    market_
                )
            );
    }

    /// @dev EIP-2098.
    function _signCompact(uint256 key, bytes32 digest) internal pure returns (bytes32 r, bytes32 vs) {
        uint8 v;
        bytes32 s;
        (v, r, s) = vm.sign(key, digest);
        vs = bytes32((uint256(v - 27) << 255) | uint256(s));
    }

    /// @dev EIP-2098, in 64 bytes.
    function _signBytes(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 vs) = _signCompact(key, digest);
        return bytes.concat(r, vs);
    }

    /// @dev Who signed this, or nobody: EIP-2098 back again.
    function _signer(bytes32 digest, bytes32 r, bytes32 vs) internal pure returns (address) {
        return ecrecover(digest, uint8(27 + (uint256(vs) >> 255)), r, (vs << 1) >> 1);
    }

    /// @dev Who signed an acceptance, if the terms are taken for what was signed.
    function _signer(Terms memory terms, uint256 slot, Acceptance memory acceptance) internal view returns (address) {
        Consent memory consent = _consent(terms, slot, acceptance, OrderId.wrap(0));
        return _signer(_acceptanceDigest(address(market), block.chainid, consent), acceptance.r, acceptance.vs);
    }

    /// @dev What the farmer's operator signs when all is well.
    function _accept(
        Terms memory terms,
        FarmerId farmer,
        uint256 slot,
        bytes32 root,
        uint256 rate
    ) internal view returns (Acceptance memory acceptance) {
        return _accept(terms, farmer, slot, root, rate, OrderId.wrap(0));
    }

    /// @dev The same, for an extension if `previous` is not zero.
    function _accept(
        Terms memory terms,
        FarmerId farmer,
        uint256 slot,
        bytes32 root,
        uint256 rate,
        OrderId previous
    ) internal view returns (Acceptance memory acceptance) {
        acceptance = Acceptance({
            farmer: farmer,
            root: root,
            rate: Rate.wrap(uint80(rate)),
            maxEgressPricePerGib: _offer().egressPricePerGib,
            deadlineBlock: uint64((_now() + 10) * EPOCH_BLOCKS),
            r: 0,
            vs: 0
        });
        _sign(terms, slot, acceptance, _operatorKey(farmer), previous);
    }

    /// @dev Signs an acceptance as it stands, for `renter`'s order.
    function _sign(Terms memory terms, uint256 slot, Acceptance memory acceptance, uint256 key) internal view {
        _sign(terms, slot, acceptance, key, OrderId.wrap(0));
    }

    function _sign(
        Terms memory terms,
        uint256 slot,
        Acceptance memory acceptance,
        uint256 key,
        OrderId previous
    ) internal view {
        Consent memory consent = _consent(terms, slot, acceptance, previous);
        (acceptance.r, acceptance.vs) = _signCompact(key, _acceptanceDigest(address(market), block.chainid, consent));
    }

    /// @dev The consent to an order that is placed or, if `previous` is not zero, to an extension.
    function _consent(
        Terms memory terms,
        uint256 slot,
        Acceptance memory acceptance,
        OrderId previous
    ) internal view returns (Consent memory) {
        return
            Consent({
                order: _orderId(terms),
                farmer: acceptance.farmer,
                slot: slot,
                root: acceptance.root,
                leafCount: terms.leafCount,
                rate: acceptance.rate,
                maxEgressPricePerGib: acceptance.maxEgressPricePerGib,
                end: terms.end,
                deadlineBlock: acceptance.deadlineBlock,
                previous: OrderId.unwrap(previous),
                repairer: address(0)
            });
    }

    function _orderId(Terms memory terms) internal view returns (OrderId) {
        return OrderId.wrap(keccak256(abi.encode(renter, placer == address(0) ? renter : placer, terms.salt)));
    }

    function _terms(
        bytes32 salt,
        uint256 end,
        uint256 leafCount,
        uint256 pieceLeaves,
        uint256 k
    ) internal pure returns (Terms memory) {
        return
            Terms({
                salt: salt,
                end: Epoch.wrap(uint32(end)),
                leafCount: uint32(leafCount),
                pieceLeaves: uint32(pieceLeaves),
                k: uint8(k),
                allowsHandOver: true
            });
    }

    /// @dev An ERC-2612 permit by the holder of `key` for the market.
    function _permit(uint256 key, uint256 value) internal view returns (Permit memory) {
        bytes32 message = keccak256(
            abi.encode(
                PERMIT_TYPEHASH,
                vm.addr(key),
                address(market),
                value,
                token.nonces(vm.addr(key)),
                block.timestamp
            )
        );
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            key,
            keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), message))
        );
        return Permit({value: value, deadline: block.timestamp, v: v, r: r, s: s});
    }

    /// @dev A value of the range [low, high] for fuzzed `x`.
    function _within(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + (x % (high - low + 1));
    }

    function _one(FarmerId farmer) internal pure returns (FarmerId[] memory list) {
        list = new FarmerId[](1);
        list[0] = farmer;
    }

    function _settledEpoch(FarmerId farmer) internal view returns (uint256) {
        return Epoch.unwrap(market.farmer(farmer).settledEpoch);
    }

    function _misses(FarmerId farmer) internal view returns (uint256) {
        return market.farmer(farmer).misses;
    }
}
