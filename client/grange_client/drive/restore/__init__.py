"""From a tree of a commit to files in a directory.

restorer                    `restore`: the walk, and in which order things appear
result, remarks, outcome    what is asked for, what is said at the end, and what is known in between
file_restorer, restored_file     contents of files: windows of chunks, and one file on its way
chunk_order                 chunks as they stand in packs
local_chunks                what is on the disk already
holes                       what is nothing but zeros, however much it is
conflicts                   what is in the way
deferred                    what has to wait for the end
attribute_writer            owners, modes, times, extended attributes
names, target_entry         what an entry is called and what it is in the target
"""

from grange_client.drive.restore.names import NameRule
from grange_client.drive.restore.remarks import RemarkKind, RestoreRemarks
from grange_client.drive.restore.restorer import restore
from grange_client.drive.restore.result import Existing, RestoreOptions, RestoreResult

__all__ = [
    "Existing",
    "NameRule",
    "RemarkKind",
    "RestoreOptions",
    "RestoreRemarks",
    "RestoreResult",
    "restore",
]
