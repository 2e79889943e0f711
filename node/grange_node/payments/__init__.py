"""Being paid for reads.

payment_gate  nothing is read that is not paid before
vouchers      what a voucher is worth, and which to redeem: pure
accounts      what payers signed and used, in SQLite
redeemer      vouchers into money, in few transactions
"""
