/** `/v1/openapi`: a page that shows the document. One file, without anything from elsewhere. */
import { showApi } from './page-script.ts'

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#16202a, #e4e9ee); --soft: light-dark(#5a6672, #9aa7b4);
  --line: light-dark(#d9dfe5, #2e3944); --paper: light-dark(#fff, #12181e); --tint: light-dark(#f4f6f8, #1a222a);
  --get: light-dark(#0b6bcb, #6cb2ff); --put: light-dark(#8a5a00, #f0b44c); --delete: light-dark(#b42318, #ff8a7d);
  --post: light-dark(#1a7f4b, #63d196) }
* { box-sizing: border-box }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
header { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line);
  padding: .7rem 1rem; display: flex; gap: .5rem 1rem; flex-wrap: wrap; align-items: center }
h1 { font-size: 1.1rem; margin: 0 } h2 { margin: 2rem 0 .2rem; font-size: 1.2rem } h3 { font-size: .95rem; margin: 1rem 0 .3rem }
header input { flex: 1 1 12rem; max-width: 30rem }
main { max-width: 62rem; margin: 0 auto; padding: 0 1rem 4rem }
p { margin: .3rem 0 } .soft { color: var(--soft) }
input, select, textarea, button { font: inherit; color: inherit; background: var(--tint); border: 1px solid var(--line);
  border-radius: 6px; padding: .35rem .55rem; min-width: 0 }
button { cursor: pointer; font-weight: 600 } textarea { width: 100%; font-family: ui-monospace, monospace } .body-text { min-height: 6rem }
.several { field-sizing: content; resize: vertical } a { color: var(--get) } .result { max-height: 40rem; min-height: 5rem }
details { border: 1px solid var(--line); border-radius: 8px; margin: .4rem 0 } details[open] { background: var(--tint) }
summary { cursor: pointer; padding: .5rem .7rem; display: flex; gap: .2rem .7rem; flex-wrap: wrap; align-items: baseline }
summary code { font-weight: 600; overflow-wrap: anywhere }
.body { padding: 0 .8rem .8rem }
.method { font: 700 .78rem ui-monospace, monospace; width: 3.6rem }
.GET { color: var(--get) } .PUT { color: var(--put) } .DELETE { color: var(--delete) } .POST { color: var(--post) }
code, pre { font-family: ui-monospace, monospace; font-size: .88em }
pre { margin: .3rem 0; padding: .6rem; overflow: auto; max-height: 24rem; background: var(--paper); border: 1px solid var(--line); border-radius: 6px }
.row { display: grid; grid-template-columns: minmax(7rem, 12rem) minmax(8rem, 16rem) 1fr; gap: .2rem .8rem; padding: .25rem 0; align-items: center }
.row code { overflow-wrap: anywhere } .required::after { content: ' *'; color: var(--delete) }
@media (max-width: 40rem) { .row { grid-template-columns: 1fr } .row .soft { margin-bottom: .4rem } }
`

export const page = (): string => `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Atoll: the HTTP API</title><style>${STYLE}</style>
<header><h1>Atoll HTTP API</h1><input id="search" type="search" placeholder="Search paths, words, parameters" aria-label="Search">
<input id="token" type="password" placeholder="Token, if any" aria-label="Token" autocomplete="off" style="flex:0 1 10rem">
<a href="/v1/openapi.json">openapi.json</a></header>
<main id="main"><p class="soft">Loading&hellip;</p><noscript>This page needs JavaScript; the document is at /v1/openapi.json.</noscript></main>
<script>(${showApi.toString()})()</script>
</html>
`
