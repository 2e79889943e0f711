"""Rebuilding what farmers who vanished have kept: for a bounty, from ciphertext, without its renter.

    MarketView    the market's orders, farmers and newest block           market_view.py, directory.py
    Assessment    an order -> what is live, what is vacant, for how much  assessment.py
    RepairMarket  what a repairer asks of the chain and sends to it       market.py
    evict, close  farmers that lapsed; orders that are over               housekeeping.py
    mandates      orders that are extended by their renters' mandates     mandate_extender.py
    sources       whom to read from, and what that costs                  sources.py, costs.py
    takers        what anyone who takes a slot must be able to do         takers.py
    takeovers     the new farmers' signatures                             takeovers.py
    Job, Jobs     a repair that was begun, on disk                        jobs.py
    run           pieces in, pieces rebuilt, pieces out                   run.py, rebuilt.py
    Repairer      all of it, again and again                              repairer.py

Whether to act is `grange.repair`'s to decide, which the simulation uses too.
"""
