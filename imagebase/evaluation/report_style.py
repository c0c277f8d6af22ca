"""How a report looks: on a light or dark screen, and on paper."""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #667;
  --rule: #d8dce2; --cell: 0, 114, 178; --wrong: 213, 94, 0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #14171b;
  --soft: #9aa3ad; --rule: #333a42; --cell: 86, 180, 233; --wrong: 230, 120, 40; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1.5rem; color: var(--ink);
  background: var(--paper); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-top: 1px solid var(--rule);
  padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p, li { margin: .3rem 0; } .soft, caption, figcaption { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td:first-child { font-weight: 600; white-space: nowrap; }
td small { color: var(--soft); }
.confusion { font-size: 12px; } .confusion td, .confusion th { padding: .15rem .35rem;
  border: 1px solid var(--rule); text-align: center; min-width: 2rem; }
.confusion th:first-child { text-align: right; white-space: nowrap; }
.confusion thead th { writing-mode: vertical-rl; transform: rotate(180deg);
  vertical-align: bottom; text-align: left; max-height: 9rem; }
.confusion thead th:first-child { writing-mode: initial; transform: none; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5rem; }
.charts > div { flex: 1 1 26rem; max-width: 34rem; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.guide { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 2 4; fill: none; }
.line { stroke-width: 2; fill: none; } .dot { stroke: var(--paper); stroke-width: 2; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap;
  gap: .2rem 1.2rem; }
.key { width: 28px; height: 8px; margin-right: .4rem; vertical-align: middle; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr));
  gap: 1rem; } figure { margin: 0; break-inside: avoid; } figure img { width: 100%;
  display: block; border-radius: 4px; }
figcaption { font-size: 13px; } figcaption b { color: var(--ink); }
@media print {
  body { margin: 0; max-width: none; font-size: 11px; }
  h2, h3 { break-after: avoid; }
  .wide { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
