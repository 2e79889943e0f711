"""JSON-RPC, asked of one endpoint or of several: who is asked, who is asked when that one fails, how often.

    async with Rpc(("https://one.example", "https://two.example"), Timeouts()) as rpc:
        head = await rpc.call("eth_getBlockByNumber", "latest", False)      one request, to the first

Each question goes to one endpoint: to the first of the list that did well lately. When it does not answer,
or wants to be left alone, the next one is asked at once; when all failed, they are asked again after a pause.
What the contract refuses is final. An endpoint that failed is looked at again after a while, beside the
questions, and is first again when it does well. The parts of a batch come from one endpoint, so that what
they say of blocks and of events belongs together.

A question is repeated only when nobody answered it. All that we send is safe to repeat: reads are, and a raw
transaction has one hash however often it arrives.

Leaves HTTP and its failures to `connection`, what was learnt of an endpoint to `health`, and what is asked to
others.
"""

import asyncio
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from grange.chain.answers import check_answer
from grange.chain.chain_check import BLOCK_METHOD, ChainCheck, ShownBefore
from grange.chain.connection import BatchRefused, Connection, Timeouts, log_blocks_of
from grange.chain.endpoint import as_urls
from grange.chain.endpoint_notes import EndpointNotes
from grange.chain.errors import (
    AnswerTooLong,
    AnswerUnreadable,
    ChainError,
    ChainReplaced,
    ChainTimeout,
    ChainUnavailable,
    EndpointsUnavailable,
    MarketForged,
    MarketNotFound,
    RateLimited,
    RpcError,
    WrongChain,
)
from grange.chain.gathering import GATHERED_METHODS, Gathering, Question
from grange.chain.health import DISTRUST_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_REST_SECONDS
from grange.chain.log_checks import questions_besides, what_is_missing
from grange.chain.refusals import LOGS_METHOD
from grange.tasks import cancelled
from grange.types import OrderId, Parameters
from grange.units import format_count

MAX_BATCH_REQUESTS: Final = 100
MAX_UNSEEN_ORDERS: Final = 1_000
BUSY_FACTOR: Final = 3
"""So many times as often as those that do not answer, those are asked again that want fewer questions: they
say so at once, and one that refuses every second question soon takes this one."""
LONGEST_PAUSE_BEFORE_A_TURN_SECONDS: Final = 1.0
FOREIGN: Final = (WrongChain, ChainReplaced, MarketForged, MarketNotFound)
"""What an endpoint of another chain or market comes to. It is not asked again."""

_VARYING: Final = re.compile(r"(?<![\w:.])(0x[0-9a-f]+|[0-9]+)(?![\w.:])")
"""Numbers and hashes, but not those of an address."""

log = logging.getLogger("grange.chain")
_Answered = TypeVar("_Answered")


