"""Sharing out what there is little of, so that nobody keeps others from it.

networks       the network that somebody asks from
fair_shares    shares of room, and allowances, by network
log_seldom     repeated log lines are written seldom
turns          turns at what may hang: those who wait share a failure
"""
