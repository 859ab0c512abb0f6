import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Calls } from "../../agent/calls.ts";
import { DriverError, type Grace } from "../../agent/drivers/driver.ts";
import { Journal } from "../../agent/journal.ts";
import type { Host } from "../../agent/methods.ts";
import type { Outcome } from "../../functions/protocol/frames.ts";
import type { Method } from "../../functions/protocol/methods.ts";
import {
  call,
  callsOf,
  gate,
  NO_SNAPSHOTS,
  OTHER,
  recordingLog,
  SERVER,
  SIGNER,
  SPEC,
  temporaryDir,
  until,
} from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

const CONSOLE = { session: OTHER, leg: 1, bytes_up: 2, bytes_down: 3, keys: 4, pointers: 5, cut_texts: 6 };

let driver: TinyDriver;
let journal: Journal;
let calls: Calls;
let dir: string;
let opened: unknown[];
let logged: ReturnType<typeof recordingLog>;
let gone: string[];
let cached: unknown[];
let snapshots: Host["snapshots"];

function start(maxBuilds = 10): void {
  journal = new Journal(join(dir, "journal.db"), SIGNER);
  calls = callsOf({
    driver,
    journal,
    log: logged.log,
    consoles: {
      open: async (...told) => void opened.push(told),
      close: (...told) => void opened.push(["close", ...told]),
      share: (...told) => void opened.push(["share", ...told]),
      list: () => [CONSOLE],
    },
    cacheImage: async (image) => {
      cached.push(image);
      return false;
    },
    snapshots,
    onScreenGone: (server) => gone.push(server),
    maxBuilds,
  });
}
/** What a kill leaves: the file as it is, and no memory. */
function crash(): void {
  calls.stop();
  journal.close();
  start();
}

beforeEach(() => {
  dir = temporaryDir();
  driver = new TinyDriver();
  opened = [];
  gone = [];
  cached = [];
  snapshots = NO_SNAPSHOTS;
  logged = recordingLog();
  start();
  return () => journal.close();
});

const RUNNING: Outcome = { ok: true, value: { power_state: 1 } };
const code = (outcome: Outcome) => (outcome.ok ? "ok" : outcome.error.code);

/** What the journal has of calls, once it is closed; it is opened again. */
function openCalls(): unknown[] {
  journal.close();
  const db = new DatabaseSync(join(dir, "journal.db"));
  const rows = db.prepare("SELECT id, status FROM calls").all();
  db.close();
  start();
  return rows;
}

describe("a full disk", () => {
  const full = () => {
    throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
  };

  it("is why a call is refused, and hinders no destroy", async () => {
    driver.guests.set(SERVER, 1);
    vi.spyOn(journal, "begin").mockImplementation(full);
    expect(code(await calls.handle(call("a", "power_off")))).toBe("InsufficientFreeDisk");
    expect(driver.done).toEqual([]);
    expect(await calls.handle(call("b", "destroy"))).toEqual({ ok: true, value: {} });
    expect(driver.guests.has(SERVER)).toBe(false);
  });

  it("that a driver meets is told as what it is", async () => {
    driver.building = () => Promise.reject(Object.assign(new Error("write"), { code: "ENOSPC" }));
    expect(code(await calls.handle(call("a", "spawn")))).toBe("InsufficientFreeDisk");
  });
});

