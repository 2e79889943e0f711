"""What was accepted and what the chain made of it, in SQLite.

ledger          the file, opened, and what the chain says, taken in
slots           what is known of each slot
entries         the slots in our books, as the chain tells them
proofs          what was proven, missed and earned
tables          how each of them reads and writes
ledger_file     the file: its schema, and whose it is
ledger_events   what events and reorgs do to the tables
books           the books of the contract, from the ledger's entries
sightings       how far the chain can have come by our own clock
"""
