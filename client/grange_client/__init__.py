"""The renter client: stores directories on farmers and gets them back.

cli             the command `grange`
renter          the client as a library
extension       keeping an order for longer
downloads       getting files back
orders          what is stored, until when, for how much
delegates       keys that may store for an account
mandates        standing orders, by which others extend for us
drive           drives: versions of a folder that share what is equal
drives          the drives of a renter, by name
drive_backup    what is on disk into a drive; drive_restore: back
drive_import    an order of `put`, opened to go into a drive
drive_terms     for how long a drive's packs are paid for, if nobody says
drive_editing   an edit of a drive without a disk, published
drive_session   a drive that is open on this machine
packs           packs of drives as orders, and reading them
keep            what lets a drive live on: what is decided; keep_drive: carried out on a drive that is open
files, keys     from files to a stream of pieces; the recovery phrase and the home
errors          what can go wrong; output_errors: output that cannot be written
"""
