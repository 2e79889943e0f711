"""What farmers and renters must agree on: trees, codes, seals, messages, and the chain gateway.

cli, transfer, peer, wire, chain   packages that do something: each says what its modules are for
keystore, storage   likewise: secrets that a passphrase opens; files that outlive the process
allow_lists         whom a person deals with and whom not, in two text files; listed_names: how they are
                    called there, put into what is shown

The modules are pure, but for the last two lines:

types, units        the values of the contract; numbers, money and sizes
token_unit          amounts of a market's token, in its own unit
messages            what is signed
layout, fragments   where every byte of an order is; the headers of fragments
seal                encrypting blocks
kernel              hashing and coding of pieces: erasure_compiled, merkle_compiled, or else erasure, merkle
keccak, mountain    the hash of the chain; the tree over the slots of a book
audit               what an audit asks for, and the answer
reads, repair       who may read what; when it pays to repair
mandates            when an order is extended without some of its farmers
seeds, turns        which block gives a seed; who of many begins
times               when a block or an epoch will be
errors, plain_errors, json_text     errors in three parts; those of libraries; JSON that anybody wrote
alerts, processes   telling a person something; ending what we started
executors, tasks, memory    threads for what blocks; several things at once; keeping memory that was freed
"""
