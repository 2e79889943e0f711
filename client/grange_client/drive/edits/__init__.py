"""Changes of a drive without a disk: a new tree out of an old one, and the commit that has it."""
