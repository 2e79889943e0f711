"""What one endpoint may say alone: what two have said in the last day, while no second one answers."""

import pytest

from grange.chain import ChainUnavailable, WitnessMissing
from grange_node.chain.confirmed import CONFIRMED_SECONDS, MAX_CONFIRMED, Confirmed
from grange_node.errors import ChainDown


class Endpoints:
    """Two of them. `second` is None where it does not answer."""

    def __init__(self) -> None:
        self.first = True
        self.second: bool | None = True
        self.now = 0.0
        self.confirmed = Confirmed[str](lambda: self.now)

    async def ask(self, name: str = "wallet") -> bool:
        return await self.confirmed.ask(name, self._say)

    async def _say(self, by_two: bool) -> bool:
        if not self.first or not by_two:
            return self.first
        if self.second is None:
            raise WitnessMissing("http://one.example", "no two of the endpoints say anything")
        if self.second != self.first:
            raise ChainUnavailable("http://one.example", "no two of the endpoints say the same")
        return True


@pytest.fixture
def endpoints() -> Endpoints:
    return Endpoints()


async def test_one_alone_opens_no_name_and_the_words_say_what_is_wrong(endpoints: Endpoints) -> None:
    """No endpoint is named to who asks: that is for the operator."""
    endpoints.second = None
    with pytest.raises(ChainDown, match="only one of this farm's chain endpoints answers") as refused:
        await endpoints.ask()
    assert "one.example" not in refused.value.message
    assert "one.example" in refused.value.detail


async def test_what_two_have_said_one_may_say_for_a_day(endpoints: Endpoints) -> None:
    """Of that name, and no longer: what one said alone prolongs nothing."""
    assert await endpoints.ask()
    endpoints.second = None
    for endpoints.now in (1.0, CONFIRMED_SECONDS):
        assert await endpoints.ask()
    with pytest.raises(ChainDown):
        await endpoints.ask("another")
    endpoints.now = CONFIRMED_SECONDS + 1
    with pytest.raises(ChainDown):
        await endpoints.ask()


async def test_a_no_counts_and_so_does_a_contradiction(endpoints: Endpoints) -> None:
    """A key that was revoked is out at the first one that knows it; the name is to be opened by two again."""
    assert await endpoints.ask()
    endpoints.second = False
    with pytest.raises(ChainUnavailable, match="say the same"):
        await endpoints.ask()
    endpoints.first, endpoints.second = False, None
    assert not await endpoints.ask()
    endpoints.first = True
    with pytest.raises(ChainDown):
        await endpoints.ask()


async def test_what_is_remembered_is_bounded(endpoints: Endpoints) -> None:
    for number in range(MAX_CONFIRMED + 5):
        await endpoints.ask(str(number))
    assert len(endpoints.confirmed) == MAX_CONFIRMED
