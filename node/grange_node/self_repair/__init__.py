"""What a farmer does for what it keeps: damage is found before an audit finds it, mended, or owned up to.

DamagedPieces   which pieces are not what they were, on disk             damaged_pieces.py
Scrubber        pieces are read and hashed again, slowly                 scrubber.py
Rebuilder       the other farmers of an order -> our pieces              rebuilder.py
RepairSpending  what mending each slot has cost                          repair_spending.py
SelfRepairer    damage -> mended, or declared lost when that is cheaper  self_repairer.py
Mender          one slot, mended as far as that can be done now          mender.py
Adoption        slots that are ours by the chain alone, taken in         adoption.py
Judge           whether that takes too many epochs, or cannot be done    judge.py, thirds.py
is_dearer       what keeping on would cost, and what giving up does      policy.py
LossDeclarer    slots -> declared lost, in as many calls as it takes     loss_declaration.py
Recovery        slots that were declared lost and are whole, taken back  recovery.py
"""
