"""Proving every epoch what is kept.

prover          when to prove, and what to do about all that comes in between
seed_recorder   recording the seeds of long epochs early
fee_history     what gas cost lately, and whether it is worth waiting
proof           the words of a proof, from ledger and pieces
"""
