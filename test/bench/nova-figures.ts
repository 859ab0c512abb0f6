/**
 * What Nova 26 with MariaDB, RabbitMQ, Keystone and Placement took on the same kind of machine (2 cores), with its fake
 * driver. Milliseconds, and answers in a second; absent where it was not measured.
 */
export type Nova = { p50?: number; rate?: number };

export const NOVA = {
  /** GET /servers/detail of 100 servers. */
  list: { p50: 190, rate: 8 },
  show: { p50: 45, rate: 43 },
  create: { p50: 59 },
  /** From POST to ACTIVE. */
  active: { p50: 610, rate: 1.8 },
  console: { p50: 33, rate: 50 },
  /** Of its scheduler with Placement, in a fleet of fake hosts. */
  decisions: [
    { hosts: 3, p50: 64 },
    { hosts: 303, p50: 183 },
    { hosts: 1_000, p50: 489 },
  ],
  idleMib: 2.8 * 1024,
  processes: 38,
  coldStartMs: 34_000,
} as const satisfies Record<string, Nova | number | readonly { hosts: number; p50: number }[]>;
