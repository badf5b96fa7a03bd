"""The order store: real SQLite, real calls, money that never appears or vanishes."""

from __future__ import annotations

import atexit
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from copy import deepcopy
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openfeature_gov.demo import snapshots
from openfeature_gov.demo.orders import TOOLS, OrderError, OrderStore

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "openfeature_gov" / "demo"
RECORDED = ROOT.parent / "shared" / "data"
SHOP: dict[str, Any] = json.loads((DEMO / "shop.json").read_text())
HOSTILE = {("6", 1), ("6", 2)}


def read_calls(path: Path) -> list[dict[str, Any]]:
    """Return the calls that *path* holds, one a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def loaded(source: dict[str, Any]) -> OrderStore:
    """Return a new store in memory that holds *source*."""
    store = OrderStore.open()
    store.load(source)
    return store


def accepted(store: OrderStore, tool: str, arguments: dict[str, Any]) -> bool:
    """Make a call; say whether the store took it and returned JSON."""
    with suppress(OrderError):
        json.dumps(store.call(tool, arguments), allow_nan=False)
        return True
    return False


TEMPLATE = loaded(SHOP)
atexit.register(TEMPLATE.close)


@pytest.fixture
def store() -> Iterator[OrderStore]:
    """Lend a store that holds the shop."""
    with closing(TEMPLATE.copy()) as twin:
        yield twin


def as_text(part: Any) -> Any:
    """Write the money of *part*, as JSON holds it, the way the tools return it."""
    match part:
        case float():
            return f"{part:.2f}"
        case dict():
            return {key: as_text(value) for key, value in part.items()}
        case list():
            return [as_text(value) for value in part]
    return part


def test_everything_loaded_is_returned(store: OrderStore) -> None:
    """Every product, customer and order comes back as it was loaded."""
    for key, product in SHOP["products"].items():
        assert store.get_product_details(key) == as_text(product)
        for item_id, item in product["variants"].items():
            assert store.get_item_details(item_id) == as_text(item)
    for key, user in SHOP["users"].items():
        assert store.get_user_details(key) == as_text(user)
    for key, order in SHOP["orders"].items():
        assert store.get_order_details(key) == as_text(order)


@pytest.mark.parametrize("pristine", [True, False])
def test_scenario_runs_but_for_its_hostile_calls(
    store: OrderStore, *, pristine: bool
) -> None:
    """The scenario's calls succeed, each task afresh or all in a row."""
    refused = set()
    for call in read_calls(DEMO / "calls.jsonl"):
        if pristine and call["step"] == 0:
            store.reset(TEMPLATE)
        if not accepted(store, call["tool"], call["arguments"]):
            refused.add((call["task"], call["step"]))
    assert refused == HOSTILE


