"""What a renter's home holds.

words     the twelve words, and the keys that follow from them
config    the home: which chain and market, where the files are
"""
