"""Packs of drives on their way to farmers and back.

spool       packs on disk until they are placed for good; spool_file is one of them
placing     a pack as an order, and going on with one that was begun
search      which orders of an account are packs of its drives
reading     the bytes and the journals of packs
chunks      chunks out of packs, one by one or many in the order in which they stand
ranges      chunks that stand near each other, to be read together
read_ahead  reads that go on while what came before is handed on
tree_cache  trees, lists and commits on this disk, so that they are read from farmers once
copying     chunks out of packs as they are, into another pack
needed_chunks    what a new commit relies on, to be stored again if its pack goes
descriptor  where a pack is, as journals and the chain have it
order_stream     an order that `put` stored, read in a thread
drive_secrets   the keys of drives that a renter has
bridge      asking an event loop from a thread
"""
