"""Keeping a drive that is open: `keep.ports.KeepPort` over the drive, its market and its farmers.

    async with DriveSession.open(renter, home, secret) as drive:
        run = KeepRun(DriveKeeper(drive, name="main", device="laptop"), renter.executors, memory_path=...)

port       one drive as a run of `keep` wants it
orders     which orders keep the packs now, with their mandates, and what closing those that are over gives
prices     what farmers ask now, for new packs and for extensions
measuring  which commits are kept, and how much of each pack they need
repacking  copying what is live into a new pack, and placing that
"""
