/** `/v1/openapi.json`: this API, described; and `/v1/openapi`: a page to read it and to try it. */
import * as z from 'zod'
import { respond } from '../answer.ts'
import { type DescribedAnswer, shows, streams } from '../described.ts'
import { utf8 } from '../json.ts'
import { openApiDocument } from '../openapi/document.ts'
import { page } from '../openapi/page.ts'
import type { Route } from '../route.ts'

const document: DescribedAnswer = shows('The document, of OpenAPI 3.1', z.record(z.string(), z.unknown()))

/** Nothing but the page itself may run in it, and it speaks to this node alone. */
const PAGE_HEADERS = {
  'Content-Type': 'text/html; charset=utf-8',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
}

/** `routes` is asked when the document is first: its own route is among them. */
export function openApiRoutes(routes: () => readonly Route[]): Route[] {
  let made: { readonly version: string; readonly bytes: Uint8Array<ArrayBuffer> } | undefined
  return [
    {
      method: 'GET',
      path: '/v1/openapi.json',
      summary: 'This API, as a document of OpenAPI 3.1',
      answers: { 200: document },
      handle(_call, { version }) {
        if (made?.version !== version) {
          made = { version, bytes: utf8(JSON.stringify(openApiDocument(routes(), { version }))) }
        }
        return respond({ status: 200, bytes: made.bytes, headers: { 'Content-Type': 'application/json' } })
      },
    },
    {
      method: 'GET',
      path: '/v1/openapi',
      summary: 'This API, as a page to read, search and try',
      answers: { 200: streams('The page', 'text/html') },
      handle: () => respond({ status: 200, bytes: utf8(page()), headers: PAGE_HEADERS }),
    },
  ]
}
