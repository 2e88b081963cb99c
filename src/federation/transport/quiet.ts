import type { ComponentLogger, Logger } from '@libp2p/interface'

/** libp2p's log lines cost time even when nobody reads them; what matters is logged by this folder. */
const noLine = Object.assign(() => {}, {
  error: () => {},
  trace: () => {},
  enabled: false,
  newScope: (): Logger => noLine,
}) as Logger
export const quiet: ComponentLogger = { forComponent: () => noLine }
