"""Whatever is done in whatever order, and however the clock moves: the service answers as the reference model does."""

from collections import Counter
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.reference_model import RETENTION_MS, Expected, Model, Record
from tests.unit.world import AGENT, MINUTE, NOWHERE, USER, Answer, World

CONFIGS: list[dict[str, Any]] = [
    {},
    {"timeoutMinutes": 5},
    {"timeoutMinutes": 5.00001, "maxDurationMinutes": 10, "warningThresholdMinutes": 1},
    {"timeoutMinutes": 7.5, "maxDurationMinutes": 7.5},
    {"timeoutMinutes": 30, "maxDurationMinutes": 45},
    {"timeoutMinutes": 60.25, "autoRenew": False},
    {"autoRenew": False, "maxDurationMinutes": 31},
    {"timeoutMinutes": 1440},
    {"timeoutMinutes": 4.999},
    {"maxDurationMinutes": 29, "warningThresholdMinutes": 30.5},
]
PATCHES = st.fixed_dictionaries(
    {},
    optional={
        "timeoutMinutes": st.sampled_from([5, 5.00001, 7.5, 30, 60.25, 720]),
        "autoRenew": st.booleans(),
        "maxDurationMinutes": st.sampled_from([5, 7.5, 30, 31, 45, 60.25, 720, 2880]),
        "warningThresholdMinutes": st.sampled_from([1, 1.5, 5, 7.5, 30, 1440]),
    },
) | st.sampled_from([{"timeoutMinutes": 4.999}, {"timeoutMinutes": 1440.5}])
METADATA_PATCHES = st.dictionaries(
    st.sampled_from("ab"), st.sampled_from([None, 1, "ü", [None], {}, {"a": None, "b": {"c": 1}}]), max_size=2
)
REQUESTS = st.fixed_dictionaries(
    {"agentId": st.just(AGENT), "userId": st.sampled_from([USER, NOWHERE]), "timeoutConfig": st.sampled_from(CONFIGS)},
    optional={"metadata": st.sampled_from([{}, {"a": 1}, {"a": [1.5, "ü"]}])},
)
TENANTS = st.sampled_from(["acme"] * 5 + ["globex"])
WHICH = st.integers(0, 2)
STEPS = st.sampled_from([0, 1, 999, MINUTE, 4 * MINUTE, 5 * MINUTE, 25 * MINUTE, 12 * 60 * MINUTE])
ROUTES = st.sampled_from(["get", "heartbeat", "heartbeat", "renew"])
MOMENTS = st.sampled_from([("expires", -1), ("expires", 0), ("expires", 1), ("retires", -1), ("retires", 0)])

DOINGS = st.one_of(
    st.tuples(st.just("ask"), TENANTS, WHICH, ROUTES),
    st.tuples(st.just("ask"), TENANTS, WHICH, ROUTES),
    st.tuples(st.just("patch"), TENANTS, WHICH, PATCHES),
    st.tuples(st.just("patch_metadata"), TENANTS, WHICH, METADATA_PATCHES, st.sampled_from([None, None, True, False])),
    st.tuples(st.just("wait"), STEPS),
    st.tuples(st.just("ask_at"), WHICH, MOMENTS, ROUTES),
    st.tuples(st.just("create"), TENANTS, REQUESTS, st.sampled_from([None, None, "k1", "k2"])),
    st.tuples(st.just("create_again"), WHICH),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("time_to_live")),
    st.tuples(st.just("walk"), TENANTS, st.sampled_from(["1", "3", "100"])),
    st.tuples(st.just("delete"), TENANTS, WHICH),
)


CAPPED = {"agentId": AGENT, "userId": USER, "timeoutConfig": {"timeoutMinutes": 7.5, "maxDurationMinutes": 7.5}}
RARE: list[tuple[Any, ...]] = [
    ("create", "acme", CAPPED, "k1"),
    ("create", "acme", CAPPED, None),
    ("ask", "acme", 0, "renew"),
    ("patch", "acme", 0, {"autoRenew": False}),
    ("ask_at", 0, ("expires", 0), "renew"),
    ("patch", "acme", 0, {}),
    ("patch_metadata", "acme", 0, {"a": 1}, None),
]
"""The outcomes that chance meets least often."""

OUTCOMES = {
    *[("create", status) for status in (200, 201, 400, 410, 422)],
    *[
        (route, status)
        for route in ("get", "heartbeat", "renew", "patch", "patch_metadata")
        for status in (200, 404, 410)
    ],
    *[("patch", 400), ("renew", 422), ("patch_metadata", 412), ("delete", 200), ("delete", 404)],
}
"""What all examples together must have met."""
STORY: list[tuple[Any, ...]] = [
    ("create", "acme", {"agentId": AGENT, "userId": USER, "timeoutConfig": CONFIGS[3]}, "k2"),
    ("ask", "acme", 0, "renew"),
    ("create", "acme", {"agentId": AGENT, "userId": NOWHERE}, "k2"),
    *[("ask_at", 0, ("expires", 0), route) for route in ("get", "heartbeat", "renew")],
    ("patch", "acme", 0, {"timeoutMinutes": 30}),
    ("create_again", 0),
    ("ask_at", 0, ("retires", 0), "get"),
    ("create_again", 0),
]
"""What chance alone might never meet: nothing left to renew, a key with another request, an ended session."""


