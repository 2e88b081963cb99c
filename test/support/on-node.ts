const { bun, deno } = process.versions as Record<string, string | undefined>

/**
 * Whether the tests themselves run on Node. What starts the same processes whichever runtime the tests run on (a mesh of
 * nodes on all three, the README's commands) is run there alone.
 */
export const onNode = bun === undefined && deno === undefined
