/** The agent's own record of which guests should run: what changes it, and that nobody else can. */
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { wanted } from "../../agent/desired.ts";
import { signerOf } from "../../agent/identity.ts";
import { Journal } from "../../agent/journal.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import type { CallErrorCode, Method } from "../../functions/protocol/methods.ts";
import { call, OTHER, SERVER, SIGNER, temporaryDir } from "./agent-support.ts";

const at = (power_state: number): Outcome => ({ ok: true, value: { power_state } });
const failed = (code: CallErrorCode): Outcome => ({ ok: false, error: { code, message: "no" } });
const DAY_MS = 24 * 60 * 60 * 1000;
const START = 1_800_000_000_000;

describe("an outcome", () => {
  it.each<[Method, Outcome, boolean | "gone" | null]>([
    ["spawn", at(1), true],
    ["power_on", at(1), true],
    ["power_on", at(4), false],
    ["power_off", at(4), false],
    ["reboot", at(1), true],
    ["pause", at(3), false],
    ["unpause", at(1), true],
    ["suspend", at(7), false],
    ["resume", at(1), true],
    ["rescue", at(1), true],
    ["rebuild", at(4), false],
    ["destroy", { ok: true, value: {} }, "gone"],
    ["upload_snapshot", { ok: true, value: {} }, null],
    ["power_off", failed("Unexpected"), null],
    ["destroy", failed("Unexpected"), null],
    ["rebuild", failed("ImageUnacceptable"), false],
    ["rebuild", failed("StaleGeneration"), null],
  ])("of %s: %j", (method, outcome, want) => {
    expect(wanted(method, outcome)).toBe(want);
  });
});

function open(dir: string, { signer = SIGNER, now = START } = {}): Journal {
  const journal = new Journal(join(dir, "journal.db"), signer, () => now);
  onTestFinished(() => {
    try {
      journal.close();
    } catch {
      // The test has closed it.
    }
  });
  return journal;
}

/** What calls leave, in the order in which they are done. */
function carryOut(journal: Journal, calls: [Method, Outcome, string?][]): void {
  for (const [i, [method, outcome, server = SERVER]] of calls.entries()) {
    const id = `${i}-${Math.random()}`;
    expect(journal.begin(call(id, method, { server, generation: i + 1 }))).toBe("started");
    journal.finish(id, outcome);
  }
}

describe("the record", () => {
  it("is there after a crash, with all that was carried out, and the boot that it is of", () => {
    const dir = temporaryDir();
    const journal = open(dir);
    expect([journal.desired.found, journal.desired.bootId()]).toEqual(["new", null]);
    journal.desired.setBoot("one");
    carryOut(journal, [
      ["spawn", at(1)],
      ["spawn", at(1), OTHER],
      ["power_off", at(4), OTHER],
    ]);
    journal.close();
    const { desired } = open(dir);
    expect([desired.found, desired.bootId(), desired.running()]).toEqual(["good", "one", [SERVER]]);
    expect([desired.knows(OTHER), desired.shouldRun(OTHER)]).toEqual([true, false]);
  });

  it("has no guest that a build failed on, and none that was destroyed", () => {
    const journal = open(temporaryDir());
    carryOut(journal, [
      ["spawn", failed("ImageUnacceptable")],
      ["spawn", at(1)],
      ["destroy", { ok: true, value: {} }],
    ]);
    expect(journal.desired.knows(SERVER)).toBe(false);
  });

  it("starts nothing when no agent has confirmed it for more than a week", () => {
    const dir = temporaryDir();
    const first = open(dir);
    carryOut(first, [["spawn", at(1)]]);
    first.close();
    const week = open(dir, { now: START + 7 * DAY_MS });
    expect(week.desired.found).toBe("good");
    week.desired.confirm();
    week.close();
    expect(open(dir, { now: START + 14 * DAY_MS }).desired.found).toBe("good");
  });

  it("that is older is known as such, and kept", () => {
    const dir = temporaryDir();
    const first = open(dir);
    carryOut(first, [["spawn", at(1)]]);
    first.close();
    const { desired } = open(dir, { now: START + 7 * DAY_MS + 1 });
    expect([desired.found, desired.running()]).toEqual(["old", [SERVER]]);
  });
});

describe("a record that was tampered with is thrown away", () => {
  const tampered: [string, string][] = [
    ["a guest was added", `INSERT INTO desired VALUES ('${"3".repeat(36)}', 1, 1)`],
    ["a guest was left out", `DELETE FROM desired WHERE server = '${OTHER}'`],
    ["a guest was switched on", "UPDATE desired SET should_run = 1"],
    ["a guest is another incarnation", "UPDATE desired SET generation = generation + 1"],
    ["it is said to be of another boot", "UPDATE seal SET boot_id = 'two'"],
    ["it is said to be younger", "UPDATE seal SET at_ms = at_ms + 1"],
    ["it has no signature", "DELETE FROM seal"],
    ["its signature is empty", "UPDATE seal SET signature = x''"],
  ];
  it.each(tampered)("%s", (_, sql) => {
    const dir = made();
    const db = new DatabaseSync(join(dir, "journal.db"));
    db.exec(sql);
    db.close();
    expectBroken(dir);
  });

  it("it is signed with another host's key", () => {
    const other = signerOf(generateKeyPairSync("ed25519").privateKey);
    expectBroken(made(), other);
  });

  it("a guest comes from an older copy", () => {
    const dir = made();
    const old = join(temporaryDir(), "old.db");
    copyFileSync(join(dir, "journal.db"), old);
    const journal = open(dir);
    carryOut(journal, [["power_off", at(4)]]);
    journal.close();
    const db = new DatabaseSync(join(dir, "journal.db"));
    db.exec(`ATTACH '${old}' AS old; INSERT OR REPLACE INTO desired SELECT * FROM old.desired`);
    db.close();
    expectBroken(dir);
  });

  function made(): string {
    const dir = temporaryDir();
    const journal = open(dir);
    journal.desired.setBoot("one");
    carryOut(journal, [
      ["spawn", at(1)],
      ["spawn", at(4), OTHER],
    ]);
    journal.close();
    return dir;
  }
  function expectBroken(dir: string, signer = SIGNER): void {
    const journal = open(dir, { signer });
    const { desired } = journal;
    expect([desired.found, desired.running(), desired.bootId()]).toEqual(["broken", [], null]);
    // And begun anew.
    desired.change(SERVER, 9, true);
    journal.close();
    expect(open(dir, { signer }).desired.running()).toEqual([SERVER]);
  }
});
