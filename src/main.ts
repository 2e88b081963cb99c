#!/usr/bin/env node
import module from 'node:module'

// Halves the start of later processes on Node; Deno has a cache of its own, and no such function.
module.enableCompileCache?.()
const { runProcess } = await import('./cli/process.ts')
await runProcess()
