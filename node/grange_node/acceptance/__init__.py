"""From the first byte of a slot to our signature, and letting go of what is over.

uploads, body       pieces on their way in
acceptance_service  signs that we keep a slot: for a new order, an extension, a takeover
terms               whether to sign: pure
terms_check         whether renter and farmer can afford it
extension, takeover what these mean for one slot: pure
deletion            when a slot may be removed: the one rule for all of it
collector           removes them
"""
