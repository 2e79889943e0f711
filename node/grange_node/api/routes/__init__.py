"""What the farmer answers to.

`data` moves bytes, `slots` makes agreements, `account` says what a payer has with us, `info` introduces
ourselves. `common` is what they all need.
"""
