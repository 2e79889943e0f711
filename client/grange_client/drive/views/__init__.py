"""Looking into a drive: what is in a commit, what changed, what was there when. Nothing here writes.

listing         a path, a directory, what one looks for, and how much there is
file_range      a part of a file, from front to back
typed_time      a time as a person types it
history         the commits in order, by name, by time
version         which of them somebody means, and what is in it
changes         between two commits, and between a commit and a directory on the disk
path_history    in which commits a path became something else
"""
