"""Moving the slots of orders to and from farmers, for renters and repairers alike.

    events.py       what long work tells whoever listens
    errors.py       what ends it
    retry.py        how long farmers are waited for, and which is slow

Stands on `grange.peer`, which talks to one farmer. Leaves to those above what is stored, and who pays.
"""
