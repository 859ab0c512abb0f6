/** What several agent tests need: waiting for a state, a place on disk, a log that can be read, and calls. */

import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { Calls, type CallsOptions } from "../../agent/calls.ts";
import { signerOf } from "../../agent/identity.ts";
import type { Log, LogFields } from "../../agent/log.ts";
import { noMoves } from "../../agent/move/moves.ts";
import type { CallFrame } from "../../functions/protocol/frames.ts";
import type { GuestSpec, Method } from "../../functions/protocol/methods.ts";

const WAIT_MS = 8000;

/** Waits until the condition holds; it is looked at again and again, so no moment can be missed. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "edgenova-agent-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export type LogLine = { event: string } & LogFields;
export function recordingLog(): { log: Log; lines: LogLine[]; events(): string[] } {
  const lines: LogLine[] = [];
  return {
    log: (event, fields = {}) => void lines.push({ event, ...fields }),
    lines,
    events: () => lines.map((line) => line.event),
  };
}

/** A host's key that is nobody's. */
export const SIGNER = signerOf(generateKeyPairSync("ed25519").privateKey);

export const SERVER = "11111111-1111-4111-8111-111111111111";
export const OTHER = "22222222-2222-4222-8222-222222222222";
export const SPEC: GuestSpec = {
  display_name: "one",
  instance_name: "instance-00000001",
  project_id: "p",
  vcpus: 1,
  memory_mb: 64,
  disk_gb: 1,
  ephemerals: [],
  swap_mb: 0,
  image: { id: "33333333-3333-4333-8333-333333333333", disk_format: "raw", size: 0, sha512: "0".repeat(128) },
  metadata: {},
  config_drive: null,
};

export function call(id: string, method: Method, fields: Partial<CallFrame> = {}): CallFrame {
  const params = method === "spawn" ? SPEC : {};
  return { t: "call", id, server: SERVER, generation: 1, method, params, ...fields };
}

/** For tests in which nobody asks for one. */
export const NO_SNAPSHOTS = {
  take: () => Promise.reject(new Error("no snapshot was expected")),
  upload: () => Promise.reject(new Error("no upload was expected")),
  forget: async () => undefined,
};

/** For tests in which nobody opens one. */
export const NO_CONSOLES: CallsOptions["consoles"] = {
  open: async () => undefined,
  close: () => undefined,
  share: () => undefined,
  list: () => [],
};

/** Calls as nobody but the test makes them, follows them, or opens a screen; `change` is what a test has to do with. */
export function callsOf(given: Pick<CallsOptions, "driver" | "journal" | "log"> & Partial<CallsOptions>): Calls {
  return new Calls({
    consoles: NO_CONSOLES,
    cacheImage: async () => true,
    snapshots: NO_SNAPSHOTS,
    moves: noMoves,
    maxBuilds: 10,
    progress: { during: (_call, work) => work() },
    ...given,
  });
}

/** A promise that the test settles. */
export function gate(): { open(): void; opened: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { open: () => resolve(), opened: promise };
}
