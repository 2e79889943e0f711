"""What only the account itself can do: refused in a home whose key acts for another, with what to do instead.

require_own_account(identity, "it authorizes nobody")
if await speaks_for_wallet(identity, market): ...      and not as its delegate
"""

import secrets

from grange.chain.market import MarketClient
from grange.chain.wallet_signatures import is_approved
from grange.messages import sign_digest
from grange.tasks import together
from grange.units import HASH_BYTES
from grange_client.errors import NotAccount
from grange_client.keys.recovery_phrase import Identity


def require_own_account(identity: Identity, means: str) -> None:
    """Raise NotAccount unless the home's key is the account's own. `means`: what it follows, as the end of a
    sentence."""
    if identity.is_account:
        return
    if identity.contract_wallet is not None:
        raise NotAccount(
            f"The account of this home is the contract wallet {identity.account}: {means}.",
            hint="The wallet does that itself: `grange keys wallet-calls` prints what it has to call.",
        )
    raise NotAccount(f"This home is a delegate's: {means}.", hint="Do it where the recovery phrase is.")


async def speaks_for_wallet(identity: Identity, market: MarketClient) -> bool:
    """Whether a home asks farmers and pays them in the name of its contract wallet: it does where it is not
    the wallet's delegate. Asks nothing where there is no contract wallet. Raises ChainError."""
    if identity.contract_wallet is None:
        return False
    delegation, epoch = await together(
        market.delegation(identity.account, identity.wallet.address), market.current_epoch()
    )
    return epoch >= delegation.until_epoch or not delegation.in_all


async def require_wallets_word(identity: Identity, market: MarketClient) -> None:
    """Raise NotAccount unless a home's contract wallet calls what our key signs its own now. The key is
    opened for it. Raises ChainError."""
    digest = secrets.token_bytes(HASH_BYTES)
    signature = sign_digest(identity.wallet.private_key, digest)
    if await is_approved(market.rpc, identity.account, digest, signature):
        return
    raise NotAccount(
        f"The contract wallet {identity.account} neither calls this home's signatures its own, nor has it "
        "authorized this home's key.",
        detail="Farmers give its files to its delegates, and to a key that may sign for it alone.",
        hint="Let the wallet authorize it: `grange keys wallet-calls --delegate "
        f"{identity.wallet.address} --per-epoch ... --in-all ... --epochs ...` prints the call.",
    )
