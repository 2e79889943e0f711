"""The pieces on the disk, and the room for them.

store           the pieces: durable or not there at all
piece_writer    one piece while it arrives
piece_index     which pieces of a slot are here
slot_folder     what a slot's folder looks like, and folders how they come and go
capacity, waiting   how much is spoken for, in all and by each renter
slot_locks          what goes on with a slot at the moment
disk_capacity       how much more the disk takes, for those who cannot wait for it
volume          whether the data folder is the farm's
ballast         room kept back for the databases
"""
