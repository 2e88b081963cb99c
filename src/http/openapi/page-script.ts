/** Runs in the browser, as the text of this one function: it may use nothing from outside of itself. */
export function showApi(): void {
  interface Schema {
    readonly $ref?: string
    readonly type?: string | readonly string[]
    readonly format?: string
    readonly enum?: readonly unknown[]
    readonly examples?: readonly unknown[]
    readonly description?: string
    readonly properties?: Readonly<Record<string, Schema>>
    readonly items?: Schema
    readonly additionalProperties?: Schema | boolean
    readonly anyOf?: readonly Schema[]
  }
  interface Parameter {
    readonly name: string
    readonly in: 'path' | 'query'
    readonly description?: string
    readonly required?: boolean
    readonly allowEmptyValue?: boolean
    readonly schema: Schema
  }
  interface Answer {
    readonly $ref?: string
    readonly description?: string
    readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>
  }
  interface Operation {
    readonly summary: string
    readonly tags: readonly string[]
    readonly parameters: readonly Parameter[]
    readonly requestBody?: Answer
    readonly responses: Readonly<Record<string, Answer>>
  }
  interface Api {
    readonly info: { readonly description: string; readonly version: string }
    readonly tags: readonly { readonly name: string; readonly description: string }[]
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
    readonly components: {
      readonly schemas: Readonly<Record<string, Schema>>
      readonly responses: Readonly<Record<string, Answer>>
    }
  }

  const main = document.getElementById('main')!
  const search = document.getElementById('search') as HTMLInputElement
  const token = document.getElementById('token') as HTMLInputElement
  let api: Api

  /** Text is only ever set as text. */
  function make<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Readonly<Record<string, string>> = {},
    ...children: readonly (Node | string)[]
  ): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    element.append(...children)
    return element
  }

  /** Words with `code` in them. */
  const prose = (text: string): (Node | string)[] =>
    text.split('`').map((part, i) => (i % 2 === 1 ? make('code', {}, part) : part))

  const nameOf = (ref: string): string => ref.split('/').at(-1)!

  function written(schema: Schema | undefined, depth = 0): string {
    if (!schema) return 'anything'
    if (schema.$ref) {
      const name = nameOf(schema.$ref)
      return depth > 3 ? name : written(api.components.schemas[name], depth)
    }
    const pad = '  '.repeat(depth + 1)
    if (schema.anyOf) return schema.anyOf.map((one) => written(one, depth)).join(' or ')
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ')
    if (schema.items) return `[ ${written(schema.items, depth)} ]`
    if (schema.properties) {
      const lines = Object.entries(schema.properties).map(([name, field]) => {
        const note = field.description ? `  // ${field.description}` : ''
        return `${pad}${name}: ${written(field, depth + 1)}${note}`
      })
      return `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`
    }
    if (typeof schema.additionalProperties === 'object') {
      return `{ name: ${written(schema.additionalProperties, depth)} }`
    }
    const type = Array.isArray(schema.type) ? schema.type.join(' or ') : String(schema.type ?? 'anything')
    return schema.format ? `${type} (${schema.format})` : type
  }

  type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement

  function inputOf({ name, schema, allowEmptyValue }: Parameter): Input {
    if (allowEmptyValue) {
      const box = make('input', { type: 'checkbox', 'aria-label': name, style: 'justify-self:start' })
      // Not parsed and written anew here: that would round numbers of 64 bits.
      box.checked = name === 'pretty'
      return box
    }
    if (schema.type === 'array') {
      return make('textarea', { 'aria-label': name, rows: '1', placeholder: 'one per line', class: 'several' })
    }
    const choices = schema.enum ?? (schema.type === 'boolean' ? [true, false] : undefined)
    if (choices) {
      const options = ['', ...choices].map((value) => make('option', {}, String(value)))
      return make('select', { 'aria-label': name }, ...options)
    }
    return make('input', { 'aria-label': name, placeholder: String(schema.examples?.[0] ?? schema.type ?? '') })
  }

  /** Nothing where it was left empty; '' for a flag. */
  function given(input: Input): string[] {
    if (input instanceof HTMLInputElement && input.type === 'checkbox') return input.checked ? [''] : []
    const values = input instanceof HTMLTextAreaElement ? input.value.split('\n') : [input.value]
    return values.filter((value) => value !== '')
  }

  function targetOf(path: string, fields: ReadonlyMap<Parameter, Input>): string {
    let target = path
    const query: string[] = []
    for (const [{ name, in: place }, input] of fields) {
      const values = given(input)
      if (place === 'path') {
        const parts = (values[0] ?? '').split('/').map(encodeURIComponent)
        target = target.replace(`{${name}}`, () => parts.join('/'))
      } else query.push(...values.map((value) => (value === '' ? name : `${name}=${encodeURIComponent(value)}`)))
    }
    return query.length === 0 ? target : `${target}?${query.join('&')}`
  }

  /** The longest that a read waits, and a little; whoever has waited long enough stops it. */
  const DEADLINE_MS = 660_000

  async function tryIt(
    method: string,
    target: string,
    body: string | undefined,
    shown: HTMLElement,
    stop: AbortSignal,
  ): Promise<void> {
    shown.textContent = `${method} ${target}\n...`
    try {
      const headers: Record<string, string> = token.value === '' ? {} : { 'X-Consul-Token': token.value }
      const hasBody = body !== undefined && (method === 'PUT' || method === 'POST')
      const signal = AbortSignal.any([stop, AbortSignal.timeout(DEADLINE_MS)])
      const answer = await fetch(target, { method, headers, signal, ...(hasBody && { body }) })
      const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`)
      shown.textContent = `${method} ${target}\n${answer.status} ${answer.statusText}\n${lines.join('\n')}\n\n`
      const reader = answer.body?.getReader()
      const decoder = new TextDecoder()
      for (let length = 0; reader; ) {
        const { done, value } = await reader.read()
        if (done) break
        length += value.length
        shown.append(decoder.decode(value, { stream: true }))
        if (length < 200_000) continue
        shown.append('\n... and more')
        break
      }
      await reader?.cancel()
    } catch (error) {
      shown.append(stop.aborted ? '\nstopped' : `\n${error}`)
    }
  }

  function answersOf(operation: Operation): HTMLElement[] {
    return Object.entries(operation.responses).map(([status, answer]) => {
      const full = answer.$ref ? api.components.responses[nameOf(answer.$ref)]! : answer
      const line = make('p', {}, make('code', {}, status), ' ', ...prose(full.description ?? ''))
      if (answer.$ref) {
        line.className = 'soft'
        return line
      }
      const bodies = Object.entries(full.content ?? {}).map(([type, { schema }]) =>
        make('pre', {}, `${type}\n${written(schema)}`),
      )
      return make('div', {}, line, ...bodies)
    })
  }

  /** Tries it, and while that lasts stops it. */
  function tryButton(
    method: string,
    path: string,
    fields: ReadonlyMap<Parameter, Input>,
    body: HTMLTextAreaElement | undefined,
    shown: HTMLElement,
  ): HTMLButtonElement {
    const button = make('button', { type: 'button' }, `Try ${method}`)
    let running: AbortController | undefined
    button.addEventListener('click', () => {
      if (running) {
        running.abort()
        return
      }
      shown.hidden = false
      // A key or a prefix may be empty; of other paths the node says what is missing.
      const missing = [...fields].find(
        ([{ required, in: place }, input]) => required && place === 'query' && given(input).length === 0,
      )
      if (missing) {
        shown.textContent = `${missing[0].name}: give a value`
        missing[1].focus()
        return
      }
      running = new AbortController()
      button.textContent = 'Stop'
      void tryIt(method, targetOf(path, fields), body?.value, shown, running.signal).then(() => {
        running = undefined
        button.textContent = `Try ${method}`
      })
    })
    return button
  }

  function contentOf(path: string, method: string, operation: Operation): HTMLElement {
    const fields = new Map(operation.parameters.map((parameter) => [parameter, inputOf(parameter)] as const))
    const rows = [...fields].map(([{ name, description = '', required }, input]) =>
      make(
        'div',
        { class: 'row' },
        make('code', required ? { class: 'required' } : {}, name),
        input,
        make('span', { class: 'soft' }, ...prose(description)),
      ),
    )
    const body =
      operation.requestBody && make('textarea', { class: 'body-text', 'aria-label': 'Body', spellcheck: 'false' })
    const schemas = Object.values(operation.requestBody?.content ?? {}).map(({ schema }) => written(schema))
    const shown = make('pre', { hidden: '', class: 'result', 'aria-live': 'polite' })
    const button = tryButton(method, path, fields, body, shown)
    return make(
      'div',
      { class: 'body' },
      ...rows,
      ...(body ? [make('h3', {}, 'Body'), make('pre', {}, schemas.join('\n')), body] : []),
      make('p', {}, button),
      shown,
      make('h3', {}, 'Answers'),
      ...answersOf(operation),
    )
  }

  interface Entry {
    readonly element: HTMLDetailsElement
    readonly words: string
    readonly section: HTMLElement
  }

  function entryOf(path: string, method: string, operation: Operation, section: HTMLElement): Entry {
    const element = make('details')
    element.append(
      make(
        'summary',
        {},
        make('span', { class: `method ${method}` }, method),
        make('code', {}, path),
        make('span', { class: 'soft' }, ...prose(operation.summary)),
      ),
    )
    // Made when it is opened first: there are many.
    element.addEventListener('toggle', () => {
      if (element.open && element.children.length === 1) element.append(contentOf(path, method, operation))
    })
    section.append(element)
    const names = operation.parameters.map(({ name }) => name)
    return { element, section, words: [method, path, operation.summary, ...names].join(' ').toLowerCase() }
  }

  function show(): void {
    const paragraphs = api.info.description.split('\n\n').map((text) => make('p', { class: 'soft' }, ...prose(text)))
    main.replaceChildren(...paragraphs)
    const entries: Entry[] = []
    for (const { name, description } of api.tags) {
      const section = make('section', {}, make('h2', {}, name), make('p', { class: 'soft' }, description))
      main.append(section)
      for (const [path, methods] of Object.entries(api.paths)) {
        for (const [method, operation] of Object.entries(methods)) {
          if (operation.tags[0] === name) entries.push(entryOf(path, method.toUpperCase(), operation, section))
        }
      }
    }
    const filter = (): void => {
      const words = search.value.toLowerCase().split(/\s+/)
      const sections = new Map<HTMLElement, boolean>()
      for (const { element, words: text, section } of entries) {
        const isFound = words.every((word) => text.includes(word))
        element.hidden = !isFound
        sections.set(section, (sections.get(section) ?? false) || isFound)
      }
      for (const [section, isFound] of sections) section.hidden = !isFound
    }
    search.addEventListener('input', filter)
    if (location.hash.length > 1) search.value = decodeURIComponent(location.hash.slice(1))
    filter()
    const first = entries.filter(({ element }) => !element.hidden)
    if (first.length === 1) first[0]!.element.open = true
  }

  fetch('/v1/openapi.json')
    .then((answer) => answer.json())
    .then((found) => {
      api = found as Api
      show()
    })
    .catch((error) => main.replaceChildren(`The document cannot be read: ${error}`))
}
