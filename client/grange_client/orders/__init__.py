"""What is stored, until when, for how much, and how it is.

order_storing, plan making an order out of anything that gives blocks
store               from paths to a placed order
farmer_choice       which farmers get it, and with what code
placing, placements orders on their way onto the chain, and dropped those that a reorg took back
pending             orders that are signed for, and whose transaction follows
once                sending what can happen only once, when others may send it too
market              what the chain is asked: the seam to it
catalog, sync       a cache of it, and bringing it up to date; catalog_upgrades reads older ones
tenure_check        who keeps an order now, by what the contract has of it
lookup              which order a name means
extension_quote     what keeping an order longer would take
closing             ending it
order_keys          which key opens an order: the account's, or a delegate's
order_health        how an order is
durability          how likely it is lost
reputations         what we remember of farmers; notes are written behind the work that they are of
cautions, diagnosis what to say before storing, and after a failure
"""