describe("a call that is sent again", () => {
  it("is done once, however often and however early it comes", async () => {
    const build = gate();
    driver.building = () => build.opened;
    const answers = [1, 2, 3].map(() => calls.handle(call("a", "spawn")));
    build.open();
    expect(await Promise.all(answers)).toEqual([RUNNING, RUNNING, RUNNING]);
    expect(await calls.handle(call("a", "spawn"))).toEqual(RUNNING);
    crash();
    expect(await calls.handle(call("a", "spawn"))).toEqual(RUNNING);
    expect(driver.done).toEqual([`spawn ${SERVER}`]);
  });

  it("is done again when a crash cut it off", async () => {
    driver.building = () => new Promise(() => undefined);
    void calls.handle(call("a", "spawn"));
    await until(() => driver.done.length === 1, "the spawn");
    crash();
    driver.building = async () => undefined;
    expect(await calls.handle(call("a", "spawn"))).toEqual(RUNNING);
    expect(driver.done).toHaveLength(2);
  });

  it("is forgotten when acknowledged", async () => {
    await calls.handle(call("a", "spawn"));
    calls.ack("a");
    expect(journal.outcome("a")).toBeNull();
  });

  it("is forgotten, once the journal can be written again, when that was full as it ended and was acknowledged", async () => {
    const finish = vi.spyOn(journal, "finish").mockImplementationOnce(() => {
      throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
    });
    expect(await calls.handle(call("a", "spawn"))).toEqual(RUNNING);
    finish.mockImplementationOnce(() => {
      throw new Error("still full");
    });
    calls.ack("a");
    await calls.handle(call("b", "power_on"));
    calls.ack("b");
    expect(openCalls()).toEqual([]);
  });

  it("that a destroy overtook leaves nothing in the journal, though it was cut off", async () => {
    driver.building = () => new Promise(() => undefined);
    void calls.handle(call("a", "spawn"));
    await until(() => driver.done.length === 1, "the spawn");
    crash();
    await calls.handle(call("b", "destroy"));
    calls.ack("b");
    expect(openCalls()).toEqual([]);
  });

  it("is not done twice when a double of it comes after it was acknowledged", async () => {
    await calls.handle(call("a", "spawn"));
    await calls.handle(call("b", "power_on"));
    const done = [...driver.done];
    for (const id of ["a", "b"]) calls.ack(id);
    expect(await calls.handle(call("b", "power_on"))).toEqual(RUNNING);
    expect(await calls.handle(call("a", "spawn"))).toEqual(RUNNING);
    expect(driver.done).toEqual(done);
  });

  it("keeps no outcome that shutting down has caused", async () => {
    const stop = gate();
    driver.guests.set(SERVER, 1);
    driver.stopping = async () => {
      await stop.opened;
      throw new DriverError("HypervisorUnavailable", "closed");
    };
    const answer = calls.handle(call("a", "power_off"));
    calls.stop();
    stop.open();
    await answer;
    expect(journal.outcome("a")).toBeNull();
  });
});

describe("generations", () => {
  it("refuses what a later destroy has overtaken, without touching the driver", async () => {
    await calls.handle(call("a", "destroy", { generation: 2 }));
    expect(code(await calls.handle(call("b", "spawn", { generation: 2 })))).toBe("StaleGeneration");
    expect(code(await calls.handle(call("c", "power_on", { generation: 1 })))).toBe("StaleGeneration");
    expect(code(await calls.handle(call("d", "get_vnc_console", { generation: 1 })))).toBe("StaleGeneration");
    expect(driver.done).toEqual([`destroy ${SERVER}`]);
  });

  it("settles a spawn that a crash cut off and a destroy has overtaken", async () => {
    driver.building = () => new Promise(() => undefined);
    void calls.handle(call("a", "spawn"));
    void calls.handle(call("b", "destroy"));
    crash();
    expect(code(await calls.handle(call("a", "spawn")))).toBe("StaleGeneration");
    expect(code(await calls.handle(call("b", "destroy")))).toBe("ok");
    expect(openCalls()).toEqual([{ id: "b", status: "finished" }]);
  });
});

