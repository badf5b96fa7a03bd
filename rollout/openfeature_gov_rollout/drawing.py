"""Drawings of the report, as inline SVG: a timeline, bars, gauges. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from openfeature_gov_rollout.decided import Decided

WIDTH, HEIGHT, LANE = 960, 120, 34
EFFECTS = ("allow", "constrain", "queue_for_approval", "fallback", "deny")
"""Effects from the bottom of a bar to its top."""
STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--dim:#667085;--line:#d8dde6;--paper:#fff;
--soft:#f5f7fa;--good:#1a7f4b;--warn:#9a6400;--bad:#b42318;--calm:#175cd3}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#98a2b3;--line:#344054;
--paper:#12161d;--soft:#1b212b;--good:#4cc38a;--warn:#f0b429;--bad:#ff8a7a;--calm:#84adff}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:1040px;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .3rem}
h3{font-size:.85rem;text-transform:uppercase;letter-spacing:.05em;color:var(--dim);
margin:1.6rem 0 .4rem}
.dim,small,dt{color:var(--dim)}
section{border-top:1px solid var(--line);margin-top:1.6rem}
dl{display:grid;grid-template-columns:max-content 1fr max-content 1fr;gap:.15rem 1rem}
dd{margin:0;overflow-wrap:anywhere}
.tag{font-size:.75rem;font-weight:600;padding:.1rem .5rem;border-radius:1rem;
border:1px solid currentColor;white-space:nowrap}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.calm{color:var(--calm)}
.blocks{background:var(--soft);border-left:3px solid var(--warn);margin:.8rem 0;
padding:.5rem .8rem .5rem 2rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.85rem}
th{text-align:left;color:var(--dim);font-weight:500}
th,td{padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
tr.now td{background:var(--soft);font-weight:600}tr.ahead td{color:var(--dim)}
.num{font-variant-numeric:tabular-nums;white-space:nowrap}
.mode{white-space:nowrap;border-left:.8rem solid;padding-left:.4rem}
svg{display:block;width:100%;height:auto}svg text{font:12px system-ui,sans-serif}
.gauge{width:170px}
.m0{border-color:#98a2b3;fill:#98a2b3}.m1{border-color:#7a8ca6;fill:#7a8ca6}
.m2{border-color:#5b8def;fill:#5b8def}.m3{border-color:#3f6fd8;fill:#3f6fd8}
.m4{border-color:#2f9e8f;fill:#2f9e8f}.m5{border-color:#c98a1b;fill:#c98a1b}
.m6{border-color:#b8452f;fill:#b8452f}
.allow{fill:#2f9e6e;background:#2f9e6e}.constrain{fill:#d9a514;background:#d9a514}
.queue_for_approval{fill:#4a8de0;background:#4a8de0}
.fallback{fill:#9a67d6;background:#9a67d6}.deny{fill:#cf4436;background:#cf4436}
.legend span{margin-right:1.2rem;white-space:nowrap}
.legend i{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;
border-radius:2px;vertical-align:-1px}
.axis{display:flex;justify-content:space-between;color:var(--dim);font-size:.8rem;
margin:.2rem 0}
"""


def timeline(spans: Sequence[tuple[str, int, int, int]], start: int, width: int) -> str:
    """Return stages as blocks over time: name, rung, from when, until when."""
    if not spans:
        return "<p class=dim>No stage was entered yet.</p>"
    parts = []
    for name, rung, since, until in spans:
        x = WIDTH * (since - start) / width
        wide = max(WIDTH * (until - since) / width, 2.0)
        # A name that has no room in its block is in the tooltip and the table below.
        label = ""
        if wide > 8 * len(name):
            label = f"<text x={x + 6:.1f} y=22 fill=#fff>{escape(name)}</text>"
        parts.append(
            f"<g><title>{escape(name)}</title>"
            f"<rect class=m{rung} x={x:.1f} y=2 width={wide:.1f} height={LANE - 4} "
            f"rx=3 stroke=var(--paper)></rect>{label}</g>"
        )
    drawn = "".join(parts)
    return f"<svg viewBox='0 0 {WIDTH} {LANE}' role=img>{drawn}</svg>"


def bars(counted: Decided) -> str:
    """Return decisions over time as stacked bars, one colour an effect."""
    most = max((sum(bar.values()) for bar in counted.bars), default=0)
    if not most:
        return "<p class=dim>No decision was recorded in this time.</p>"
    wide = WIDTH / len(counted.bars)
    parts = []
    for number, bar in enumerate(counted.bars):
        y = float(HEIGHT)
        for effect in (*EFFECTS, *sorted(bar.keys() - {*EFFECTS})):
            high = HEIGHT * bar.get(effect, 0) / most
            if not high:
                continue
            y -= high
            parts.append(
                f"<rect class='{escape(effect)}' x={number * wide + 1:.1f} y={y:.1f} "
                f"width={wide - 2:.1f} height={high:.1f}>"
                f"<title>{escape(effect)}: {bar[effect]}</title></rect>"
            )
    drawn = "".join(parts)
    return f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img>{drawn}</svg>"


def legend(effects: Mapping[str, int]) -> str:
    """Return the colours with the count of each effect."""
    items = "".join(
        f"<span><i class='{escape(effect)}'></i>{escape(effect)} {number}</span>"
        for effect, number in effects.items()
    )
    return f"<p class=legend>{items}</p>"


def gauge(gate: Mapping[str, Any]) -> str:
    """Return value, bound and target of a gate on a line from 0 to 1."""
    marks = [
        (gate["target"], "stroke=var(--ink) stroke-width=2 stroke-dasharray=2", 3),
        (gate["bound"], "stroke=var(--calm) stroke-width=3", 5),
    ]
    drawn = "<line x1=0 x2=160 y1=12 y2=12 stroke=var(--line) stroke-width=4></line>"
    for text, stroke, top in marks:
        if text is not None:
            x = 160 * float(text)
            drawn += (
                f"<line x1={x:.1f} x2={x:.1f} y1={top} y2={24 - top} {stroke}></line>"
            )
    if gate["value"] is not None:
        x = 160 * float(gate["value"])
        drawn += f"<circle cx={x:.1f} cy=12 r=4 fill=var(--ink)></circle>"
    told = ", ".join(
        f"{name} {float(gate[name]) * 100:.4g} %"
        for name in ("value", "bound", "target")
        if gate[name] is not None
    )
    return (
        f"<svg class=gauge viewBox='-6 0 172 24' role=img><title>{told}</title>"
        f"{drawn}</svg><small>{told}</small>"
    )
