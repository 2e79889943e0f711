"""What the farmer answers to.

`data` moves bytes, `slots` makes agreements, `orders` shows an order's slots, `account` says what a payer has
with us, `info` introduces ourselves. `common` is what they all need.
"""