describe("turns", () => {
  it("runs the calls of one server in order and those of two side by side", async () => {
    const build = gate();
    driver.building = (uuid) => (uuid === SERVER ? build.opened : Promise.resolve());
    const first = calls.handle(call("a", "spawn"));
    const second = calls.handle(call("b", "power_off"));
    await calls.handle(call("c", "spawn", { server: OTHER }));
    expect(driver.done).toEqual([`spawn ${SERVER}`, `spawn ${OTHER}`]);
    build.open();
    expect(await first).toEqual(RUNNING);
    expect(await second).toEqual({ ok: true, value: { power_state: 4 } });
    expect(gone).toEqual([SERVER]);
  });

  it("lets destroy abort a running build and run after it", async () => {
    driver.building = (_uuid, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("driver's own words"))));
    const spawn = calls.handle(call("a", "spawn"));
    await until(() => driver.done.length === 1, "the spawn");
    const destroy = calls.handle(call("b", "destroy"));
    expect(code(await spawn)).toBe("BuildAbortException");
    expect(code(await destroy)).toBe("ok");
    expect(driver.done).toEqual([`spawn ${SERVER}`, `destroy ${SERVER}`]);
  });

  it.each(["rescue", "rebuild"] as const)("lets destroy abort a %s too, running or waiting", async (method) => {
    driver.guests.set(SERVER, 1);
    driver.building = (_uuid, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("driver's own words"))));
    const params = method === "rescue" ? { image: SPEC.image } : { spec: SPEC, start: true };
    const works = ["a", "b"].map((id) => calls.handle(call(id, method, { params })));
    await calls.handle(call("c", "destroy"));
    expect((await Promise.all(works)).map(code)).toEqual(["BuildAbortException", "BuildAbortException"]);
    expect(driver.guests.size).toBe(0);
  });

  it.each<[Method, object, boolean]>([
    ["destroy", {}, true],
    ["power_off", {}, true],
    ["power_off", { timeout: 0 }, true],
    ["reboot", { type: "HARD" }, true],
    ["power_off", { timeout: 60 }, false],
    ["reboot", { type: "SOFT" }, false],
    ["pause", {}, false],
  ])("%s %j ends the wait for a guest to shut down: %s", async (method, params, ends) => {
    driver.guests.set(SERVER, 1);
    const waits: Grace[] = [];
    const off = gate();
    driver.stopping = async (grace) => {
      if (grace === undefined || grace.hurry.aborted) return;
      waits.push(grace);
      await Promise.race([once(grace.hurry, "abort"), off.opened]);
    };
    const first = calls.handle(call("a", "power_off", { params: { timeout: 60 } }));
    await until(() => waits.length === 1, "the wait");
    expect(waits[0]?.seconds).toBe(60);
    const second = calls.handle(call("b", method, { params }));
    expect(waits[0]?.hurry.aborted).toBe(ends);
    off.open();
    expect([code(await first), code(await second)]).toEqual(["ok", "ok"]);
  });

  it.each(["snapshot", "upload_snapshot"] as const)(
    "lets destroy abort a %s, and takes its file too",
    async (method) => {
      const forgotten: string[] = [];
      const begun = gate();
      const hang = (_server: string, _image: string, signal: AbortSignal) =>
        new Promise<never>((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
          begun.open();
        });
      snapshots = { take: hang, upload: hang, forget: async (server) => void forgotten.push(server) };
      crash();
      const params = { image: "55555555-5555-4555-8555-555555555555" };
      const taken = calls.handle(call("a", method, { params }));
      await begun.opened;
      const destroy = calls.handle(call("b", "destroy"));
      expect([code(await taken), code(await destroy)]).toEqual(["BuildAbortException", "ok"]);
      expect(forgotten).toEqual([SERVER]);
    },
  );

  it("builds no more guests at once than it may, and a waiting build can be aborted", async () => {
    journal.close();
    start(1);
    const build = gate();
    driver.building = () => build.opened;
    const first = calls.handle(call("a", "spawn"));
    const second = calls.handle(call("b", "spawn", { server: OTHER }));
    const third = calls.handle(call("c", "spawn", { server: "44444444-4444-4444-8444-444444444444" }));
    await calls.handle(call("d", "destroy", { server: OTHER }));
    expect(code(await second)).toBe("BuildAbortException");
    expect(driver.done).toEqual([`spawn ${SERVER}`, `destroy ${OTHER}`]);
    build.open();
    expect([code(await first), code(await third)]).toEqual(["ok", "ok"]);
  });

  it("says which servers were touched while somebody watched", async () => {
    const build = gate();
    driver.building = () => build.opened;
    const running = calls.handle(call("a", "spawn"));
    const watch = calls.watch();
    build.open();
    await running;
    await calls.handle(call("b", "spawn", { server: OTHER }));
    expect(watch.end()).toEqual(new Set([SERVER, OTHER]));
    expect(calls.watch().end().size).toBe(0);
  });
});

describe("failures", () => {
  it("answers a driver's error by its name, and anything else without its words", async () => {
    expect(code(await calls.handle(call("a", "power_on")))).toBe("InstanceNotFound");
    driver.building = async () => {
      throw new Error("/var/lib/secret/path");
    };
    const outcome = await calls.handle(call("b", "spawn"));
    expect(code(outcome)).toBe("Unexpected");
    expect(JSON.stringify(outcome)).not.toContain("secret");
    expect(JSON.stringify(logged.lines)).toContain("/var/lib/secret/path");
  });

  it("keeps an error's message within the protocol's limit", async () => {
    driver.building = async () => {
      throw new DriverError("ImageUnacceptable", "x".repeat(5000));
    };
    const outcome = await calls.handle(call("a", "spawn"));
    expect(outcome.ok || outcome.error.message.length).toBe(1024);
  });

  it("refuses parameters of a wrong shape and leaves no record of them", async () => {
    const outcome = await calls.handle(call("a", "spawn", { params: { vcpus: "many" } }));
    expect(code(outcome)).toBe("InvalidCall");
    expect(code(await calls.handle(call("b", "reboot", { params: { type: "GENTLE" } })))).toBe("InvalidCall");
    expect(driver.done).toEqual([]);
    expect(journal.guest(SERVER)).toBeNull();
  });
});

