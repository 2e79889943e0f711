"""A farmer does what /openapi.json says of it, whatever it is sent: schemathesis makes up the requests.

The examples are the same in every run. Requests go to the service in this process: unsigned, signed by a
stranger, and signed by the renter of a slot that is there, so that they get past the gate and to the end.
"""

import asyncio
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from node_support import Farm, Parcel, error_of, open_farm, parcel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from grange.chain import Wallet
from grange.merkle import merkle_root
from grange.messages import NO_CONTENT
from grange.units import LEAF_BYTES
from grange.wire import paths

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
STAGED, PLACED = parcel(seed=1), parcel(seed=2)
STRANGER = Wallet(b"\x05" * 32)
deterministic = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


class Service:
    """A farm with a slot that is being sent and one that is placed, and a description of its own."""

    def __init__(self, runner: asyncio.Runner, farm: Farm) -> None:
        self.farm = farm
        self._runner = runner
        described = runner.run(farm.http.get(paths.OPENAPI))
        assert described.status_code == 200
        self.schema = schemathesis.openapi.from_dict(described.json())

    def ask(self, case: schemathesis.Case, signer: Wallet | None) -> httpx.Response:
        """Send what schemathesis made up, and check the answer against the description."""
        request = request_of(case)
        if signer is not None:
            request.headers.update(
                self.farm.sign(signer, request.method, raw_path(request), content(request))
            )
        self.farm.clock.now += 1
        response = self._runner.run(self.farm.http.send(request))
        case.validate_response(response, checks=CHECKS)
        return response


def request_of(case: schemathesis.Case) -> httpx.Request:
    made = case.as_transport_kwargs(base_url="http://farm")
    body = made.get("data") or (json.dumps(made["json"]).encode() if "json" in made else b"")
    fields = {name: made[name] for name in ("method", "url", "params", "headers") if name in made}
    return httpx.Request(**fields, content=bytes(body))


def raw_path(request: httpx.Request) -> str:
    return request.url.raw_path.decode()


def content(request: httpx.Request) -> bytes:
    """What a request is signed for."""
    if request.method == "PUT":
        whole = request.content[: len(request.content) // LEAF_BYTES * LEAF_BYTES]
        return merkle_root(whole) if whole else NO_CONTENT
    signed = request.content or request.headers.get("range", "").encode()
    return sha256(signed).digest() if signed else NO_CONTENT


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with asyncio.Runner() as runner:
        opened = open_farm(tmp_path_factory.mktemp("farm"))
        farm = runner.run(opened.__aenter__())
        runner.run(farm.upload(STAGED))
        runner.run(farm.keep(PLACED))
        yield Service(runner, farm)
        runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize(
    ("signer", "mode"),
    [
        (None, GenerationMode.POSITIVE),
        (STRANGER, GenerationMode.POSITIVE),
        (STRANGER, GenerationMode.NEGATIVE),
    ],
    ids=["unsigned", "signed", "signed and malformed"],
)
@pytest.mark.parametrize(("method", "path"), paths.CALLS)
def test_whatever_is_sent_is_answered_as_described(
    service: Service, method: str, path: str, signer: Wallet | None, mode: GenerationMode
) -> None:
    if (path, mode) == (paths.INFO, GenerationMode.NEGATIVE):
        return  # it takes nothing that could be wrong

    @deterministic
    @given(case=service.schema[path][method].as_strategy(generation_mode=mode))
    def asked(case: schemathesis.Case) -> None:
        response = service.ask(case, signer)
        if path != paths.INFO and signer is None:
            assert response.status_code in {400, 401, 404, 405}

    asked()


@pytest.mark.parametrize("slot", [STAGED, PLACED], ids=["staged", "placed"])
@pytest.mark.parametrize(("method", "path"), [one for one in paths.CALLS if "{slot}" in one[1]])
def test_so_is_the_renter_of_a_slot_that_is_here(
    service: Service, method: str, path: str, slot: Parcel
) -> None:
    """Whatever else is wrong with the request: names of order and slot are right, and most of a body."""
    statuses = set()

    @deterministic
    @given(
        case=service.schema[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE),
        wrong=st.sets(st.sampled_from(sorted(slot.acceptance_request())), max_size=1),
        piece=st.integers(0, 4),
    )
    def asked(case: schemathesis.Case, wrong: set[str], piece: int) -> None:
        case.path_parameters |= {"order": slot.order.hex(), "slot": slot.slot}
        if "{piece}" in path:
            case.path_parameters["piece"] = piece
        if method == "PUT" and not wrong:
            case.body = slot.pieces[piece % len(slot.pieces)]
        if method == "POST" and isinstance(case.body, dict):
            right = {name: value for name, value in slot.acceptance_request().items() if name not in wrong}
            case.body = case.body | right
        statuses.add(service.ask(case, slot.renter).status_code)

    asked()
    assert statuses - {400, 401}, "nothing got past the gate"


def test_the_description_names_every_call_and_no_other(service: Service) -> None:
    described = {
        (method.upper(), path)
        for path, calls in service.schema.raw_schema["paths"].items()
        for method in calls
    }
    assert described == set(paths.CALLS)


async def test_the_description_is_not_given_without_end(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        answers = [await farm.http.get(paths.OPENAPI) for _ in range(101)]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert error_of(answers[-1]) == "limit_reached"
        farm.clock.now += 60
        assert (await farm.http.get(paths.OPENAPI)).status_code == 200
