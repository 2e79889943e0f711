"""What a farm knows of the chain, and how it asks.

farm_market     all that is asked of the chain and sent to it
chain_follower  follows the newest block, and puts our events into the ledger
heads           whether the newest block can be the newest, by what other endpoints show
agreement       whether the ledger agrees with the market's own figures
order_state     how one order stands; known_orders keeps and shows the slots of all of ours
ownership       which farmer on the market is ours
stake_cover     whether the stake covers what is kept, and stake_watch says so in time
funding         whether the operator's account can pay, and gas_watch says so in time
confirmed       what two endpoints have said lately, for when only one answers
delegates       for which account a key may act, and wallet_signatures: what a contract wallet calls its own
account_funds   whether a renter or repairer has money, before its bytes are taken
vault_funds     whether there is money behind a voucher
funds_cache     what accounts have, as the chain said a while ago: for both
"""
