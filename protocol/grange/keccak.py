"""Keccak-256 as the chain has it, at the speed of C.

Named here once because `eth_hash.auto` prefers pycryptodome where that is installed: five microseconds a call
instead of one half.
"""

from eth_hash.backends.pysha3 import keccak256

__all__ = ["keccak256"]
