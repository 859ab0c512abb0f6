/** The libvirt driver's ephemeral and swap disks: which there are, and how the host's tools are asked to format them. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type EmptyDisk, emptyDisksOf, makeEmptyDisks } from "../../agent/drivers/libvirt/empty-disk.ts";

const uuid = "6f1c2a3b-0000-4000-8000-000000000001";
const signal = new AbortController().signal;
const MIB = 2 ** 20;

describe("emptyDisksOf", () => {
  it("has ephemeral disks before swap, each with its size in bytes", () => {
    const ephemerals = [
      { size: 2, format: "ext4" },
      { size: 1, format: "xfs" },
    ] as const;
    expect(emptyDisksOf({ ephemerals: [...ephemerals], swap_mb: 512 })).toEqual([
      { name: "disk.eph0", bytes: 2 ** 31, format: ["mkfs.ext4", "-q", "-F", "-L", "ephemeral0"] },
      { name: "disk.eph1", bytes: 2 ** 30, format: ["mkfs.xfs", "-q", "-f", "-L", "ephemeral1"] },
      { name: "disk.swap", bytes: 2 ** 29, format: ["mkswap"] },
    ]);
    expect(emptyDisksOf({ ephemerals: [], swap_mb: 0 })).toEqual([]);
  });
});

describe("makeEmptyDisks", () => {
  let folder = "";
  let logged: unknown[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "edgenova-empty-"));
    logged = [];
    vi.stubEnv("PATH", `${folder}:${process.env.PATH}`);
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  /** Two disks, formatted by a program of these lines. */
  function make(lines: string, given = signal) {
    writeFileSync(join(folder, "tool"), `#!/bin/sh\n${lines}\n`);
    chmodSync(join(folder, "tool"), 0o755);
    const disk = (name: string): EmptyDisk => ({ name, bytes: MIB, format: ["tool", "-x"] });
    const log = (event: string, fields = {}) => void logged.push({ event, ...fields });
    return makeEmptyDisks([disk("a"), disk("b")], { uuid, folder, log }, given);
  }

  it("gives each to its program, for its owner alone", async () => {
    const paths = ["a", "b"].map((name) => join(folder, name));
    expect(await make(`printf %s "$*" | dd of="$2" conv=notrunc`)).toEqual(paths);
    for (const path of paths) {
      expect([statSync(path).size, statSync(path).mode & 0o777]).toEqual([MIB, 0o600]);
      expect(readFileSync(path, "latin1").replace(/\0+$/, "")).toBe(`-x ${path}`);
    }
    expect(logged).toEqual([]);
  });

  it("leaves it blank and says so where there is no such program", async () => {
    const disk: EmptyDisk = { name: "disk.swap", bytes: MIB, format: ["mkfs.no-such-system"] };
    const log = (event: string, fields = {}) => void logged.push({ event, ...fields });
    const [path = ""] = await makeEmptyDisks([disk], { uuid, folder, log }, signal);
    expect(readFileSync(path).equals(Buffer.alloc(MIB))).toBe(true);
    expect(logged).toEqual([
      { event: "libvirt.disk_left_blank", server: uuid, disk: "disk.swap", missing: "mkfs.no-such-system" },
    ]);
  });

  it.each([
    ["echo 'write: No space left on device' >&2; exit 1", "InsufficientFreeDisk"],
    ["exit 1", "BuildAbortException"],
  ])("fails with its program: %s", async (lines, code) => {
    await expect(make(lines)).rejects.toMatchObject({ code });
  });

  it("is given up when its build is", async () => {
    const deleted = new Error("deleted");
    const build = new AbortController();
    const made = make("sleep 60", build.signal);
    build.abort(deleted);
    await expect(made).rejects.toBe(deleted);
  });
});
