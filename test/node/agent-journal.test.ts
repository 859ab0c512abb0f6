import { statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { admit, Journal, KEEP_MS } from "../../agent/journal.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import { METHODS, type Method } from "../../functions/protocol/methods.ts";
import { call, OTHER, SERVER, SIGNER, temporaryDir } from "./agent-support.ts";

const OK: Outcome = { ok: true, value: { power_state: 1 } };

function journalIn(dir: string, now?: () => number): Journal {
  const journal = new Journal(join(dir, "journal.db"), SIGNER, now);
  onTestFinished(() => {
    try {
      journal.close();
    } catch {
      // The test closed it.
    }
  });
  return journal;
}

describe("a call", () => {
  it("keeps its outcome from the moment it is stored until it is acknowledged, across a crash", () => {
    const dir = temporaryDir();
    let journal = journalIn(dir);
    expect(journal.begin(call("a", "spawn"))).toBe("started");
    expect(journal.outcome("a")).toBeNull();
    journal.finish("a", OK);
    journal.close();
    journal = journalIn(dir);
    expect(journal.outcome("a")).toEqual(OK);
    journal.ack("a");
    expect(journal.outcome("a")).toBeNull();
  });

  it("that was only started is not forgotten by an acknowledgement", () => {
    const journal = journalIn(temporaryDir());
    journal.begin(call("a", "spawn"));
    journal.ack("a");
    journal.finish("a", OK);
    expect(journal.outcome("a")).toEqual(OK);
  });

  it("keeps its first outcome", () => {
    const journal = journalIn(temporaryDir());
    journal.begin(call("a", "spawn"));
    journal.finish("a", OK);
    journal.finish("a", { ok: false, error: { code: "Unexpected", message: "late" } });
    expect(journal.outcome("a")).toEqual(OK);
  });
});

describe("a guest", () => {
  it("is known by its generation, and by a tombstone after destroy", () => {
    const dir = temporaryDir();
    let journal = journalIn(dir);
    journal.begin(call("a", "spawn", { generation: 4 }));
    expect(journal.begin(call("b", "power_on", { generation: 3 }))).toBe("stale");
    journal.begin(call("c", "destroy", { generation: 5 }));
    journal.close();
    journal = journalIn(dir);
    expect(journal.guest(SERVER)).toEqual({ generation: 5, destroyed: true });
    expect(journal.begin(call("d", "spawn", { generation: 5 }))).toBe("stale");
    expect(journal.begin(call("e", "spawn", { generation: 6 }))).toBe("started");
    expect(journal.guest(SERVER)).toEqual({ generation: 6, destroyed: false });
  });

  it("leaves a tombstone even when it was never here, so that a late spawn is refused", () => {
    const journal = journalIn(temporaryDir());
    journal.begin(call("a", "destroy", { generation: 2 }));
    expect(journal.begin(call("b", "spawn", { generation: 2 }))).toBe("stale");
  });

  it("that obeys after the journal was lost is known again", () => {
    const journal = journalIn(temporaryDir());
    journal.begin(call("a", "power_off", { generation: 7 }));
    expect(journal.guest(SERVER)).toBeNull();
    journal.finish("a", OK);
    expect(journal.guest(SERVER)).toEqual({ generation: 7, destroyed: false });
  });

  it("never goes back to an earlier generation, whatever is asked", () => {
    const durable = (Object.keys(METHODS) as Method[]).filter((name) => METHODS[name].durable);
    const method = fc.constantFrom(...durable);
    const calls = fc.array(fc.record({ method, generation: fc.nat(5) }));
    fc.assert(
      fc.property(calls, (sequence) => {
        let guest: ReturnType<typeof admit> = null;
        for (const asked of sequence) {
          const next = admit(guest, asked);
          if (next === "stale") continue;
          if (guest !== null) expect(next!.generation).toBeGreaterThanOrEqual(guest.generation);
          // A destroyed guest comes back by a later build, or a later move to this host, only.
          if (guest?.destroyed && !next!.destroyed) {
            const makes = ["spawn", "rebuild", "receive_disks", "finish_migration", "pre_live_migration"];
            expect(makes).toContain(asked.method);
            expect(asked.generation).toBeGreaterThan(guest.generation);
          }
          guest = next;
        }
      }),
    );
  });
});

describe("the file", () => {
  it("is for its owner, and for one agent at a time", () => {
    const dir = temporaryDir();
    journalIn(dir);
    expect(statSync(join(dir, "journal.db")).mode & 0o777).toBe(0o600);
    expect(statSync(join(dir, "journal.db-wal")).mode & 0o777).toBe(0o600);
    expect(() => journalIn(dir)).toThrow("another agent runs with this state directory");
  });

  it("loses tombstones and calls that nobody came back to after 7 days", () => {
    let now = 1_000_000_000_000;
    const journal = journalIn(temporaryDir(), () => now);
    journal.begin(call("a", "destroy"));
    journal.begin(call("b", "spawn", { server: OTHER }));
    journal.finish("b", OK);
    now += KEEP_MS;
    journal.prune();
    expect(journal.guest(SERVER)).not.toBeNull();
    now += 1;
    journal.prune();
    expect([journal.guest(SERVER), journal.outcome("b")]).toEqual([null, null]);
    expect(journal.guest(OTHER)).toEqual({ generation: 1, destroyed: false });
  });
});
