"""Pages from templates. Everything printed into one shows what could hide or act."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from openfeature_gov.approvals.showing import visible
from openfeature_gov.server import cards

ESCAPE = re.compile(r'\\(?:\\|"|[nrt]|u[0-9a-f]{4}|U[0-9a-f]{8})')
"""What `visible` writes for a character that it does not show as itself."""
PLAIN = re.compile(r"[ -\[\]-~]*")
"""ASCII that is printable, without the backslash."""


def printed(value: Any) -> Markup:
    """Return *value* as HTML with every escape marked; markup of ours stays as it is.

    Jinja passes everything that a template prints through here.
    """
    if isinstance(value, Markup):
        return value
    text = str(value)
    # Most of a long list is plain, and nothing of that is shown otherwise.
    return escape(text) if PLAIN.fullmatch(text) else marked(visible(text))


def quoted(value: str) -> Markup:
    """Return a string of the arguments as it stands in quotes."""
    return marked(f'"{visible(value, quoted=True)}"')


def marked(text: str) -> Markup:
    """Return escaped *text* as HTML, with each escape in a ``mark``."""
    parts, at = [], 0
    for found in ESCAPE.finditer(text):
        parts += [escape(text[at : found.start()])]
        parts += [Markup("<mark>{}</mark>").format(found[0])]
        at = found.end()
    return Markup().join([*parts, escape(text[at:])])


def _plain(value: str) -> Markup:
    """Return *value* for an attribute, where no element can stand."""
    return escape(visible(value))


PAGES = Environment(
    loader=PackageLoader("openfeature_gov.server"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=printed,
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters.update(
    quoted=quoted, marked=marked, plain=_plain, brief=cards.brief, span=cards.span
)
PAGES.globals.update(risk=cards.risk, harm=cards.harm, amount=cards.amount)


def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return the page that the template *name* makes of *values*."""
    text = PAGES.get_template(f"{name}.html").render(**values)
    return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)
