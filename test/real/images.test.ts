/** Images that qemu-img made, from their upload to the host: the edge, an agent process on libvirt, QEMU. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkHost } from "../../agent/check/check.ts";
import { parseConfig } from "../../agent/config.ts";
import { enroll } from "../../agent/enroll.ts";
import { type Child, startChild } from "../../agent/up/child.ts";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { ROOT } from "../../agent/up/edge.ts";
import { startTestEdge, type TestEdge, until } from "../edge.ts";
import { LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the test of images on a real host", paths, apt);
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
type Format = "raw" | "qcow2" | "iso";

describe.skipIf(missing)("an image on a real host", { timeout: TIMEOUT_MS }, () => {
  let libvirtd: PrivateLibvirtd;
  let edge: TestEdge;
  let agent: Child;
  let state: string;
  const cached = () => readdirSync(join(state, "images"));

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    state = mkdtempSync(join(tmpdir(), "en-agent-"));
    edge = await startTestEdge({ RESERVED_HOST_MEMORY_MB: "0", SHUTDOWN_TIMEOUT: "1" });
    await enroll({ edge: edge.url, joinToken: await edge.cloud.joinToken("hv"), host: "hv", stateDir: state });
    const options = ["[libvirt]", `connection_uri = "${libvirtd.uri}"`, 'virt_type = "qemu"', "[image_cache]"];
    options.push("manager_interval = 0.2", "remove_unused_original_minimum_age_seconds = 1");
    writeFileSync(join(state, "agent.toml"), options.join("\n"));
    const args = [join(ROOT, "agent/main.ts"), "run", "--state", state];
    agent = startChild("agent", join(libvirtd.root, "agent.log"), process.execPath, args, process.env);
    await until(() => readFileSync(agent.log, "utf8").includes('"link.up"'), "the agent is linked");
  }, TIMEOUT_MS);

  afterAll(async () => {
    await agent?.stop();
    await edge?.close();
    await libvirtd?.stop();
    if (state) rmSync(state, { recursive: true, force: true });
  }, TIMEOUT_MS);

  async function made(...args: string[]): Promise<Uint8Array<ArrayBuffer>> {
    const path = join(libvirtd.root, "made");
    rmSync(path, { force: true });
    await run("qemu-img", ["create", "-q", ...args.map((it) => (it === "PATH" ? path : it))]);
    return new Uint8Array(readFileSync(path));
  }

  async function boot(format: Format, bytes: Uint8Array<ArrayBuffer>, flavor = "1") {
    const image = await edge.cloud.createImage(`made-${Math.random()}`, format, bytes);
    const id = await edge.cloud.createServer("server", image, flavor);
    return { image, id, server: await edge.cloud.built(id, 60_000) };
  }

  it("that is hostile is refused in words, at the first host, and leaves nothing", async () => {
    const secret = join(libvirtd.root, "secret");
    writeFileSync(secret, Buffer.alloc(1 << 20, "secret"));
    const flat = ["-f", "vmdk", "-o", "subformat=monolithicFlat", "PATH", "1M"];
    const hostile: [Format, Uint8Array<ArrayBuffer>, string][] = [
      ["qcow2", await made("-f", "qcow2", "-F", "raw", "-b", secret, "PATH"), "it has a backing file"],
      ["qcow2", await made("-f", "qcow2", "-o", `data_file=${secret}.d`, "PATH", "1M"), "it has a data file"],
      ["raw", await made("-f", "qcow2", "-F", "raw", "-b", secret, "PATH"), "it is a qcow2 image and not raw"],
      ["raw", await made(...flat), "it is a VMDK image and not raw"],
      ["iso", await made("-f", "vdi", "PATH", "1M"), "it is a VDI image and not ISO 9660"],
    ];
    for (const [format, bytes, why] of hostile) {
      const { image, server } = await boot(format, bytes);
      expect(server.status).toBe("ERROR");
      expect(server.fault?.message).toContain(`Image ${image} is unacceptable: ${why}`);
      expect(server.fault?.message).not.toMatch(/Exceeded|secret/);
    }
    expect(cached()).toEqual([]);
    expect((await libvirtd.virsh("list", "--all", "--name")).trim()).toBe("");
  });

  it("whose disk is larger than the flavor's is refused with both sizes", async () => {
    const { server } = await boot("qcow2", await made("-f", "qcow2", "PATH", "2T"));
    expect(server.status).toBe("ERROR");
    expect(server.fault?.message).toMatch(
      /Flavor's disk is too small .* Flavor disk is \d+ bytes, image is 2199023255552 /,
    );
  });

  it("stays as long as a guest leans on it, and goes after it", async () => {
    const { id, server } = await boot("raw", demoDisk());
    expect(server.status).toBe("ACTIVE");
    const own = () => cached().filter((name) => /^[0-9a-f]{128}$/.test(name));
    await until(() => readFileSync(agent.log, "utf8").includes('"image.removed"'), "the refused one's has gone");
    expect(own()).toHaveLength(1);
    await edge.call("POST", `/compute/v2.1/servers/${id}/action`, { body: { "os-stop": null } });
    await until(async () => (await libvirtd.virsh("list", "--state-shutoff", "--name")).includes(id), "it is off");
    const path = join(state, "images", own()[0] ?? "");
    await edge.call("DELETE", `/compute/v2.1/servers/${id}`);
    await until(() => !existsSync(path), "the image has gone");
  });

  it("has a host that is found ready", async () => {
    const withFlags = () => ({
      ...parseConfig(""),
      libvirt: { ...parseConfig("").libvirt, connection_uri: libvirtd.uri },
    });
    const check = async () =>
      Object.fromEntries(
        (await checkHost({ stateDir: state, driver: "libvirt", withFlags })).map((it) => [it.check, it]),
      );
    const found = await check();
    expect(found.libvirt).toMatchObject({
      state: "ok",
      says: expect.stringMatching(/^qemu:\/\/\/session answers: QEMU \d/),
    });
    expect([found.tools, found.files, found.key, found.edge].map((it) => it?.state)).toEqual(["ok", "ok", "ok", "ok"]);
    expect(found.kvm?.says).toMatch(existsSync("/dev/kvm") ? /KVM|kvm/ : /guests are emulated/);
    await libvirtd.halt();
    expect((await check()).libvirt).toMatchObject({ state: "failed", mend: expect.stringContaining("libvirt") });
    await libvirtd.start();
  });
});
