"""From what is on disk to a commit of a drive.

filters, scan           which names are stored, and walking them
sorted_names, local_attributes     one directory's names, and what a file system says of a name
local_file, file_contents          a file while it is read; the content of many as chunks
known_chunks, new_chunks           what is there already; what is new, sealed and handed on
chunk_sink, id_set, recent_nodes   where that goes, what was seen of it, and reading it before it is placed
entries                 entries of a tree out of what was met; order_entries: out of an order of `put`
changes                 what that changes in the drive
backup                  all of it, to a commit or a dry run
"""
