"""Getting files back.

downloads   a plan of what is fetched from whom, for how much, and carrying it out
holders     who keeps an order now, and what they ask for reading
cost        what reading costs
reader      any range of an order's plaintext
pack_bytes  any range of a pack, which is sealed in itself
restore     from an order to a directory
rebuild     slots of an order made again, for others to keep
too_few     what to say when too few farmers give what they keep
"""
