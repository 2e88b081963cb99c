/** `/v1/openapi.json`: this API, described; and `/v1/openapi`: a page to read it and to try it. */
import * as z from 'zod'
import { respond } from '../answer.ts'
import { type DescribedAnswer, shows } from '../described.ts'
import { utf8 } from '../json.ts'
import { openApiDocument } from '../openapi/document.ts'
import type { Route } from '../route.ts'

const document: DescribedAnswer = shows('The document, of OpenAPI 3.1', z.record(z.string(), z.unknown()))

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
  ]
}
