"""Who may read which pieces now.

readers    whether a signer may read a slot, and which part of it
paths      paths from pieces to a slot's root, for those who repair
"""
