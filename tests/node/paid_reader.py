"""A process that reads from a farm and pays for it: `python paid_reader.py ENDPOINT CHANNELS COUNT`.

It opens the channels and says `open`, waits for a line, and reads COUNT times, AT_ONCE at a time. After each
read it writes a line: the highest total that was signed by then, or what went wrong.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from node_support import DOMAIN, Clock, FakeMarket, parcel
from paid_support import PRICED, RENTER

from grange.errors import GrangeError
from grange.executors import Executors
from grange.peer import PaymentChannels, Peer, PeerTimeouts, ReadPayments, Signer, open_session

AT_ONCE = 4
READ_BYTES = 100


async def main(endpoint: str, channels_path: Path, count: int) -> None:
    slot, timeouts = parcel(), PeerTimeouts(silence_seconds=30.0)
    signer = Signer(domain=DOMAIN, wallet=RENTER, timeouts=timeouts, now=Clock())
    known = await FakeMarket().own_farmer()
    offer = replace(known.offer, egress_price_per_gib=PRICED.egress_price_per_gib)
    with (
        PaymentChannels.open(channels_path, domain=DOMAIN, payer=RENTER.address) as channels,
        Executors.open() as executors,
    ):
        say("open")
        await asyncio.to_thread(sys.stdin.readline)
        async with open_session(timeouts, chain_id=DOMAIN.chain_id) as session:
            payments = ReadPayments(domain=DOMAIN, wallet=RENTER, channels=channels, executors=executors)
            peer = Peer(replace(known, endpoint=endpoint, offer=offer), session, signer, payments)
            gate = asyncio.Semaphore(AT_ONCE)

            async def read() -> None:
                async with gate:
                    try:
                        came = await peer.read(slot.order, slot.slot, 0, READ_BYTES)
                    except GrangeError as error:
                        say(f"{type(error).__name__} {error}")
                    else:
                        say(
                            str(channels.channel(known.id).total)
                            if came == slot.data[:READ_BYTES]
                            else "wrong bytes"
                        )

            await asyncio.gather(*(read() for _ in range(count)))


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
