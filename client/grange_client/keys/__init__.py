"""What a renter's home holds.

recovery_phrase  the words that everything can be found again with, and the keys that follow from them
recovery_card    phrase, chain and market in a few lines, for a new computer
identity_file    who a home is, in a file that a passphrase may lock
delegate_bundle    what a device is given, in one file
wallet_account    what only the account itself can do, and in whose name a home asks
config    the home: which chain and market, where the files are
"""