describe("console sessions", () => {
  const image = SPEC.image;
  it.each<[Method, object]>([
    ["destroy", {}],
    ["power_off", {}],
    ["suspend", {}],
    ["rescue", { image }],
    ["unrescue", {}],
    ["rebuild", { spec: SPEC, start: true }],
  ])("end with the screen by %s", async (method, params) => {
    driver.guests.set(SERVER, 1);
    expect(code(await calls.handle(call("a", method, { params })))).toBe("ok");
    expect(gone).toEqual([SERVER]);
  });

  it("outlive what keeps the screen, and what failed", async () => {
    driver.guests.set(SERVER, 1);
    for (const method of ["pause", "unpause", "power_on", "resume"] as const) await calls.handle(call(method, method));
    await calls.handle(call("x", "suspend", { server: OTHER }));
    expect(gone).toEqual([]);
  });
});

it("has a rebuild refused by what it refuses a spawn by", async () => {
  const params = { spec: SPEC, start: false };
  expect(await calls.handle(call("a", "rebuild", { params, generation: 2 }))).toEqual({
    ok: true,
    value: { power_state: 4 },
  });
  await calls.handle(call("b", "destroy", { generation: 3 }));
  expect(code(await calls.handle(call("c", "rebuild", { params, generation: 3 })))).toBe("StaleGeneration");
  expect(code(await calls.handle(call("d", "rebuild", { params, generation: 4 })))).toBe("ok");
  expect(journal.guest(SERVER)).toEqual({ generation: 4, destroyed: false });
});

describe("what asks and leaves no trace", () => {
  const answer = async (method: Method, params: object) => {
    const outcome = await calls.handle(call("a", method, { params }));
    expect(journal.outcome("a")).toBeNull();
    return outcome;
  };

  it("reads as much of a console as is asked for", async () => {
    driver.printed = Buffer.from("one\ntwo\nthree");
    expect(await answer("get_console_output", { length: 2 })).toEqual({ ok: true, value: { output: "two\nthree" } });
    expect(await answer("get_console_output", { length: null })).toMatchObject({
      value: { output: "one\ntwo\nthree" },
    });
    for (const length of [-2, 1.5, "2"])
      expect(code(await answer("get_console_output", { length }))).toBe("InvalidCall");
  });

  it("tells why there are no diagnostics", async () => {
    expect(code(await answer("get_diagnostics", {}))).toBe("InstanceInvalidState");
  });

  it("passes a password on, and writes it nowhere", async () => {
    const password = "correct horse battery staple";
    expect(code(await answer("set_admin_password", { password }))).toBe("ok");
    expect(driver.passwords.get(SERVER)).toBe(password);
    expect(JSON.stringify(logged.lines)).not.toContain(password);
    journal.close();
    for (const name of readdirSync(dir)) expect(readFileSync(join(dir, name)).includes(password)).toBe(false);
    start();
  });

  it("injects an NMI past the queue", async () => {
    driver.building = () => new Promise(() => undefined);
    void calls.handle(call("b", "spawn"));
    expect(code(await answer("inject_nmi", {}))).toBe("ok");
    expect(driver.done).toContain(`inject_nmi ${SERVER}`);
  });

  it("has an image fetched without a guest, and without the driver", async () => {
    expect(await answer("cache_image", { image: SPEC.image })).toEqual({ ok: true, value: { cached: false } });
    expect(cached).toEqual([SPEC.image]);
  });
});

it("runs what only reads or opens at once, past the queue and the journal", async () => {
  driver.building = () => new Promise(() => undefined);
  void calls.handle(call("a", "spawn"));
  driver.vnc = { transport: "tcp", host: "127.0.0.1", port: 5900 };
  expect(await calls.handle(call("b", "get_vnc_console"))).toEqual({ ok: true, value: driver.vnc });
  const params = { console: "c".repeat(64), ticket: "t" };
  expect(await calls.handle(call("c", "open_console", { params }))).toEqual({ ok: true, value: {} });
  expect(opened).toEqual([[SERVER, params]]);
  const cut = { code: 4411, sessions: [CONSOLE.session] };
  expect(await calls.handle(call("d", "close_consoles", { params: cut }))).toEqual({ ok: true, value: {} });
  expect(await calls.handle(call("e", "share_console", { params: { sharing: "one" } }))).toEqual({
    ok: true,
    value: {},
  });
  expect(opened.slice(1)).toEqual([
    ["close", SERVER, cut],
    ["share", SERVER, "one"],
  ]);
  expect(await calls.handle(call("f", "list_consoles"))).toEqual({ ok: true, value: { sessions: [CONSOLE] } });
  for (const id of ["b", "c", "d", "e", "f"]) expect(journal.outcome(id)).toBeNull();
});
