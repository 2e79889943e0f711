"""Moving the slots of orders to and from farmers, for renters and repairers alike.

    directory.py    the farmers of a market, and who of them answers    aging.py
    selection.py    which of them a slot goes to                        spread.py, sampling.py, listed.py
    fetch.py        k of n slots, from those that give them soonest     sources.py, stripes.py
    verification.py whether what came is what the order has             fault_attribution.py
    order_slots.py  an order's slots from its farmers, where no endpoint has the events
    events.py       what long work tells anyone who listens
    errors.py       what ends it
    retry.py        how long farmers are waited for, and which is slow
    push.py         pieces to the farmers that are to keep them; slot_upload.py
    acceptance.py   asking farmers to sign for their slots, and checking what they sign
    upload.py       both, until all slots of an order are stored and accepted

Stands on `grange.peer`, which talks to one farmer. Leaves to those above what is stored, and who pays.
"""