METHODS = [m for user in SHOP["users"].values() for m in user["payment_methods"]]
MOVES = ["cancel_pending_order", "refund_order", "modify_pending_order_items"]
CHANGES = [tool for tool in TOOLS if "order_id" in TOOLS[tool]]
amounts = st.one_of(
    st.decimals("0.01", "90", places=2).map(str), st.sampled_from(["NaN", 12.5, "900"])
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a call on an order that fits its items, and its customer nearly always."""
    order_id, order = draw(st.sampled_from(sorted(SHOP["orders"].items())))
    bought = st.sampled_from([item["item_id"] for item in order["items"]])
    items = draw(st.lists(bought, min_size=1, max_size=2, unique=True))
    own = [*SHOP["users"][order["user_id"]]["payment_methods"]]
    tool = draw(st.sampled_from(CHANGES))
    drawn: dict[str, Any] = {
        "order_id": order_id,
        "item_ids": items,
        "new_item_ids": [draw(st.sampled_from(siblings(item))) for item in items],
        "payment_method_id": draw(st.sampled_from(own * 4 + METHODS)),
        "reason": "no longer needed",
        "amount": draw(amounts),
    }
    return tool, {name: drawn.get(name, "1 Elm Yard") for name in TOOLS[tool]}


def siblings(item: str) -> list[str]:
    """Return every variant of the product of *item*, itself included."""
    return next(
        [*product["variants"]]
        for product in SHOP["products"].values()
        if item in product["variants"]
    )


def money(store: OrderStore) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return what is paid by order, and what each gift card has or has paid."""
    held: dict[str, Decimal] = Counter()  # type: ignore[assignment]
    cards: dict[str, Decimal] = Counter()  # type: ignore[assignment]
    for order_id in SHOP["orders"]:
        for entry in store.get_order_details(order_id)["payment_history"]:
            sign = 1 if entry["transaction_type"] == "payment" else -1
            held[order_id] += sign * Decimal(entry["amount"])
            cards[entry["payment_method_id"]] += sign * Decimal(entry["amount"])
    found = [store.get_user_details(u)["payment_methods"] for u in SHOP["users"]]
    gifts = {
        m["id"]: m for methods in found for m in methods.values() if "balance" in m
    }
    total = {key: Decimal(m["balance"]) + cards[key] for key, m in gifts.items()}
    return {order_id: held[order_id] for order_id in SHOP["orders"]}, total


def goodwill(order: dict[str, Any]) -> Decimal:
    """Return what `refund_order` gave back: it alone states a reason."""
    return sum(
        (Decimal(p["amount"]) for p in order["payment_history"] if "reason" in p),
        Decimal(0),
    )


def check_orders(store: OrderStore, held: dict[str, Decimal]) -> None:
    """Check that each order holds what is due for it."""
    for order_id, paid in held.items():
        order = store.get_order_details(order_id)
        price = sum(Decimal(item["price"]) for item in order["items"])
        due = 0 if order["status"] == "cancelled" else price - goodwill(order)
        assert paid == due >= 0


@settings(max_examples=150)
@given(st.lists(calls(), max_size=12))
def test_money_never_appears_or_vanishes(
    sequence: list[tuple[str, dict[str, Any]]],
) -> None:
    """After any calls each order holds its price less refunds, and cards balance.

    A refused call changes nothing; a taken one moves what `amount_of` announced.
    """
    with closing(TEMPLATE.copy()) as store:
        held, cards = money(store)
        for tool, arguments in sequence:
            before, announced = store.fingerprint(), announce(store, tool, arguments)
            if not accepted(store, tool, arguments):
                assert store.fingerprint() == before
                continue
            then, cards_then = money(store)
            moved = sum((abs(then[key] - held[key]) for key in held), Decimal(0))
            assert moved == (announced if tool in MOVES else 0)
            assert cards_then == cards
            check_orders(store, then)
            held = then


def announce(store: OrderStore, tool: str, arguments: dict[str, Any]) -> Decimal | None:
    """Return what the store says that a call would move, None if it cannot say."""
    with suppress(OrderError):
        return store.amount_of(tool, arguments)
    return None


@pytest.mark.parametrize(
    ("tool", "arguments", "amount", "records"),
    [
        ("cancel_pending_order", {"order_id": "#S1001", "reason": "x"}, "60.90", 1),
        (
            "modify_pending_order_payment",
            {"order_id": "#S1007", "payment_method_id": "paypal_jun"},
            "706.30",
            1,
        ),
        (
            "return_delivered_order_items",
            {
                "order_id": "#S1005",
                "item_ids": ["apron_sand_l", "apron_sand_l"],
                "payment_method_id": "gift_amara",
            },
            "88.00",
            2,
        ),
        (
            "exchange_delivered_order_items",
            {
                "order_id": "#S1003",
                "item_ids": ["trailer_120l", "bell_black"],
                "new_item_ids": ["trailer_60l", "bell_brass"],
                "payment_method_id": "paypal_teodor",
            },
            "597.60",
            2,
        ),
        (
            "refund_order",
            {"order_id": "#S1003", "amount": 7.5, "reason": "late"},
            "7.50",
            1,
        ),
        ("get_order_details", {"order_id": "#S1003"}, None, 1),
        ("calculate", {"expression": "1"}, None, 0),
    ],
)
def test_stakes(
    store: OrderStore, tool: str, arguments: Any, amount: str | None, records: int
) -> None:
    """What is at stake is known before the call, whatever the order's status."""
    before = store.fingerprint()
    assert store.amount_of(tool, arguments) == (amount and Decimal(amount))
    assert store.records_of(tool, arguments) == records
    assert store.fingerprint() == before


@pytest.mark.parametrize("asked", [TEMPLATE.amount_of, TEMPLATE.records_of])
def test_stakes_that_cannot_be_computed_are_refused(asked: Any) -> None:
    """An unknown tool, order or item, or a wrong argument, has no stakes."""
    back = {"order_id": "#S1005", "item_ids": ["globe_20cm"], "payment_method_id": "x"}
    for tool, arguments in (
        ("refund_\u043erder", {"order_id": "#S1003", "amount": "1", "reason": "x"}),
        ("refund_order", {"order_id": "#S1003", "amount": "1"}),
        ("return_delivered_order_items", back),
        ("return_delivered_order_items", back | {"order_id": "#S9999"}),
        ("return_delivered_order_items", back | {"item_ids": ["apron_sand_l"] * 3}),
        ("return_delivered_order_items", back | {"item_ids": "apron_sand_l"}),
    ):
        with pytest.raises(OrderError):
            asked(tool, arguments)


@pytest.mark.parametrize(
    "amount",
    [
        "NaN",
        "Infinity",
        "-1",
        "1e2",
        "\u0661",
        "0",
        "0.00",
        "1.005",
        " 5",
        "",
        "5,00",
        True,
        None,
        float("nan"),
        float("inf"),
        -1,
        pytest.param(10**5000, id="huge"),
        [],
        pytest.param("9" * 5000, id="long"),
    ],
)
def test_no_refund_without_a_plain_amount(store: OrderStore, amount: Any) -> None:
    """Only plain decimal dollars above zero are an amount."""
    before = store.fingerprint()
    with pytest.raises(OrderError, match="amount"):
        store.refund_order("#S1003", amount, reason="late")
    assert store.fingerprint() == before


def items(order_id: str, *pairs: tuple[str, str], by: str) -> dict[str, Any]:
    """Return the arguments that replace the first of each pair by the second."""
    return {
        "order_id": order_id,
        "item_ids": [old for old, _ in pairs],
        "new_item_ids": [new for _, new in pairs],
        "payment_method_id": by,
    }


def back(order_id: str, *item_ids: str, to: str) -> dict[str, Any]:
    """Return the arguments that give *item_ids* back."""
    return {
        "order_id": order_id,
        "item_ids": [*item_ids],
        "payment_method_id": to,
    }


CANCEL, PAY = "cancel_pending_order", "modify_pending_order_payment"
MODIFY, EXCHANGE = "modify_pending_order_items", "exchange_delivered_order_items"
RETURN, REFUND = "return_delivered_order_items", "refund_order"
TO_ASH = items("#S1004", ("stool_walnut", "stool_ash"), by="paypal_teodor")
GLOBE = back("#S1002", "globe_20cm", to="card_ines")
REFUSALS: list[tuple[str, str, dict[str, Any]]] = [
    ("is processed", CANCEL, {"order_id": "#S1006", "reason": "no longer needed"}),
    ("reason", CANCEL, {"order_id": "#S1001", "reason": "whim"}),
    ("not in the store", CANCEL, {"order_id": "S1001", "reason": "no longer needed"}),
    ("already", PAY, {"order_id": "#S1007", "payment_method_id": "card_jun"}),
    ("has no", PAY, {"order_id": "#S1007", "payment_method_id": "card_ines"}),
    ("is delivered", MODIFY, TO_ASH | {"order_id": "#S1002"}),
    ("not available", MODIFY, TO_ASH | {"new_item_ids": ["stool_beech"]}),
    ("not a Folding Stool", MODIFY, TO_ASH | {"new_item_ids": ["bell_brass"]}),
    ("replace itself", MODIFY, TO_ASH | {"new_item_ids": ["stool_walnut"]}),
    ("2 for 1", MODIFY, TO_ASH | {"new_item_ids": ["stool_ash", "stool_ash"]}),
    ("0 ids", MODIFY, TO_ASH | {"item_ids": []}),
    ("is pending", EXCHANGE, TO_ASH),
    (
        "holds 3.50, 4.00 are due",
        EXCHANGE,
        items("#S1005", *[("apron_sand_l", "apron_indigo_m")] * 2, by="gift_amara"),
    ),
    ("neither paid", RETURN, back("#S1009", "bell_brass", to="card_jun")),
    ("not so often", RETURN, back("#S1002", *["stool_ash"] * 2, to="card_ines")),
    ("more than", REFUND, {"order_id": "#S1002", "amount": "185.31", "reason": "x"}),
    ("reason", REFUND, {"order_id": "#S1002", "amount": "1", "reason": " "}),
    ("more than", REFUND, {"order_id": "#S1008", "amount": "0.01", "reason": "x"}),
    ("not known", "refund_\u043erder", {"order_id": "#S1003", "amount": "1"}),
    ("needs", "get_order_details", {"order_id": "#S1003", "user_id": "x"}),
    ("not text", "get_order_details", {"order_id": ["#S1003"]}),
    ("unprintable", "get_order_details", {"order_id": "\ud800"}),
]


@pytest.mark.parametrize(("why", "tool", "arguments"), REFUSALS)
def test_refusals(
    store: OrderStore, why: str, tool: str, arguments: dict[str, Any]
) -> None:
    """What a shop would refuse is refused, says why, and changes nothing."""
    before = store.fingerprint()
    with pytest.raises(OrderError, match=why):
        store.call(tool, arguments)
    assert store.fingerprint() == before


@pytest.mark.parametrize(
    ("why", "first", "then"),
    [
        ("item modified", (MODIFY, TO_ASH), (MODIFY, TO_ASH)),
        ("return requested", (RETURN, GLOBE), (RETURN, GLOBE)),
        (
            "more than",
            (REFUND, {"order_id": "#S1002", "amount": "60", "reason": "x"}),
            (RETURN, GLOBE),
        ),
        (
            "more than",
            (REFUND, {"order_id": "#S1004", "amount": "60", "reason": "x"}),
            (MODIFY, TO_ASH),
        ),
    ],
)
def test_refusals_after_a_change(
    store: OrderStore, why: str, first: tuple[str, Any], then: tuple[str, Any]
) -> None:
    """A change is made once, and money that went back is not promised again."""
    store.call(*first)
    before = store.fingerprint()
    with pytest.raises(OrderError, match=why):
        store.call(*then)
    assert store.fingerprint() == before


def test_money_goes_back_where_it_came_from(store: OrderStore) -> None:
    """A refund goes to the methods that still hold money, and to no other."""
    cheaper = items("#S1001", ("bell_brass", "bell_black"), by="gift_ines")
    store.call(MODIFY, cheaper)
    order = store.refund_order("#S1001", "58.50", reason="all of it")
    assert order["payment_history"][1:] == [
        {
            "transaction_type": "refund",
            "amount": "2.40",
            "payment_method_id": "gift_ines",
        },
        {
            "transaction_type": "refund",
            "amount": "58.50",
            "payment_method_id": "card_ines",
            "reason": "all of it",
        },
    ]
    card = store.get_user_details("ines_vollmer")["payment_methods"]["gift_ines"]
    assert card["balance"] == "122.40"


sums = st.recursive(
    st.decimals(0, 9999, places=2).map(lambda d: (str(d), Fraction(d))),
    lambda part: st.tuples(part, st.sampled_from("+-*"), part).map(
        lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", OPERATIONS[t[1]](t[0][1], t[2][1]))
    ),
    max_leaves=5,
)
OPERATIONS: dict[str, Any] = {
    "+": Fraction.__add__,
    "-": Fraction.__sub__,
    "*": Fraction.__mul__,
}


@given(sums)
def test_calculate_agrees_with_exact_fractions(drawn: tuple[str, Fraction]) -> None:
    """Sums and products are exact to the cent."""
    expression, exact = drawn
    assert abs(Fraction(TEMPLATE.calculate(expression)) - exact) <= Fraction(1, 200)


@pytest.mark.parametrize(
    "expression",
    [
        "2**8",
        "7//2",
        "1/0",
        "",
        "(",
        "1e9",
        "1_0",
        "0x1",
        "9" * 60,
        "1 1",
        "1,5",
        "(" * 99 + "1",
        "-" * 199 + "(",
        "__import__('os')",
        "1\n+1",
        "1 if 1 else 2",
        5,
    ],
)
def test_calculate_refuses_everything_else(expression: Any) -> None:
    """Whatever is not a sum of numbers is refused, never run."""
    with pytest.raises(OrderError, match="expression"):
        TEMPLATE.calculate(expression)


places: st.SearchStrategy[dict[str, str]] = st.builds(
    dict,
    address1=st.just("1 Elm Yard"),
    address2=st.sampled_from(["", "Flat 2"]),
    **{
        part: st.text("abcXYZ 19", min_size=1).map(lambda t: f"x{t}")
        for part in ("city", "state", "country", "zip")
    },
)


@given(st.lists(places, max_size=4))
def test_address_changes_are_undone_one_by_one(moves: list[dict[str, str]]) -> None:
    """Each undo restores the address before, and none is left at the end."""
    with closing(TEMPLATE.copy()) as store:
        marks = []
        for place in moves:
            marks.append(store.fingerprint())
            assert store.modify_user_address("jun_hayashi", **place)["address"] == place
        for mark in reversed(marks):
            store.undo_user_address("jun_hayashi")
            assert store.fingerprint() == mark
        with pytest.raises(OrderError, match="no earlier address"):
            store.undo_user_address("jun_hayashi")


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("refunded", ["", "1.50"])
def test_a_cancellation_is_taken_back_exactly(*, moved: bool, refunded: str) -> None:
    """Money, gift card and status, whatever was paid and refunded before."""
    with closing(TEMPLATE.copy()) as store:
        if moved:
            methods = store.get_user_details("ines_vollmer")["payment_methods"]
            paid = store.get_order_details("#S1001")["payment_history"]
            held = {one["payment_method_id"] for one in paid}
            for name in sorted(methods.keys() - held):
                with suppress(OrderError):
                    store.modify_pending_order_payment("#S1001", name)
        if refunded:
            store.refund_order("#S1001", refunded, reason="scratch")
        before = store.fingerprint()
        for _ in range(2):
            store.cancel_pending_order("#S1001", "no longer needed")
            assert store.fingerprint() != before
            view = store.restore_cancelled_order("#S1001")
            assert view["status"] == "pending"
            assert store.fingerprint() == before
        with pytest.raises(OrderError, match="no cancellation"):
            store.restore_cancelled_order("#S1001")
        assert store.fingerprint() == before


def test_traces_are_kept_beside_the_business(store: OrderStore) -> None:
    """Drafts and hand-overs are stored, and the business tables stay as they were."""
    before, arguments = (
        store.baseline(),
        {"order_id": "#S1003", "amount": Decimal("1.5")},
    )
    numbers = [store.draft("refund_order", arguments | {"reason": "x"}) for _ in "ab"]
    store.transfer_to_human_agents("first line\nsecond line")
    assert numbers == [1, 2]
    assert store.changes_since(before) == {}
    assert store.fingerprint() == TEMPLATE.fingerprint()
    kept = {"order_id": "#S1003", "amount": "1.5", "reason": "x"}
    assert store.drafts() == [
        {"draft_id": number, "tool": "refund_order", "arguments": kept}
        for number in numbers
    ]
    assert store.handovers() == ["first line\nsecond line"]
    for bad in ("no_tool", arguments), ("calculate", {"expression": float("nan")}):
        with pytest.raises(OrderError):
            store.draft(*bad)


def test_changes_are_counted_by_table(store: OrderStore) -> None:
    """Each changed row counts once, however often it changed."""
    before = store.baseline()
    store.refund_order("#S1003", "1.00", reason="late")
    store.refund_order("#S1003", "2.00", reason="late")
    assert store.changes_since(before) == {"payments": 2}
    store.return_delivered_order_items(
        "#S1002", ["globe_20cm"], payment_method_id="gift_ines"
    )
    after = {"payments": 2, "orders": 1, "requests": 1}
    assert store.changes_since(before) == after


def test_fingerprint_covers_every_business_column(store: OrderStore) -> None:
    """No column of a business table can be altered without notice."""
    store.return_delivered_order_items(
        "#S1002", ["globe_20cm"], payment_method_id="gift_ines"
    )
    before = store.fingerprint()
    traces = {"drafts", "handovers", "address_history", "cancellations"}
    for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
        store._db.execute(f"PRAGMA {pragma}")
    tables = store._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    for (table,) in tables.fetchall():
        if table in traces or table.startswith("sqlite_"):
            continue
        for column in store._db.execute(f"PRAGMA table_info({table})").fetchall():
            store._db.execute("BEGIN")
            store._db.execute(
                f"UPDATE {table} SET {column['name']} = 77 WHERE rowid = "
                f"(SELECT MIN(rowid) FROM {table})"
            )
            changed = snapshots.fingerprint(store._db)
            store._db.execute("ROLLBACK")
            assert changed != before, (table, column["name"])


@pytest.mark.parametrize("shared", [True, False])
def test_concurrent_refunds_never_exceed_what_was_paid(
    tmp_path: Path, *, shared: bool
) -> None:
    """Of many refunds at once only those succeed that the payment covers.

    That holds for threads on one store and for two stores on one file.
    """
    path = str(tmp_path / "shop.db")
    with closing(TEMPLATE.copy(path)) as one, closing(OrderStore.open(path)) as two:
        refund = {"order_id": "#S1002", "amount": "30.00", "reason": "late"}
        stores = [one, one if shared else two] * 8
        with ThreadPoolExecutor(8) as pool:
            taken = list(
                pool.map(lambda s: accepted(s, "refund_order", refund), stores)
            )
        assert sum(taken) == 6  # 185.30 was paid
        assert one.fingerprint() == two.fingerprint()


def test_copies_are_independent_and_resettable(tmp_path: Path) -> None:
    """A copy, in memory or in a file, changes alone and returns to its source."""
    path = str(tmp_path / "shop.db")
    pristine = TEMPLATE.fingerprint()
    with closing(TEMPLATE.copy(path)) as filed, closing(filed.copy()) as second:
        second.cancel_pending_order("#S1001", "no longer needed")
        filed.reset(second)
        assert filed.fingerprint() == second.fingerprint() != pristine
        filed.reset(TEMPLATE)
        assert filed.fingerprint() == pristine == TEMPLATE.fingerprint()
        with pytest.raises(OrderError, match="holds a store already"):
            second.copy(path)
    with closing(OrderStore.open(path)) as again:
        assert again.fingerprint() == pristine


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is no order store is neither opened nor altered."""
    for name, content in (("text", b"not a database, " * 99), ("other", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        if not content:
            with closing(sqlite3.connect(path)) as db:
                db.execute("CREATE TABLE songs (title)")
        before = path.read_bytes()
        with pytest.raises(OrderError, match=name):
            OrderStore.open(str(path))
        assert path.read_bytes() == before
    with pytest.raises(OrderError, match="absent"):
        OrderStore.open(str(tmp_path / "absent" / "shop.db"))


def keyed(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Name every key in the first record of each kind of *part*."""
    if isinstance(part, dict) and path[-1:] != ("options",):
        records = len(path) == 1 or path[-1:] in {("variants",), ("payment_methods",)}
        for key in list(part)[:1] if records else part:
            yield (*path, key)
            yield from keyed(part[key], (*path, key))
    elif isinstance(part, list) and part:
        yield from keyed(part[0], (*path, 0))


DISPENSABLE = {
    ("users", "ines_vollmer", "orders"),
    ("users", "ines_vollmer", "payment_methods", "card_ines", "brand"),
    ("users", "ines_vollmer", "payment_methods", "card_ines", "last_four"),
    ("orders", "#S1001"),
    *(
        ("orders", "#S1001", "items", 0, known_from_the_product)
        for known_from_the_product in ("name", "options", "product_id")
    ),
}


def test_an_incomplete_source_is_refused_whole() -> None:
    """Without any one of its needed keys a source is not loaded at all."""
    taken = set()
    for path in keyed(SHOP):
        source: Any = deepcopy(SHOP)
        part = source
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
        with closing(OrderStore.open()) as store:
            empty = store.fingerprint()
            try:
                store.load(source)
                taken.add(path)
            except OrderError:
                assert store.fingerprint() == empty
    assert taken == DISPENSABLE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("products", "prod_bell", "variants", "bell_brass", "price"), 18.905),
        (("products", "prod_bell", "variants", "bell_brass", "available"), "yes"),
        (("products", "prod_bell", "product_id"), "prod_apron"),
        (("users", "jun_hayashi", "email"), "INES.VOLLMER@example.com"),
        (("users", "jun_hayashi", "address", "planet"), "Mars"),
        (("users", "jun_hayashi", "address", "city"), ""),
        (("orders", "#S1001", "payment_history", 0, "payment_method_id"), "card_jun"),
        (("orders", "#S1001", "payment_history", 0, "transaction_type"), "gift"),
        (("orders", "#S1001", "items", 0, "item_id"), "bell_gold"),
        (("orders",), None),
    ],
)
def test_a_malformed_source_is_refused_whole(path: tuple[Any, ...], value: Any) -> None:
    """One wrong value anywhere, and nothing of the source is loaded."""
    source: Any = deepcopy(SHOP)
    part = source
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with closing(OrderStore.open()) as store:
        empty = store.fingerprint()
        with pytest.raises(OrderError):
            store.load(source)
        assert store.fingerprint() == empty


