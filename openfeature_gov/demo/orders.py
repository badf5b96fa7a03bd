"""The order store that a support agent's tools act on: one method a tool.

It knows nothing of governance. A tool refuses with `OrderError` what a shop would
refuse, and a refused call has changed nothing. What a tool returns is ready for JSON,
with prices as text in dollars.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from openfeature_gov.demo import arithmetic, calls, changes, records, traces
from openfeature_gov.demo.database import Database
from openfeature_gov.demo.values import Address, OrderError

__all__ = ["TOOLS", "OrderError", "OrderStore"]

View = dict[str, Any]


class OrderStore(Database):
    """Serve the tools of a support agent from one SQLite file, until `close`.

    Build it with `open` or `copy`. Any thread may call any method.
    """

    __slots__ = ()

    def find_user_id_by_name_zip(
        self,
        first_name: str,
        last_name: str,
        *,
        zip: str,  # noqa: A002 - the recorded calls name it so
    ) -> str:
        """Find the one customer of that name and *zip*, or raise OrderError."""
        with self._read() as db:
            return records.user_by_name(
                db, first_name=first_name, last_name=last_name, zip_code=zip
            )

    def find_user_id_by_email(self, email: str) -> str:
        """Find the customer with *email*, in any case, or raise OrderError."""
        with self._read() as db:
            return records.user_by_email(db, email)

    def get_user_details(self, user_id: str) -> View:
        """Return a customer, with methods and order ids, or raise OrderError."""
        with self._read() as db:
            return records.customer_view(db, user_id)

    def get_order_details(self, order_id: str) -> View:
        """Return an order, with items and payments, or raise OrderError."""
        with self._read() as db:
            return records.order_view(db, order_id)

    def get_product_details(self, product_id: str) -> View:
        """Return a product with all its variants, or raise OrderError."""
        with self._read() as db:
            return records.product_view(db, product_id)

    def get_item_details(self, item_id: str) -> View:
        """Return one variant with price and availability, or raise OrderError."""
        with self._read() as db:
            return records.variant_view(records.variant(db, item_id))

    def calculate(self, expression: str) -> str:
        """Compute a sum of numbers with + - * / ( ), or raise OrderError."""
        return arithmetic.calculate(expression)

    def cancel_pending_order(self, order_id: str, reason: str) -> View:
        """Cancel a pending order and give back what was paid, to where it came from.

        *reason* is ``no longer needed`` or ``ordered by mistake``.

        Raises:
            OrderError: unknown order, not pending, or another reason.

        """
        with self._change() as db:
            changes.cancel(db, order_id, reason=reason)
            return records.order_view(db, order_id)

    def restore_cancelled_order(self, order_id: str) -> View:
        """Take back a cancellation made here, money included, or raise OrderError."""
        with self._change() as db:
            changes.restore(db, order_id)
            return records.order_view(db, order_id)

    def modify_pending_order_address(
        self,
        order_id: str,
        address1: str,
        *,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,  # noqa: A002
    ) -> View:
        """Send a pending order to another, complete address, or raise OrderError."""
        place = Address(address1, address2, city, state, country, zip)
        with self._change() as db:
            changes.move_order(db, order_id, to=place)
            return records.order_view(db, order_id)

    def modify_pending_order_payment(
        self, order_id: str, payment_method_id: str
    ) -> View:
        """Charge another of the customer's methods for a pending order.

        Raises:
            OrderError: unknown order, not pending, unknown or the same method, a
                gift card that does not cover it, or money on several methods.

        """
        with self._change() as db:
            changes.change_payment(db, order_id, payment_method_id=payment_method_id)
            return records.order_view(db, order_id)

    def modify_pending_order_items(
        self,
        order_id: str,
        item_ids: list[str],
        *,
        new_item_ids: list[str],
        payment_method_id: str,
    ) -> View:
        """Replace items of a pending order, once, and settle the difference at once.

        Raises:
            OrderError: unknown order, not pending or modified before, an item that is
                not in it, a replacement that is unavailable or of another product, or
                a method that is unknown or does not cover the difference.

        """
        with self._change() as db:
            changes.change_items(
                db,
                order_id,
                item_ids=item_ids,
                new_item_ids=new_item_ids,
                payment_method_id=payment_method_id,
            )
            return records.order_view(db, order_id)

    def return_delivered_order_items(
        self, order_id: str, item_ids: list[str], *, payment_method_id: str
    ) -> View:
        """Request the return of delivered items; their money follows the goods.

        Raises:
            OrderError: unknown order, not delivered, an item not in it, more than is
                left to refund, or a method that neither paid nor is a gift card.

        """
        with self._change() as db:
            changes.request_return(
                db, order_id, item_ids=item_ids, payment_method_id=payment_method_id
            )
            return records.order_view(db, order_id)

    def exchange_delivered_order_items(
        self,
        order_id: str,
        item_ids: list[str],
        *,
        new_item_ids: list[str],
        payment_method_id: str,
    ) -> View:
        """Request other variants for delivered items; money follows the goods.

        Raises:
            OrderError: unknown order, not delivered, an item that is not in it, a
                replacement that is unavailable or of another product, or a method
                that is unknown or does not cover the difference.

        """
        with self._change() as db:
            changes.request_exchange(
                db,
                order_id,
                item_ids=item_ids,
                new_item_ids=new_item_ids,
                payment_method_id=payment_method_id,
            )
            return records.order_view(db, order_id)

    def refund_order(self, order_id: str, amount: str, *, reason: str) -> View:
        """Give back *amount* dollars now, to the method that paid first, then the next.

        Raises:
            OrderError: unknown order, no reason, no plain amount above zero, or more
                than what was paid and not refunded.

        """
        with self._change() as db:
            changes.refund(db, order_id, amount=amount, reason=reason)
            return records.order_view(db, order_id)

    def modify_user_address(
        self,
        user_id: str,
        address1: str,
        *,
        address2: str,
        city: str,
        state: str,
        country: str,
        zip: str,  # noqa: A002
    ) -> View:
        """Give a customer another, complete address, or raise OrderError."""
        place = Address(address1, address2, city, state, country, zip)
        with self._change() as db:
            changes.move_customer(db, user_id, to=place)
            return records.customer_view(db, user_id)

    def undo_user_address(self, user_id: str) -> View:
        """Restore the address before the last change, or raise OrderError."""
        with self._change() as db:
            changes.move_back(db, user_id)
            return records.customer_view(db, user_id)

    def transfer_to_human_agents(self, summary: str) -> str:
        """Leave *summary* for a human colleague; beyond 4000 characters: OrderError."""
        with self._change() as db:
            traces.hand_over(db, summary)
        return "Transfer successful"

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Run *tool*, one of `TOOLS`, with *arguments* and return what it returns.

        Raises:
            OrderError: an unknown tool, wrong names of arguments, or a refusal.

        """
        return getattr(self, calls.check(TOOLS, tool, arguments=arguments))(**arguments)

    def draft(self, tool: str, arguments: Mapping[str, Any]) -> int:
        """Keep a call that was prepared but not made, and return the draft's number.

        Raises:
            OrderError: an unknown tool, or arguments with wrong names or not JSON.

        """
        known = calls.check(TOOLS, tool, arguments=arguments)
        with self._change() as db:
            return traces.keep_draft(db, known, arguments=arguments)

    def drafts(self) -> list[View]:
        """Return all drafts, oldest first: number, tool and arguments."""
        with self._read() as db:
            return traces.drafts(db)

    def handovers(self) -> list[str]:
        """Return what was left for human colleagues, oldest first."""
        with self._read() as db:
            return traces.handovers(db)

    def amount_of(self, tool: str, arguments: Mapping[str, Any]) -> Decimal | None:
        """Return the dollars that a call would move, or None if it cannot move any.

        Returns and refunds: what goes back; a cancellation or another payment method:
            what was paid; replaced items: the price difference, without its sign.

        Raises:
            OrderError: an unknown tool, order or item, or no plain amount.

        """
        known = calls.check(TOOLS, tool, arguments=arguments)
        with self._read() as db:
            moved = calls.amount(db, known, arguments=arguments)
        return None if moved is None else Decimal(moved).scaleb(-2)

    def records_of(self, tool: str, arguments: Mapping[str, Any]) -> int:
        """Count the order lines or records a call touches, or raise OrderError."""
        known = calls.check(TOOLS, tool, arguments=arguments)
        with self._read() as db:
            return calls.touched(db, known, arguments=arguments)


TOOLS: Mapping[str, frozenset[str]] = {
    tool.__name__: frozenset(inspect.signature(tool).parameters) - {"self"}
    for tool in (
        OrderStore.find_user_id_by_name_zip,
        OrderStore.find_user_id_by_email,
        OrderStore.get_user_details,
        OrderStore.get_order_details,
        OrderStore.get_product_details,
        OrderStore.get_item_details,
        OrderStore.calculate,
        OrderStore.cancel_pending_order,
        OrderStore.modify_pending_order_address,
        OrderStore.modify_pending_order_payment,
        OrderStore.modify_pending_order_items,
        OrderStore.return_delivered_order_items,
        OrderStore.exchange_delivered_order_items,
        OrderStore.refund_order,
        OrderStore.modify_user_address,
        OrderStore.transfer_to_human_agents,
    )
}
"""Every tool by name, with the names of its arguments; all of them are required."""
