"""Moving the slots of orders to and from farmers, for renters and repairers alike.

    directory.py    the farmers of a market, and who of them answers    registry.py, aging.py
    selection.py    which of them a slot goes to                        spread.py, sampling.py
    events.py       what long work tells whoever listens
    errors.py       what ends it
    retry.py        how long farmers are waited for, and which is slow

Stands on `grange.peer`, which talks to one farmer. Leaves to those above what is stored, and who pays.
"""
