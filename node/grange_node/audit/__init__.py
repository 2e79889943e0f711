"""Proving every epoch what is kept.

prover    when to prove, and what to do about all that comes in between
proof     the words of a proof, from ledger and pieces
"""