class Both:
    """The service and the model, which live through the same."""

    def __init__(self, met: Counter[tuple[str, int]]) -> None:
        self.world = World()
        self.model = Model()
        self.met = met
        self.made: list[tuple[Record, str | None]] = []
        self.create("acme", {"agentId": AGENT, "userId": USER}, "k1")

    @property
    def now(self) -> int:
        return self.world.clock.now_ms()

    def id_of(self, which: int) -> str:
        """The id of one of the newest sessions that were made, whatever became of it."""
        return self.made[-1 - which % len(self.made)][0].session_id

    def create(self, tenant: str, request: dict[str, Any], key: str | None) -> None:
        expected, record = self.model.create(tenant, request, key, self.now)
        answer = self.world.post(request, key=key, tenant=tenant)
        self.agree("create", answer, expected)
        if record is not None:
            record.session_id = answer.json["sessionId"]
            assert answer.json == record.view(self.now)
            self.made.append((record, key))

    def create_again(self, which: int) -> None:
        record, key = self.made[-1 - which % len(self.made)]
        self.create(record.tenant, dict(record.request), key)

    def ask(self, tenant: str, which: int, route: str) -> None:
        expected = getattr(self.model, route)(tenant, self.id_of(which), self.now)
        self.agree(route, getattr(self.world, route)(self.id_of(which), tenant=tenant), expected)

    def ask_at(self, which: int, moment: tuple[str, int], route: str) -> None:
        """Ask at the last moment of a session, at the next, or at those of its memory."""
        record = self.made[-1 - which % len(self.made)][0]
        end = record.expires + moment[1] + (RETENTION_MS if moment[0] == "retires" else 0)
        self.world.clock.at_ms = max(self.now, end)
        self.ask(record.tenant, which, route)

    def patch(self, tenant: str, which: int, sent: dict[str, Any]) -> None:
        expected = self.model.patch(tenant, self.id_of(which), sent, self.now)
        self.agree("patch", self.world.patch(self.id_of(which), sent, tenant=tenant), expected)

    def patch_metadata(self, tenant: str, which: int, patch: dict[str, Any], is_present: Any) -> None:
        """Patch with the present version, with another, or without any."""
        record = self.made[-1 - which % len(self.made)][0]
        present = record.view(self.now)["metadataVersion"]
        version = None if is_present is None else present if is_present else present[::-1]
        headers = {} if version is None else {"if-match": f'"{version}"'}
        expected = self.model.patch_metadata(tenant, record.session_id, patch, version, self.now)
        answer = self.world.patch_metadata(record.session_id, patch, tenant=tenant, headers=headers)
        self.agree("patch_metadata", answer, expected)

    def delete(self, tenant: str, which: int) -> None:
        expected = self.model.delete(tenant, self.id_of(which), self.now)
        self.agree("delete", self.world.delete(self.id_of(which), tenant=tenant), expected)

    def walk(self, tenant: str, limit: str) -> None:
        """Read all pages."""
        shown: list[dict[str, Any]] = []
        query = {"limit": limit}
        while True:
            page = self.world.page(tenant=tenant, **query).json
            shown += page["sessions"]
            if "nextCursor" not in page:
                break
            query["cursor"] = page["nextCursor"]
        moments = [session["createdAt"] for session in shown]
        assert moments == sorted(moments, reverse=True)
        shown.sort(key=lambda session: session["sessionId"])
        shown.sort(key=lambda session: session["createdAt"], reverse=True)
        assert shown == self.model.listed(tenant, self.now)

    def wait(self, step: int) -> None:
        self.world.clock.advance(step)

    def sweep(self) -> None:
        """Announce, warn or re-arm, as the sweep may do at this time. No caller notices."""
        for record in self.model.records:
            item = self.world.item(record.session_id)
            if item is None:
                continue
            if record.expires + 5_000 <= self.now:
                self.world.announce(record.session_id)
            elif record.expires > self.now >= record.expires - int(item["warningMs"]["N"]):
                self.world.warn(record.session_id)
            elif record.expires > self.now >= int(item["dueAt"]["N"]):
                self.world.arm(record.session_id)

    def time_to_live(self) -> None:
        """TTL removes what is due to it."""
        for record in self.model.records:
            item = self.world.item(record.session_id)
            if item and int(item["purgeAt"]["N"]) * 1000 <= self.now:
                self.world.remove(record.session_id)

    def check(self) -> None:
        """What is remembered is there, TTL cannot reach it, and the sweep can reach what lives."""
        for record in self.model.records:
            if self.now >= record.expires + RETENTION_MS:
                continue
            item = self.world.item(record.session_id)
            assert int(item["expiresAt"]["N"]) == record.expires
            assert int(item["purgeAt"]["N"]) * 1000 >= record.expires + RETENTION_MS
            if record.expires > self.now:
                assert "dueShard" in item
                assert int(item["dueAt"]["N"]) <= record.expires

    def agree(self, route: str, answer: Answer, expected: Expected) -> None:
        """Check that the service answers what the model expects, and count the outcome."""
        self.met[route, answer.status] += 1
        assert answer.status == expected.status, answer.text
        if expected.code is not None:
            assert answer.code == expected.code
        if expected.details is not None:
            assert answer.details == expected.details
        if expected.fields:
            assert frozenset(answer.fields) == expected.fields
        if expected.body is not None:
            assert answer.json == expected.body


def test_after_any_doings_at_any_times_the_service_answers_as_the_model() -> None:
    met: Counter[tuple[str, int]] = Counter()

    @example(doings=STORY)
    @given(doings=st.lists(DOINGS, min_size=10, max_size=40))
    @example(doings=RARE)
    @settings(max_examples=60)
    def live(doings: list[tuple[Any, ...]]) -> None:
        both = Both(met)
        for name, *arguments in doings:
            getattr(both, name)(*arguments)
            both.check()

    live()
    assert met.keys() >= OUTCOMES, OUTCOMES - met.keys()
