"""Files that outlive the process, the same for farmers and renters.

atomic_file        a file is written whole or not at all
temporary_file     a file without a name of its own yet; what a killed process left is removed
file_lock          the lock of an open file, on which the others stand
folder_lock        one process at a time does something to the files of a folder
home_lock          one process at a time sends from a wallet
settings_file      a file of settings in a home
mark               a file that says, as long as a process lives, that it works on something
connection         how every SQLite file is opened, and transactions
schema             its tables by version: files of older versions are brought up to date in place
database_file      a SQLite file that is damaged is told from a disk that fails, and moved aside
optional_database  a SQLite file that can be begun again: without it things are slower, not wrong
"""
