"""A farmer's care for what it keeps: damage is found before an audit finds it, mended, or owned up to.

Damages         which pieces are not what they were, on disk             damages.py
Scrubber        pieces are read and hashed again, slowly                 scrubber.py
Rebuilder       the other farmers of an order -> our pieces              rebuilder.py
RepairSpending  what mending each slot has cost                          repair_spending.py
Carer           damage -> mended, or declared lost when that is cheaper  carer.py
Judge           whether that takes too many windows, or cannot be done   judge.py, windows.py
is_dearer       what keeping on would cost, and what giving up does      policy.py
LossDeclarer    slots -> declared lost, as many as the market takes      loss_declaration.py
"""
