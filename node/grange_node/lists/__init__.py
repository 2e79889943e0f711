"""Whom a farm deals with, as its owner's lists say.

followed_lists      the lists in a folder as they are now
renter_lists        whose data is taken
farmer_lists        which farmers and repairers are read by, extended by and given slots
"""
