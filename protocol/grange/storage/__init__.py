"""Files that outlive the process, the same for farmers and renters.

atomic_file        a file is written whole or not at all
temporary_file     a file without a name of its own yet; what a killed process left is removed
home_lock          one process at a time sends from a wallet
write_ahead        SQLite with a log, so that readers and a writer do not wait for each other
database_file      a SQLite file that is damaged is told from a disk that fails, and moved aside
optional_database  a SQLite file that can be begun again: without it things are slower, not wrong
"""
