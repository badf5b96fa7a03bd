"""The sum that a support agent may compute: four operations on decimals."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException, localcontext
from operator import add, mul, sub, truediv

from openfeature_gov.demo.values import OrderError, seen, text

_ALPHABET = re.compile(r"[0-9+\-*/(). ]+")
_OPERATIONS: Mapping[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
}


def calculate(expression: object) -> str:
    """Compute *expression* exactly in decimals and return it with two decimals.

    Known are + - * / and parentheses. Nothing is evaluated as a program: the text is
    parsed, and every node outside those is refused.

    Raises:
        OrderError: another character, operation or shape, more than 200 characters,
            a division by zero, or a result beyond 28 digits.

    """
    written = text(expression, "expression").strip()
    if _ALPHABET.fullmatch(written) is None:
        raise OrderError(f"expression: {seen(written)} has more than 0-9 + - * / ( ) .")
    try:
        tree = ast.parse(written, mode="eval")
        with localcontext(Context(prec=28)):
            value = _value(tree.body, written).quantize(Decimal("0.01"))
    except (SyntaxError, MemoryError, RecursionError, DecimalException) as error:
        raise OrderError(
            f"expression: {seen(written)} has no value ({type(error).__name__})"
        ) from None
    return f"{abs(value) if value.is_zero() else value:f}"


def _value(node: ast.expr, written: str) -> Decimal:
    match node:
        case ast.Constant():
            # The text, not node.value: a float has lost the last digits already.
            return Decimal(written[node.col_offset : node.end_col_offset])
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, written)
        case ast.UnaryOp(op=ast.UAdd()):
            return _value(node.operand, written)
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            operation = _OPERATIONS[type(node.op)]
            return operation(_value(node.left, written), _value(node.right, written))
    raise OrderError(f"expression: {seen(written)} has more than + - * / and numbers")
