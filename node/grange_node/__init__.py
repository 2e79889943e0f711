"""The farmer node: keeps pieces, proves them on chain, and is paid.

cli, api                what an operator types, and what others ask over HTTP
node                    what belongs together while a farm runs
payments, reads         being paid for reads, and who may read what
payer                   for whom a request is made
uploads                 pieces on their way in, and out again when nobody needs them
acceptance, audit       signing for slots, and proving them
self_repair, repair     mending our own slots, and those of others
hand_over, leaving      passing slots on to farmers that take them, and what may go of a book
chain                   what a farm asks of the chain
lists                   whom the owner deals with
pieces, ledger, limits  the pieces, what was agreed on, and shares of what there is little of
config, errors          the settings of a farm, and what can go wrong
database, files         SQLite that takes note of a full disk, and the seam to the file system
records, slot_key       what the ledger keeps, as values
loops, elapsed          loops that no hiccup ends, and how old an answer is
"""
