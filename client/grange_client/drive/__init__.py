"""What a drive is made of, as bytes, and the catalog of where its chunks are.

drive_name              what a drive may be called
keys                    what follows from the recovery secret: a drive's keys
chunk, sealing          runs of content, each sealed under a key of its own
stored_form             compressed where that helps
chunker                 where one chunk ends and the next begins; plain_borders: the same without the kernel
chunk_store             where chunks come from and go to, one by one or many at once
content, levels         which chunks a long file is made of; long lists as trees
entry, tree             directories; tree_builder makes a whole one, tree_edit puts one entry into one,
                        walk_ahead reads many nodes at once
directory_edit          one directory with some of its names changed
differences, merge        what differs between two trees, and one tree out of two
commit                  a drive at one moment, and which ones it came from
commit_merge            one commit out of two, and from which base
journal, pack           what is where, and chunks end to end with that behind them
retention               which commits are kept, and why; retention_text: the same as a line of text
liveness, leaning       what the kept commits need; what a new one may rely on
drive_state             what all journals say together; recovery from the newest
named_values            which of the values count that devices said under names
journal_check           what of a journal can be true when it is read, by the chain
stamp                   what a file looked like when it was read
backup                  from what is on disk to a commit: a package of its own
catalog                 an index of what the packs say, made again from them: what any does, and filling it
catalog_check           compares one with the packs
catalog_rows            what a database has of it, sealed
sqlite_catalog          one in a SQLite file; its tables are in sqlite_chunks
restore/                from a tree to files in a directory
views/, edits/          looking into a drive, and changing it, without a disk
"""