class Rpc:
    """One endpoint or several: single requests and batches; raises ChainUnavailable and what comes below it,
    or RpcError."""

    def __init__(
        self,
        urls: str | Sequence[str],
        timeouts: Timeouts,
        expected: ChainCheck | None = None,
        *,
        notes: EndpointNotes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`expected` is what an endpoint has to show when it is first asked; `notes` is what is remembered of
        endpoints; `clock` gives seconds that only go forward."""
        self._notes = notes or EndpointNotes(None)
        self.connections = tuple(Connection(url, timeouts, clock) for url in as_urls(urls))
        self._clock = clock
        self._timeouts = timeouts
        self._expected = expected
        self._shown: dict[Connection, tuple[int, Parameters]] = {}
        self._shown_before = {connection: ShownBefore() for connection in self.connections}
        self._introducing: dict[Connection, asyncio.Task[None]] = {}
        self._excluded: dict[Connection, tuple[ChainError, float]] = {}
        """Those that serve something else, and until when they are not asked."""
        self._history: set[Connection] = set()
        """Those that showed the known event."""
        self.known_event_block: int | None = None
        """A block in which the market emitted something, long ago. An endpoint that shows no events there
        does not have them, and that it shows none elsewhere says nothing."""
        self.agreed_block: tuple[int, bytes] | None = None
        """Number and hash of a block on which all agreed before: it tells who is right when two differ."""
        self.unseen_orders: OrderedDict[OrderId, bytes] = OrderedDict()
        """Orders that we know of and that no endpoint has, and the hash of the newest block then."""
        self._said: set[str] = set()
        self.reports: dict[str, None] = {}
        """What a person should know of the endpoints, in sentences, each once."""
        self._last: Connection = self.connections[0]
        self._probes: dict[Connection, asyncio.Task[None]] = {}
        self._gathering = Gathering(self._ask, self._ask_many)

    @property
    def url(self) -> str:
        """The endpoint that answered last."""
        return self._last.url

    @property
    def in_use(self) -> Connection:
        """The endpoint that answered last."""
        return self._last

    @property
    def log_blocks(self) -> int:
        """How many blocks' logs the endpoint that is asked next gives at once, as far as is known."""
        return self._in_order(self._clock())[0].log_blocks

    async def __aenter__(self) -> Self:
        for connection in self.connections:
            connection.open()
            self._recall(connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gathering.close()
        await cancelled([*self._probes.values(), *self._introducing.values()])
        for connection in self.connections:
            await connection.close()

    def _recall(self, connection: Connection) -> None:
        """What was found out a while ago, another time."""
        note, now = self._notes.of(connection.url), self._clock()
        age = self._notes.seconds_since(note.trouble_at)
        if note.trouble is not None and age is not None and age < LONGEST_PAUSE_SECONDS:
            connection.health.note_failure(note.trouble, now)
        age = self._notes.seconds_since(note.wrong_at)
        if age is not None and age < DISTRUST_SECONDS:
            connection.health.note_distrust(now - age)

    async def introduced(self) -> tuple[int, Parameters]:
        """The chain's id and the market's parameters, as the first endpoint shows them that answers. Raises
        WrongChain, ChainReplaced or MarketNotFound when none of those that answer has what is expected."""
        if self._expected is not None and self._expected.chain_id is None and not self.is_alone:
            # Nothing says which of them is right, if they differ.
            for _, said in await self.ask_everybody([]):
                if isinstance(said, FOREIGN):
                    raise said
        await self._through(_ask_nothing, None)
        return self._shown[self._last]

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one question; short reads of the same moment go in one request."""
        if method in GATHERED_METHODS:
            return await self._gathering.ask(method, params)
        return await self._ask((method, params))

    async def batch(self, requests: Sequence[Question]) -> list[Any]:
        """The results of several requests, in their order; the first refusal among them is raised. Up to
        MAX_BATCH_REQUESTS of them come from one endpoint."""
        results = await self._ask_many(requests)
        for result in results:
            if isinstance(result, ChainError):
                raise result
        return results

    async def batch_or_refused(self, requests: Sequence[Question]) -> list[Any]:
        """The results of several requests, in their order, or the ChainError that one has instead."""
        return await self._ask_many(requests)

    async def tell_everybody(self, method: str, *params: Any) -> Any:
        """The same question to each endpoint, for what one of them may have kept to itself. The answer of the
        first that gives one, in their order; raises what the first says that refuses, or why none answers."""
        if self.is_alone:
            return await self.call(method, *params)
        said = [said for _, said in await self.ask_everybody([(method, params)])]
        for answers in said:
            if not isinstance(answers, ChainError):
                return answers[0]
        refused = [error for error in said if isinstance(error, RpcError)]
        raise refused[0] if refused else _worst(said)

    async def _ask(self, question: Question) -> Any:
        async def ask(connection: Connection) -> Any:
            return self._checked(question, await connection.ask(question))

        return await self._through(ask, log_blocks_of([question]))

    async def _ask_many(self, requests: Sequence[Question]) -> list[Any]:
        """For each its result, or why it has none."""
        results: list[Any] = []
        for start in range(0, len(requests), MAX_BATCH_REQUESTS):
            results += await self._answers(requests[start : start + MAX_BATCH_REQUESTS])
        return results

    async def _answers(self, requests: Sequence[Question]) -> list[Any]:
        async def ask(connection: Connection) -> list[Any]:
            known = None if connection in self._history else self.known_event_block
            checks = [] if self.is_alone else questions_besides(requests, known)
            questions = [*requests, *checks]
            try:
                answers = await connection.ask_many(questions)
            except BatchRefused:
                answers = await asyncio.gather(*(self._ask_one_of(connection, one) for one in questions))
            for question, answer in zip(questions, answers, strict=True):
                if not isinstance(answer, ChainError):
                    self._checked(question, answer)
                elif log_blocks == 1 and question[0] == LOGS_METHOD and not self.is_alone:
                    raise answer
            if checks:
                if (missing := what_is_missing(checks, answers[len(requests) :])) is not None:
                    raise ChainUnavailable(connection.url, missing)
                if len(checks) > 1 and not isinstance(answers[-1], ChainError):
                    self._history.add(connection)
            return answers[: len(requests)]

        log_blocks = log_blocks_of(requests)
        return await self._through(ask, log_blocks)

    async def _ask_one_of(self, connection: Connection, question: Question) -> Any:
        """What this endpoint says to a question of a batch that it did not take, or why it says nothing."""
        try:
            return await self._through(lambda one: one.ask(question), None, only=connection)
        except ChainError as error:
            return error

    def _checked(self, question: Question, answer: Any) -> Any:
        """The answer, if it is of the right kind, where there are others to ask. Raises AnswerUnreadable."""
        if not self.is_alone:
            check_answer(*question, answer)
        return answer

    # What they say, compared.

    async def ask_everybody(
        self, questions: Sequence[Question], *, may_refuse: bool = False, skips_failed: bool = False
    ) -> list[tuple[Connection, Any]]:
        """Each endpoint with its answers to all the questions, or with why it has none. They are asked side
        by side and once: who does not answer says nothing. With `may_refuse` an RpcError is an answer too.
        With `skips_failed` those that failed lately are not waited for: for what others can make us ask."""

        async def ask(connection: Connection) -> Any:
            health, now = connection.health, self._clock()
            if health.rests_until > now:
                return RateLimited(connection.url, "it wants to be left alone", None)
            if skips_failed and not health.is_well and health.last_until > now:
                return ChainUnavailable(connection.url, "it failed a moment ago")
            try:
                return await self._asked(connection, answers_of)
            except ChainError as error:
                return error

        async def answers_of(connection: Connection) -> list[Any]:
            answers = await connection.ask_each(questions) if questions else []
            for question, answer in zip(questions, answers, strict=True):
                if not isinstance(answer, RpcError):
                    check_answer(*question, answer)
                elif not may_refuse:
                    raise answer
            return answers

        said = await asyncio.gather(*map(ask, self.connections))
        return list(zip(self.connections, said, strict=True))

    def distrust(self, reason: str) -> None:
        """What the endpoint that answered last said can't be right."""
        self.accuse(self._last, reason)

    def ask_another(self) -> Connection | None:
        """Ask the others before the endpoint that answered last, for a while, since what it says does not
        fit. Gives that endpoint, to be accused if another says what fits; None where there is no other."""
        if self.is_alone:
            return None
        self._last.health.note_distrust(self._clock())
        return self._last

    def accuse(self, connection: Connection, reason: str) -> None:
        """Name an endpoint that said what is wrong; the others are asked before it for a while."""
        if self.is_alone:
            return
        connection.health.note_distrust(self._clock())
        self._notes.note_wrong(connection.url)
        self.report(f"The endpoint {connection.name} {reason}. Other endpoints are asked before it for now.")

    def note_unseen(self, order: OrderId, head: bytes) -> None:
        """Nobody has an order in the block of this hash."""
        self.unseen_orders[order] = head
        self.unseen_orders.move_to_end(order)
        while len(self.unseen_orders) > MAX_UNSEEN_ORDERS:
            self.unseen_orders.popitem(last=False)

    def is_trusted(self, connection: Connection) -> bool:
        """Whether it said nothing lately that is wrong."""
        return not connection.health.is_distrusted(self._clock())

    def report(self, sentences: str) -> None:
        """Tell the person who runs this of the endpoints, once: of many blocks the first is named."""
        said = _VARYING.sub("#", sentences)
        if said not in self._said:
            self._said.add(said)
            self.reports[sentences] = None
            self._notes.note_report(sentences)
            log.error("%s", sentences)

    # Whom to ask.

    async def _through(
        self,
        ask: Callable[[Connection], Awaitable[_Answered]],
        log_blocks: int | None,
        *,
        only: Connection | None = None,
    ) -> _Answered:
        """Ask one endpoint after the other, in turns, until one answers. `log_blocks` is how many blocks'
        logs are asked for."""
        pause, began = self._timeouts.pause_seconds, self._clock()
        for turn in count():
            failures: list[ChainError] = []
            for connection in [only] if only is not None else await self._whom_to_ask():
                try:
                    answer = await self._asked(connection, ask)
                except (AnswerTooLong, RpcError) as error:
                    # Of one block there is no shorter range to ask for: perhaps another one gives its logs.
                    if log_blocks != 1 or (isinstance(error, RpcError) and error.reverted) or self.is_alone:
                        raise
                    failures.append(error)
                except (AnswerUnreadable, ChainUnavailable, *FOREIGN) as error:
                    failures.append(error)
                else:
                    self._last = connection
                    return answer
            if turn >= self._retries_after(failures, began) or not self._may_answer_yet():
                raise _worst([*failures, *self._foreign()])
            await asyncio.sleep(pause)
            pause = max(pause, min(2 * pause, LONGEST_PAUSE_BEFORE_A_TURN_SECONDS))
        raise AssertionError("unreachable")

    def _retries_after(self, failures: Sequence[ChainError], began: float) -> int:
        """How often to ask again when a turn came to this."""
        longest_seconds = (self._timeouts.retries + 1) * self._timeouts.request_seconds
        is_quota = all(isinstance(failure, RateLimited) for failure in failures)
        if is_quota and self._clock() - began < longest_seconds:
            return BUSY_FACTOR * self._timeouts.retries
        return self._timeouts.retries

    async def _asked(
        self, connection: Connection, ask: Callable[[Connection], Awaitable[_Answered]]
    ) -> _Answered:
        health, was_well = connection.health, connection.health.is_well
        try:
            if self._expected is not None and connection not in self._shown:
                await self._introduce(connection, self._expected)
            answer = await ask(connection)
        except (AnswerTooLong, RpcError):
            health.note_answer()
            raise
        except RateLimited as error:
            if error.retry_after_seconds is None:
                health.note_failure(str(error), self._clock())
            else:
                health.note_rest(error.retry_after_seconds, str(error), self._clock())
            self._tell_of_trouble(connection, was_well)
            raise
        except ChainUnavailable as error:
            health.note_failure(str(error), self._clock())
            self._tell_of_trouble(connection, was_well)
            raise
        except AnswerUnreadable as error:
            health.note_failure(f"the endpoint {connection.name}: {error}", self._clock())
            self._tell_of_trouble(connection, was_well)
            raise
        except FOREIGN as error:
            self._excluded[connection] = error, self._clock() + LONGEST_REST_SECONDS
            if not self.is_alone:
                self.report(f"Not asked: {error}.")
            raise
        health.note_answer()
        return answer

    @property
    def is_alone(self) -> bool:
        """Whether there is one endpoint only, whose word counts."""
        return len(self.connections) == 1

    def _tell_of_trouble(self, connection: Connection, was_well: bool) -> None:
        if was_well and not self.is_alone:
            self._notes.note_trouble(connection.url, connection.health.trouble)
            log.warning("%s; other endpoints are asked before it for now", connection.health.trouble)

    async def _whom_to_ask(self) -> list[Connection]:
        """Those that may be asked now, the best first. Waits for a moment if all want to be left alone;
        raises RateLimited if they want that for longer."""
        now = self._clock()
        self._probe_what_may_be_well(now)
        those = self._in_order(now)
        awake = [one for one in those if one.health.rests_until <= now]
        if not awake:
            first = min(those, key=lambda one: one.health.rests_until)
            seconds = first.health.rests_until - now
            if seconds > self._timeouts.request_seconds:
                raise RateLimited(
                    first.url,
                    f"it wants to be left alone for {format_count(round(seconds), 'second')}",
                    seconds,
                )
            await asyncio.sleep(seconds)
            awake = [first]
        return awake

    def _in_order(self, now: float) -> list[Connection]:
        """All of the right chain, the best first; those that are equally well in the order in which they were
        given."""
        for connection, (_, until) in list(self._excluded.items()):
            if until <= now:
                del self._excluded[connection]
        those = [one for one in self.connections if one not in self._excluded] or list(self.connections)
        return sorted(those, key=lambda one: one.health.place(now))

    def _may_answer_yet(self) -> bool:
        return len(self._excluded) < len(self.connections)

    def _foreign(self) -> list[ChainError]:
        return [] if self.is_alone else [error for error, _ in self._excluded.values()]

    # Which chain it serves, and whether it does well again.

    async def _introduce(self, connection: Connection, expected: ChainCheck) -> None:
        """Look at an endpoint, once for all who want to ask it now."""
        task = self._introducing.get(connection)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_at(connection, expected))
            # If nobody waits any more, nobody is to be told of a failure either.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            task.add_done_callback(lambda _: self._introducing.pop(connection))
            self._introducing[connection] = task
        await asyncio.shield(task)

    async def _look_at(self, connection: Connection, expected: ChainCheck) -> None:
        try:
            shown = await expected.check(connection, self._shown_before[connection], self._clock())
        except RpcError as error:
            if self.is_alone:
                raise
            raise ChainUnavailable(connection.url, str(error)) from error
        chain_id, parameters = next(iter(self._shown.values()), shown)
        if chain_id != shown[0]:
            raise WrongChain(connection.url, chain_id, shown[0])
        if parameters != shown[1]:
            raise MarketNotFound(connection.url, expected.market, "it shows other parameters than another")
        self._shown[connection] = shown

    def _probe_what_may_be_well(self, now: float) -> None:
        """Look beside the questions whether an endpoint that failed does well again: a question that it were
        asked instead might have to wait for it in vain."""
        if all(not one.health.is_well for one in self.connections):
            return
        for connection in self.connections:
            is_due = not connection.health.is_well and connection.health.last_until <= now
            if is_due and connection not in self._probes and connection not in self._excluded:
                task = asyncio.get_running_loop().create_task(self._probe(connection))
                self._probes[connection] = task
                task.add_done_callback(partial(self._forget_probe, connection))

    def _forget_probe(self, connection: Connection, _: asyncio.Task[None]) -> None:
        del self._probes[connection]

    async def _probe(self, connection: Connection) -> None:
        try:
            await self._asked(connection, lambda one: one.ask((BLOCK_METHOD, ("latest", False))))
        except ChainError:
            return
        self._notes.note_trouble(connection.url, None)
        log.info("the endpoint %s answers again", connection.name)


async def _ask_nothing(_: Connection) -> None:
    """For those who only want to know whether there is an endpoint of the right chain."""


def _worst(failures: Sequence[ChainError]) -> ChainError:
    """What to say when nobody answered: that it is another chain, before that it did not come in time."""
    told = list({str(failure): failure for failure in failures}.values())
    if len(told) == 1 or all(isinstance(one, FOREIGN) for one in told):
        return told[0]
    if all(isinstance(one, ChainTimeout) for one in told):
        return told[0]
    return EndpointsUnavailable(told)
