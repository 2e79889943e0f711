"""Who pays for reads: an account, by its own signature or by that of a delegate.

    payer = payer_of(account, signer)
    account_of(payer), signer_of(payer)

Each signer's vouchers count for themselves, no matter whose vault pays: so a payer is named by both. It is
text, as the file of payers' accounts keeps it: the account's address alone where it signs itself, else both.
"""

from typing import Final, NewType

from grange.types import Address, address_from

Payer = NewType("Payer", str)

_BETWEEN: Final = "/"


def payer_of(account: Address, signer: Address) -> Payer:
    """The account, paying by what this key signs."""
    return Payer(account if signer == account else f"{account}{_BETWEEN}{signer}")


def payer_from(text: str) -> Payer:
    """One that was written down. Raises ValueError, or BadAddress like `address_from`."""
    account, _, signer = text.partition(_BETWEEN)
    return payer_of(address_from(account), address_from(signer or account))


def account_of(payer: Payer) -> Address:
    """Whose vault pays."""
    return Address(payer.partition(_BETWEEN)[0])


def signer_of(payer: Payer) -> Address:
    """Whose key signs."""
    account, _, signer = payer.partition(_BETWEEN)
    return Address(signer or account)
