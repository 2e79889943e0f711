"""What is asked besides for logs, where there are several endpoints: an empty answer counts only from one
that has the last of the blocks, and that shows an event which is known to be there.

Pure. Leaves asking to `rpc`, where it goes into the same request, and who is asked instead.
"""

from collections.abc import Sequence
from typing import Any

from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.errors import ChainError
from grange.chain.gathering import Question
from grange.chain.refusals import LOGS_METHOD


def questions_besides(requests: Sequence[Question], known_event_block: int | None) -> list[Question]:
    """For the newest of the blocks whose logs are asked for, and for the logs of a block in which the market
    emitted something, if there is one to ask for. None where no logs are asked for."""
    wanted = [params[0] for method, params in requests if method == LOGS_METHOD]
    if not wanted:
        return []
    tags = [where["toBlock"] for where in wanted]
    last = "latest" if "latest" in tags else max(tags, key=lambda tag: int(tag, 16))
    questions: list[Question] = [(BLOCK_METHOD, (last, False))]
    if known_event_block is not None:
        block, market = hex(known_event_block), wanted[0]["address"]
        questions.append((LOGS_METHOD, ({"address": market, "fromBlock": block, "toBlock": block},)))
    return questions


def what_is_missing(questions: Sequence[Question], answers: Sequence[Any]) -> str | None:
    """Why an endpoint that answers these questions so does not count, in words that follow its name; None if
    it does."""
    block, logs = answers[0], answers[1:]
    if block is None or isinstance(block, ChainError):
        return f"it does not have block {int(questions[0][1][0], 16)} yet"
    if logs and not isinstance(logs[0], ChainError) and not logs[0]:
        known = int(questions[1][1][0]["fromBlock"], 16)
        return f"it does not show the events of block {known}, which were there: it lacks old logs"
    return None
