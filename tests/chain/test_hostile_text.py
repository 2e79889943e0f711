"""What anybody may write on chain must not keep anybody from reading it."""

from eth_abi.abi import encode

from grange.chain.codec import market_abi


def test_bytes_that_are_no_text_are_replaced() -> None:
    """A farmer whose endpoint is not UTF-8 can be read like any other, with marks in its place."""
    offer = (1, 2, 3, 4)
    shape = "(address,address,uint256,uint256,uint32,uint256,bytes,(uint80,uint80,uint64,uint32))"
    nobody = "0x" + "11" * 20
    data = encode([shape], [(nobody, nobody, 5, 6, 7, 8, b"\xff\xfe", offer)])
    assert market_abi().decode_result("farmer", data)["endpoint"] == "\ufffd\ufffd"
