"""Changes of a drive without a disk: a new tree out of an old one, and the commit that has it.

tree_edits      taking paths out, moving them, putting back what was there
known_commits   the commits that such a commit comes from, also those that are gone
new_commit      the commit of such a tree, and of heads that went apart
new_nodes       a drive with what was written on top of it
entry_chunks    all chunks that a part of a tree is made of
names           what a drive is called, and its tags
"""
