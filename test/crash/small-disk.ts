/** A file system of a few MiB that a test fills and empties. Only root may mount one. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FILLER = "filler";

export const canMount = process.geteuid?.() === 0;
if (!canMount && process.env.CI === "true") throw new Error("the test of a full disk mounts one: run it as root");

export class SmallDisk {
  readonly path = mkdtempSync(join(tmpdir(), "disk-"));

  constructor(mib: number) {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m,mode=0755`, "edgenova-test", this.path]);
  }

  /** Leaves `bytes` free, in whole pages; none when there are less. */
  fill(bytes = 0): void {
    const { bavail, bsize } = statfsSync(this.path);
    writeFileSync(join(this.path, FILLER), Buffer.alloc(Math.max(0, bavail * bsize - bytes)));
  }

  empty(): void {
    rmSync(join(this.path, FILLER), { force: true });
  }

  close(): void {
    execFileSync("umount", ["--lazy", this.path]);
    rmdirSync(this.path);
  }
}
