"""Sharing out by network: nobody who has nothing is kept from what is left."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import Clock

from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import Allowance, FairShares
from grange_node.limits.networks import UNKNOWN, Network, network_of

LIMIT = 60
NETWORKS = [Network(str(number)) for number in range(LIMIT)]


@given(st.lists(st.tuples(st.sampled_from(NETWORKS), st.booleans()), max_size=300))
def test_no_network_keeps_a_new_one_out_and_the_limit_holds(steps: list[tuple[Network, bool]]) -> None:
    """As long as fewer networks take part than half of what there is to share out."""
    shares = FairShares(LIMIT)
    for network, takes in steps:
        if not takes:
            shares.give_back(network)
        elif shares.may_take(network):
            shares.take(network)
        taken = [shares.taken(one) for one in NETWORKS]
        assert shares.total == sum(taken) <= LIMIT
        if sum(amount > 0 for amount in taken) < LIMIT // 2:
            assert shares.may_take(Network("new"))


@pytest.mark.parametrize(("networks", "each"), [(1, 30), (2, 20), (5, 10), (9, 6)])
def test_the_greedy_get_the_same_each_and_as_much_is_left(networks: int, each: int) -> None:
    shares = FairShares(LIMIT)
    for _ in range(LIMIT):
        for network in NETWORKS[:networks]:
            if shares.may_take(network):
                shares.take(network)
    assert [shares.taken(network) for network in NETWORKS[:networks]] == [each] * networks
    assert LIMIT - shares.total == each


def test_what_is_held_is_given_back_whatever_happens() -> None:
    shares = FairShares(LIMIT)
    with suppress(ZeroDivisionError), shares.held(UNKNOWN, 5, TooBusy("busy")):
        assert shares.total == 5
        raise ZeroDivisionError
    assert shares.total == 0


def test_more_than_its_share_is_refused_and_changes_nothing() -> None:
    shares = FairShares(LIMIT)
    with shares.held(UNKNOWN, LIMIT, TooBusy("busy")):
        with pytest.raises(TooBusy, match="full"), shares.held(UNKNOWN, 1, TooBusy("full")):
            pass
        assert shares.total == LIMIT
    assert shares.total == 0


def test_time_gives_back_to_all_networks_alike() -> None:
    shares = FairShares(LIMIT)
    shares.take(NETWORKS[0], 10)
    shares.take(NETWORKS[1], 2)
    shares.give_back_alike(6)
    assert (shares.taken(NETWORKS[0]), shares.taken(NETWORKS[1])) == (6, 0)
    shares.give_back_alike(100)
    assert (shares.taken(NETWORKS[0]), shares.total) == (0, 0)


def test_an_allowance_comes_back_at_its_pace_and_never_grows_above_itself() -> None:
    clock = Clock()
    allowance = Allowance(LIMIT, 2.0, clock)

    def uses(networks: list[Network]) -> int:
        return sum(allowance.may_use(network) for network in networks)

    assert uses(NETWORKS) == LIMIT
    assert uses(NETWORKS) == 0
    clock.now += 1
    assert uses([Network("a"), Network("b"), Network("c")]) == 2
    clock.now += LIMIT / 2
    assert uses(NETWORKS) == LIMIT
    clock.now += 10**6
    assert uses(NETWORKS) == LIMIT


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_the_network_of_an_address(address: str, network: str) -> None:
    assert network_of(address) == network
