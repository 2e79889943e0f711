"""From a tree of files to a stream of bytes, and back.

scan, open_file     what a path holds, and how it is opened
stream, encode      its bytes, then sealed and coded pieces; sealed_stream: the blocks of what `put` stores
manifest, manifest_document     names, modes, times and sizes, written and read
data_runs           where a file has data, and where holes
target, new_file, attributes, attribute_setter, disk_errors    writing there safely
"""
