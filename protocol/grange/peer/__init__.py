"""Dealing with farmers over HTTP, as anyone does it: renters and repairers alike.

    Peer, open_session    one farmer over HTTP            peer.py, signer.py
    ReadPayments, Budget  paying for reads                read_payments.py
    PaymentChannels       what was signed away for them   payment_channels.py
    networks_of           where a farmer is               networks.py, names.py
    AddressPolicy         where a farmer may be           address_policy.py
    meter                 what comes in at the sockets    meter.py
    TransferLimits        how fast bytes go and come      rate_limit.py
    Clocks                whose clock is off              clocks.py
    errors                what a farmer can do to us      errors.py, contained_errors.py
    PeerTimeouts          how long a request may take     timeouts.py
    held_pieces           what a farmer has of a slot     listing.py

Leaves to those above whom to ask for what, in which order, and what to do with it.
"""

from grange.peer.clocks import Clocks, describe_lead
from grange.peer.contained_errors import dealing_with
from grange.peer.errors import (
    FARMER_FAULTS,
    FarmerErrorContained,
    FarmerLied,
    FarmerRefused,
    FarmerUnreachable,
    PieceClosed,
)
from grange.peer.listing import held_pieces
from grange.peer.meter import Meter
from grange.peer.networks import networks, networks_of
from grange.peer.payment_channels import PaymentChannel, PaymentChannels
from grange.peer.peer import Peer, endpoint_url, open_session
from grange.peer.rate_limit import RateLimit, TransferLimits, parse_rate
from grange.peer.read_payments import Budget, OverBudget, Payment, ReadPayments
from grange.peer.signer import Signer
from grange.peer.timeouts import PeerTimeouts

__all__ = [
    "FARMER_FAULTS",
    "Budget",
    "Clocks",
    "FarmerErrorContained",
    "FarmerLied",
    "FarmerRefused",
    "FarmerUnreachable",
    "Meter",
    "OverBudget",
    "Payment",
    "PaymentChannel",
    "PaymentChannels",
    "Peer",
    "PeerTimeouts",
    "PieceClosed",
    "RateLimit",
    "ReadPayments",
    "Signer",
    "TransferLimits",
    "dealing_with",
    "describe_lead",
    "endpoint_url",
    "held_pieces",
    "networks",
    "networks_of",
    "open_session",
    "parse_rate",
]
