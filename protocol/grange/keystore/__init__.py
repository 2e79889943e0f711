"""Secrets in files, encrypted with a passphrase, the same for farmers, repairers and renters.

container      the form of such a file: Web3 secret storage, as other wallets read and write it for keys
passphrases    where a passphrase comes from: files, a descriptor, the system's keyring, or a person
secret_file    reading and writing one: by its owner alone, and in one step
"""
