"""The one gateway to the contract, for farmers and renters alike.

    Chain          typed reads              gateway.py, views.py
    Sender         transactions             sender.py, wallet.py, calls.py, permit.py, allowance.py,
                                            transfers.py
    MarketClient   both, for one account    market.py; who is registered: registry.py
    EventFollower  events, through reorgs   follower.py, events.py, renter_events.py
    OrderState     orders, out of events    orders.py; kept on disk: order_index.py, order_tables.py
    some_proven    who has proven lately    proofs.py
    errors         what can go wrong        errors.py
    Network        which chain and market   network_file.py
    confirmations  when a transaction is final; pace.py: how fast blocks come
    is_approved    what a contract wallet calls its own   wallet_signatures.py
    deployment     the parts of a market, each by its own transaction, and the code of each
    check_market   whether a market is Grange's own  market_check.py; known again: market_pins.py
    GasValuer      what calls cost and what that is worth   gas_value.py, gas_cost.py, call_sizes.py,
                   fee_settings.py; what that comes to in a month: month_costs.py
    deploy_market  deploying.py, deployed_before.py; on which chain: chain_probe.py; with what: presets.py,
                   token_facts.py

Everything else in the package is machinery:

    rpc.py         who is asked, of one endpoint or several; connection.py: HTTP with limits; health.py: how
                   an endpoint did; chain_check.py: what it must show first; gathering.py: questions of one
                   moment in one request
    codec.py       the ABI, shipped in abi/; abi_types.py: values of its types; topics.py: filters for events;
                   answers.py: checked answers
    rlp.py         how transactions are written as bytes; key_file.py: a key in a file of its own
    outbox.py      nonces and replacements; fees.py, receipts.py, refusals.py: what becomes of a transaction
    endpoint.py    the URLs of endpoints, and what may be shown of one; endpoint_notes.py: what is remembered
                   of them; witnesses.py: what several say, compared; log_checks.py: whose logs count;
                   another_endpoint.py: reading by another one where the first hides something
"""

from grange.chain import calls
from grange.chain.calls import Call
from grange.chain.connection import Timeouts
from grange.chain.errors import (
    AnswerUnreadable,
    CallReverted,
    ChainError,
    ChainReplaced,
    ChainTimeout,
    ChainUnavailable,
    FeesAboveCap,
    InsufficientFunds,
    MarketNotFound,
    NonceTaken,
    RpcError,
    TransactionError,
    TransactionNotMined,
    TransactionReplaced,
    TransactionReverted,
    TransactionTooLate,
    WitnessMissing,
    WrongChain,
)
from grange.chain.events import Event, EventFilter
from grange.chain.fees import SendPolicy
from grange.chain.follower import Batch, Cursor, EventFollower, Rollback
from grange.chain.gateway import Chain
from grange.chain.pace import read_block_clock
from grange.chain.proofs import some_proven
from grange.chain.receipts import Receipt, read_receipt
from grange.chain.sender import Making, Sender
from grange.chain.views import Book, Eviction, Farmer, Head, Loss, Mandate, Order, Withdrawal
from grange.chain.wallet import Wallet
from grange.types import Permit

__all__ = [
    "AnswerUnreadable",
    "Batch",
    "Book",
    "Call",
    "CallReverted",
    "Chain",
    "ChainError",
    "ChainReplaced",
    "ChainTimeout",
    "ChainUnavailable",
    "Cursor",
    "Event",
    "EventFilter",
    "EventFollower",
    "Eviction",
    "Farmer",
    "FeesAboveCap",
    "Head",
    "InsufficientFunds",
    "Loss",
    "Making",
    "Mandate",
    "MarketNotFound",
    "NonceTaken",
    "Order",
    "Permit",
    "Receipt",
    "Rollback",
    "RpcError",
    "SendPolicy",
    "Sender",
    "Timeouts",
    "TransactionError",
    "TransactionNotMined",
    "TransactionReplaced",
    "TransactionReverted",
    "TransactionTooLate",
    "Wallet",
    "Withdrawal",
    "WitnessMissing",
    "WrongChain",
    "calls",
    "read_block_clock",
    "read_receipt",
    "some_proven",
]
