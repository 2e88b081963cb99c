/** What a peer with a valid certificate can do to another, as fast as it can. Each runs until it is stopped. */
import type { FrameStream, Host } from '../../../src/federation/host.ts'
import { seal } from '../../../src/federation/protocol/head.ts'
import { encodeHello } from '../../../src/federation/protocol/hello.ts'
import type { BeaconMessage, DeltaMessage, Head } from '../../../src/federation/protocol/messages.ts'
import { encodeFrame, TAIL_PROTOCOL } from '../../../src/federation/protocol/tail.ts'

export interface Attack {
  readonly host: Host
  readonly victim: string
  /** False ends it. */
  readonly goesOn: () => boolean
  /** How much was done, by what. */
  readonly done: Map<string, number>
}

/** Gives sockets their turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const count = ({ done }: Attack, what: string): void => void done.set(what, (done.get(what) ?? 0) + 1)

/** Beacons and deltas, each signed and newer than the last; entries come and change, and no digest agrees. */
export async function gossip(attack: Attack): Promise<void> {
  const { host } = attack
  const { datacenter, datacenterId } = host.self
  const about = { datacenter, datacenterId }
  const value = new Uint8Array(300)
  for (let sequence = 1; attack.goesOn(); sequence++) {
    const head: Head = {
      ...about,
      epoch: { generation: 0, random: '00000000000000aa' },
      revision: 10 * sequence,
      lastExported: 10 * sequence,
      digest: host.sign(Buffer.from(String(sequence))).subarray(0, 32),
      boot: 1,
      sequence,
    }
    const changes = Array.from({ length: 10 }, (_, i) => ({
      key: `e/s/n/${(sequence * 10 + i) % 5000}`,
      value,
      createRevision: 1,
      modRevision: 10 * (sequence - 1) + i + 1,
    }))
    const beacon: BeaconMessage = {
      type: 'beacon',
      ...about,
      head,
      addresses: [`/ip4/127.0.0.1/tcp/${1 + (sequence % 60_000)}`],
      suspects: [],
    }
    const delta: DeltaMessage = { type: 'delta', ...about, head, from: 10 * (sequence - 1), changes }
    host.publish(seal(host, sequence % 3 === 0 ? beacon : delta))
    count(attack, 'gossip messages')
    await turn()
  }
}

/** Questions with large answers, greetings, and calls that nobody knows, many at a time. */
export async function calls(attack: Attack, atOnce = 500): Promise<void> {
  const { host, victim } = attack
  const ask = {
    question: { kind: 'service', service: 'large', passing: false, tags: [] },
    options: { principal: { token: '' }, consistency: 'default' },
    hops: 1,
  }
  const hello = encodeHello({ positions: [], records: [], proof: null })
  const one = async (n: number): Promise<void> => {
    while (attack.goesOn()) {
      const [method, payload] = n % 10 === 0 ? ['mesh.hello', hello] : n % 10 === 1 ? ['no.such', n] : ['mesh.ask', ask]
      await host.call(victim, method as string, payload, { deadlineMs: 5000 }).catch(turn)
      count(attack, 'calls')
    }
  }
  await Promise.all(Array.from({ length: atOnce }, (_, n) => one(n)))
}

/** Streams, each of which asks for everything over and over, and does not wait for the answer. */
export async function tails(attack: Attack, streams = 64): Promise<void> {
  const { host, victim } = attack
  const one = async (): Promise<void> => {
    while (attack.goesOn()) {
      try {
        const stream = await host.openStream(victim, TAIL_PROTOCOL, { deadlineMs: 5000 })
        count(attack, 'tails')
        await Promise.race([askWithoutEnd(attack, stream), read(stream)])
        stream.abort(new Error('enough'))
      } catch {
        await turn()
      }
    }
  }
  await Promise.all(Array.from({ length: streams }, one))
}

export function snapshotAsk(datacenter: string, attempt: number): Uint8Array {
  const epoch = { generation: 0, random: '' }
  const ask = { type: 'ask', attempt, datacenter, epoch, since: 0, mode: 'snapshot', buckets: null } as const
  return encodeFrame({ ...ask, resumeId: '', resumeFrame: 0 })
}

async function askWithoutEnd(attack: Attack, stream: FrameStream): Promise<void> {
  for (let attempt = 1; attack.goesOn(); attempt++) {
    await stream.send(snapshotAsk('eu-1', attempt))
    count(attack, 'snapshots asked')
    await turn()
  }
}

async function read(stream: FrameStream): Promise<void> {
  for await (const _ of stream.frames());
}
