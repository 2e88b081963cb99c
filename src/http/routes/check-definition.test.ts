import { describe, expect, it } from 'vitest'
import { decodeBody } from '../body/decode.ts'
import { checkRegistrationSchema } from '../body/schemas.ts'
import { checkDefinition } from './registration.ts'

const of = (fields: object) =>
  checkDefinition(
    decodeBody(checkRegistrationSchema, new TextEncoder().encode(JSON.stringify({ Name: 'c', ...fields }))),
  )
const every = { Interval: '10s' }

describe('a check is of the kind that its fields say', () => {
  it.each([
    [{ ...every, UDP: '[::1]:53' }, 'udp', { udp: { host: '::1', port: 53 } }],
    [
      { ...every, TCP: ':80', TCPUseTLS: true, TLSServerName: 'a' },
      'tcp',
      { tcp: { host: '', port: 80, tls: { skipVerify: false, serverName: 'a' } } },
    ],
    [{ ...every, GRPC: '127.0.0.1:1' }, 'grpc', { grpc: { host: '127.0.0.1', port: 1, service: '' } }],
    [
      { ...every, GRPC: 'h:1/a.b/c', GRPCUseTLS: true, TLSSkipVerify: true },
      'grpc',
      { grpc: { host: 'h', port: 1, service: 'a.b/c', tls: { skipVerify: true, serverName: '' } } },
    ],
    [
      { ...every, H2PING: 'h:1' },
      'h2ping',
      { h2ping: { host: 'h', port: 1, tls: { skipVerify: false, serverName: '' } } },
    ],
    [{ ...every, H2PING: 'h:1', H2PingUseTLS: false }, 'h2ping', { h2ping: { host: 'h', port: 1 } }],
    [{ ...every, ScriptArgs: ['/bin/a', '-x'] }, 'script', { script: { args: ['/bin/a', '-x'] }, timeoutMs: 30_000 }],
    [
      { ...every, DockerContainerID: 'web_1', Args: ['a'], Shell: '/bin/sh', Timeout: '5s' },
      'docker',
      { docker: { containerId: 'web_1', args: ['a'] }, timeoutMs: 5_000 },
    ],
    [{ ...every, OSService: 'nginx@1.service' }, 'os_service', { osService: { name: 'nginx@1.service' } }],
    [{ AliasService: 'web' }, 'alias', { alias: { node: '', serviceId: 'web' } }],
    [{ AliasNode: 'n1' }, 'alias', { alias: { node: 'n1', serviceId: '' } }],
    [
      { ...every, HTTP: 'http://h/', DisableRedirects: true },
      'http',
      { http: { url: 'http://h/', disableRedirects: true } },
    ],
    [
      { ...every, TCP: 'h:1', SuccessBeforePassing: 2, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3 },
      'tcp',
      { successBeforePassing: 2, failuresBeforeWarning: 2, failuresBeforeCritical: 3 },
    ],
  ])('%j', (fields, type, expected) => {
    expect(of(fields)).toMatchObject({ type, ...expected })
  })
})

describe('what cannot be is refused, naming the field', () => {
  it.each([
    [{ UDP: 'h:1' }, 'Interval must be > 0 for Script, HTTP, H2PING, or TCP checks'],
    [{ ...every, UDP: 'h' }, 'UDP: "h" is no host:port'],
    [{ ...every, GRPC: 'h/a' }, 'GRPC: "h" is no host:port'],
    [{ ...every, H2PING: 'http://h:1' }, 'H2PING: "http://h:1" is no host:port'],
    [{ ...every, TCP: 'h:70000' }, 'TCP: "h:70000" is no host:port'],
    [{ ...every, HTTP: 'ftp://h' }, 'HTTP: "ftp://h" is no URL of http or https'],
    [{ ...every, DockerContainerID: '../x', Args: ['a'] }, 'DockerContainerID: "../x" is no name or id of a container'],
    [{ ...every, DockerContainerID: 'x' }, 'Args: a Docker check needs the program to run in the container'],
    [{ ...every, Args: [''] }, 'Args: the first one is the program to run, and is empty'],
    [{ ...every, Args: ['a', 'b\0'] }, 'Args: a zero byte cannot be passed to a program'],
    [{ ...every, OSService: '-H evil' }, 'OSService: "-H evil" is no name of a systemd unit'],
    [{ ...every, AliasService: 'web' }, 'Interval cannot be set for Alias checks'],
    [{ TTL: '1s', AliasService: 'web' }, 'TTL must be not be set for Alias checks'],
    [{ ...every, TTL: '1s', TCP: 'h:1' }, 'Interval and TTL cannot both be specified'],
    [{ ...every, TCP: 'h:1', UDP: 'h:1' }, 'TCP and UDP cannot both be specified'],
    [{ ...every, TCP: 'h:1', OutputMaxSize: -1 }, 'MaxOutputMaxSize must be positive'],
    [
      { ...every, TCP: 'h:1', FailuresBeforeWarning: 2 },
      "FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
    ],
    [{}, 'TTL must be > 0 for TTL checks'],
  ])('%j', (fields, text) => {
    expect(() => of(fields)).toThrow(`Invalid check: ${text}`)
  })
})
