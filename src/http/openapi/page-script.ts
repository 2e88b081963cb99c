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

  function inputOf({ name, schema, allowEmptyValue }: Parameter): HTMLInputElement | HTMLSelectElement {
    if (allowEmptyValue) return make('input', { type: 'checkbox', 'aria-label': name, style: 'justify-self:start' })
    const choices = schema.enum ?? (schema.type === 'boolean' ? [true, false] : undefined)
    if (choices) {
      const options = ['', ...choices].map((value) => make('option', {}, String(value)))
      return make('select', { 'aria-label': name }, ...options)
    }
    return make('input', { 'aria-label': name, placeholder: String(schema.examples?.[0] ?? schema.type ?? '') })
  }

  function given(input: HTMLInputElement | HTMLSelectElement): string | undefined {
    if (input instanceof HTMLInputElement && input.type === 'checkbox') return input.checked ? '' : undefined
    return input.value === '' ? undefined : input.value
  }

  function targetOf(path: string, fields: ReadonlyMap<Parameter, HTMLInputElement | HTMLSelectElement>): string {
    let target = path
    const query: string[] = []
    for (const [{ name, in: place }, input] of fields) {
      const value = given(input)
      if (place === 'path') {
        const parts = (value ?? '').split('/').map(encodeURIComponent)
        target = target.replace(`{${name}}`, parts.join('/'))
      } else if (value !== undefined) query.push(value === '' ? name : `${name}=${encodeURIComponent(value)}`)
    }
    return query.length === 0 ? target : `${target}?${query.join('&')}`
  }

  async function tryIt(method: string, target: string, body: string | undefined, shown: HTMLElement): Promise<void> {
    shown.textContent = `${method} ${target}\n...`
    try {
      const headers: Record<string, string> = token.value === '' ? {} : { 'X-Consul-Token': token.value }
      const hasBody = body !== undefined && (method === 'PUT' || method === 'POST')
      const answer = await fetch(target, {
        method,
        headers,
        // Streams and waiting reads end too.
        signal: AbortSignal.timeout(20_000),
        ...(hasBody && { body }),
      })
      const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`)
      const head = `${method} ${target}\n${answer.status}\n${lines.join('\n')}\n\n`
      shown.textContent = head
      const reader = answer.body?.getReader()
      const decoder = new TextDecoder()
      for (let length = 0; reader && length < 200_000; ) {
        const { done, value } = await reader.read()
        if (done) break
        length += value.length
        shown.textContent += decoder.decode(value, { stream: true })
      }
      await reader?.cancel()
    } catch (error) {
      shown.textContent += `\n${error}`
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
    const body = operation.requestBody && make('textarea', { 'aria-label': 'Body', spellcheck: 'false' })
    const schemas = Object.values(operation.requestBody?.content ?? {}).map(({ schema }) => written(schema))
    const shown = make('pre', { hidden: '' })
    const button = make('button', { type: 'button' }, `Try ${method}`)
    button.addEventListener('click', () => {
      shown.hidden = false
      void tryIt(method, targetOf(path, fields), body?.value, shown)
    })
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
