import type { Disk } from '../../runtime/ports.ts'

/** Files in memory, with a switch to let writes fail. */
export class MemoryDisk implements Disk {
  readonly files = new Map<string, Uint8Array>()
  writes = 0
  failWith: Error | undefined

  makeDirectory(): Promise<void> {
    return Promise.resolve()
  }

  read(path: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.files.get(path))
  }

  async writeAtomic(path: string, data: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = []
    if (data instanceof Uint8Array) await Promise.resolve()
    else for await (const part of data) parts.push(part)
    if (this.failWith) throw this.failWith
    this.writes++
    this.files.set(path, data instanceof Uint8Array ? data : Buffer.concat(parts))
  }

  list(path: string): Promise<string[]> {
    const prefix = `${path}/`
    return Promise.resolve(
      [...this.files.keys()]
        .filter((p) => p.startsWith(prefix))
        .map((p) => p.slice(prefix.length))
        .sort(),
    )
  }

  removeTemporary(): Promise<void> {
    return Promise.resolve()
  }

  remove(path: string): Promise<void> {
    this.files.delete(path)
    return Promise.resolve()
  }

  join(...parts: string[]): string {
    return parts.join('/')
  }

  text(path: string): string {
    return new TextDecoder().decode(this.files.get(path))
  }
}
