"""What was accepted and what the chain made of it, in SQLite.

ledger          the tables, asked and changed
ledger_file     the file: its schema, and whose it is
ledger_events   what events and reorgs do to the tables
books           the books of the contract, from the ledger's entries
sightings       how far the chain can have come by our own clock
"""