def test_a_full_store_takes_no_second_source(store: OrderStore) -> None:
    """Data is never merged."""
    with pytest.raises(OrderError, match="holds products"):
        store.load(SHOP)


# What the recorded agents tried in vain: ids, names and emails that do not exist ...
UNKNOWN = {
    *((task, 1, "get_product_details") for task in ("2", "3", "4")),
    *((task, 0, "find_user_id_by_email") for task in ("35", "37", "38", "54", "55")),
    *((task, 0, "find_user_id_by_name_zip") for task in ("39", "67", "68")),
    ("67", 1, "find_user_id_by_name_zip"),
    *((task, step, "get_order_details") for task in ("46", "47") for step in (1, 2)),
}
# ... an order that is pending, and a gift card of 17.00 for 21.10.
IMPOSSIBLE = {
    ("64", 6, "exchange_delivered_order_items"),
    ("105", 0, "exchange_delivered_order_items"),
}


def test_recorded_calls() -> None:
    """All 550 recorded calls run, each task afresh; 18 are refused with reason."""
    if not RECORDED.is_dir():
        pytest.skip(f"no recorded calls: {RECORDED} is absent")
    source = json.loads((RECORDED / "retail_db.json").read_text())
    recorded = read_calls(RECORDED / "retail_tool_calls.jsonl")
    refused = set()
    with closing(loaded(source)) as pristine, closing(pristine.copy()) as store:
        for call in recorded:
            if call["step"] == 0:
                store.reset(pristine)
            if not accepted(store, call["tool"], call["arguments"]):
                refused.add((call["task"], call["step"], call["tool"]))
    assert len(recorded) == 550
    assert refused == UNKNOWN | IMPOSSIBLE
