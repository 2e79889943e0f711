"""Signing for slots whose pieces are all here (`uploads/` brings them in).

acceptance_service  signs that we keep a slot: for a new order, an extension, a takeover, a hand-over
terms               whether to sign: pure
terms_check         whether renter and farmer can afford it
extension, mandate, takeover, hand_over
                    what these mean for one slot: pure
giver_limits        how much of us one giver may have by slots that it does not hand over
"""
