/** From an image upload to typing at a real machine's prompt: the edge, an agent process on libvirt, QEMU, Chromium. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enroll } from "../../agent/enroll.ts";
import { type Child, startChild } from "../../agent/up/child.ts";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { ROOT } from "../../agent/up/edge.ts";
import { ask, startTestEdge, type TestEdge, until } from "../edge.ts";
import { CLOUD_INIT_NEEDS, readByCloudInit } from "./cloud-init.ts";
import { GRUB_ISO, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";
import { launchBrowser, openViewer, type Picture, type Viewer } from "./viewer.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const required = [...paths, ...CLOUD_INIT_NEEDS.paths, GRUB_ISO, "/usr/bin/chromium"];
const packages = `${apt} ${CLOUD_INIT_NEEDS.apt} grub-rescue-pc chromium`;
const missing = !needs("the test of a real machine", required, packages);
const TIMEOUT_MS = 120_000;
/** A guest under emulation on a busy machine. */
const BOOT_TIMEOUT_MS = 60_000;
const SETTLED_MS = 1_500;
/** A character of the VGA's text screen. */
const GLYPH = { width: 9, height: 16 };
/** What a typed word changes: more than the blinking cursor does, and less than another screen. */
const CURSOR_PIXELS = 60;
const WORD_PIXELS = 120;
const SCREEN_PIXELS = 3_000;
/** GRUB's menu has a bar over its whole width; no text alone has so much ink. */
const MENU_PIXELS = 15_000;

describe.skipIf(missing)("a real machine", () => {
  let libvirtd: PrivateLibvirtd;
  let edge: TestEdge;
  let agent: Child;
  let state: string;
  let browser: Browser;

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    state = mkdtempSync(join(tmpdir(), "en-agent-"));
    // The demo image does not listen to the power button.
    edge = await startTestEdge({ RESERVED_HOST_MEMORY_MB: "0", SHUTDOWN_TIMEOUT: "1" });
    await enroll({ edge: edge.url, joinToken: await edge.cloud.joinToken("hv"), host: "hv", stateDir: state });
    const args = [join(ROOT, "agent/main.ts"), "run", "--state", state, "--driver", "libvirt"];
    args.push("--connection-uri", libvirtd.uri, "--virt-type", "qemu");
    agent = startChild("agent", join(libvirtd.root, "agent.log"), process.execPath, args, process.env);
    await until(() => readFileSync(agent.log, "utf8").includes('"link.up"'), "the agent is linked");
    browser = await launchBrowser();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await browser?.close();
    await agent?.stop();
    await edge?.close();
    await libvirtd?.stop();
    if (state) rmSync(state, { recursive: true, force: true });
  }, TIMEOUT_MS);

  const domains = async () => (await libvirtd.virsh("list", "--all", "--name")).split("\n").filter((it) => it !== "");

  async function boot(name: string, format: "iso" | "raw", bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    const image = await edge.cloud.createImage(name, format, bytes);
    const id = await edge.cloud.createServer(name, image, "1");
    expect(await edge.cloud.built(id, BOOT_TIMEOUT_MS)).toMatchObject({ status: "ACTIVE" });
    expect(await domains()).toContain(`instance-${id}`);
    return id;
  }

  async function look(id: string): Promise<Viewer> {
    const viewer = await openViewer(await edge.cloud.consoleUrl(id), { browser });
    await viewer.waitForState("connected");
    return viewer;
  }

  async function gone(id: string, viewer: Viewer): Promise<void> {
    expect((await edge.call("DELETE", `/compute/v2.1/servers/${id}`)).status).toBe(204);
    await viewer.waitForState("ended");
    await until(async () => (await edge.call("GET", `/compute/v2.1/servers/${id}`)).status === 404, "it is deleted");
    expect(await domains()).toEqual([]);
    await viewer.close();
  }

  it("boots GRUB from an uploaded ISO image, and takes a typed word", { timeout: TIMEOUT_MS }, async () => {
    const id = await boot("grub", "iso", new Uint8Array(readFileSync(GRUB_ISO)));
    const viewer = await look(id);
    await viewer.waitForPicture((picture) => ink(picture) > MENU_PIXELS, BOOT_TIMEOUT_MS);
    await viewer.press("c");
    const prompt = await settledPicture(viewer, (picture) => ink(picture) > WORD_PIXELS && ink(picture) < MENU_PIXELS);
    await viewer.type("echo edgenova");
    const typed = await settledPicture(viewer, (picture) => isWord(differing(prompt, picture)));
    await viewer.press("Enter");
    const answered = await settledPicture(viewer, (picture) => isWord(differing(typed, picture)));
    // "grub> echo edgenova", and below it the word alone, from the same glyphs.
    const row = firstChange(prompt, typed);
    const word = glyphs(typed, { row, column: "grub> echo ".length, count: "edgenova".length });
    expect(glyphs(answered, { row: row + 1, column: 0, count: "edgenova".length }).equals(word)).toBe(true);
    expect(word.some((byte, i) => i % 4 !== 3 && byte > 0)).toBe(true);
    expect(viewer.problems).toEqual([]);
    await gone(id, viewer);
  });

  it("boots the demo image, which echoes what is typed, also after a stop and a start", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const id = await boot("demo", "raw", demoDisk());
    const first = await look(id);
    const prompt = await settledPicture(first, (picture) => ink(picture) > WORD_PIXELS);
    await first.type("Hello 1");
    const typed = await settledPicture(first, (picture) => isWord(differing(prompt, picture)));
    const row = firstChange(prompt, typed);
    // Both l of "> Hello" are one glyph, which e is not.
    const at = (column: number) => glyphs(typed, { row, column, count: 1 });
    expect(at("> He".length).equals(at("> Hel".length))).toBe(true);
    expect(at("> H".length).equals(at("> Hel".length))).toBe(false);

    const act = async (body: object, becomes: string) => {
      expect((await edge.call("POST", `/compute/v2.1/servers/${id}/action`, { body })).status).toBe(202);
      await until(async () => {
        const { server } = await (await edge.call("GET", `/compute/v2.1/servers/${id}`)).json();
        return server.status === becomes && server["OS-EXT-STS:task_state"] === null;
      }, `the server is ${becomes}`);
    };
    await act({ "os-stop": null }, "SHUTOFF");
    await first.waitForState("ended");
    await first.close();
    await act({ "os-start": null }, "ACTIVE");
    const again = await look(id);
    // The same greeting, and nothing of what was typed before: the machine is a new one.
    await again.waitForPicture((picture) => same(prompt, picture), BOOT_TIMEOUT_MS);
    await gone(id, again);
  });

  it("gets user data, key, metadata and password by a config drive", { timeout: TIMEOUT_MS }, async () => {
    const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDbQ7VdCcKnZgE1YgWd1B1Ywq9p1Hq1n8uL5cJt3Rk4V me@home";
    const post = (path: string, body: object) => ask(edge, "POST", `/compute/v2.1/${path}`, { body });
    await post("os-keypairs", { keypair: { name: "mine", public_key: key } });
    const asked = {
      ...{ name: "Told", flavorRef: "1", networks: "none", key_name: "mine", metadata: { role: "web" } },
      imageRef: await edge.cloud.createImage("told", "raw", demoDisk()),
      user_data: Buffer.from("#cloud-config\n{}\n").toString("base64"),
    };
    const { id, adminPass } = (await post("servers", { server: asked })).body.server;
    expect(await edge.cloud.built(id, BOOT_TIMEOUT_MS)).toMatchObject({ status: "ACTIVE" });

    const drive = join(state, "libvirt/instances", id, "disk.config");
    const xml = await libvirtd.virsh("dumpxml", `instance-${id}`);
    const cdrom = xml.match(/<disk type='file' device='cdrom'>[\s\S]*?<\/disk>/g) ?? [];
    expect(cdrom).toHaveLength(1);
    for (const part of [`<source file='${drive}'`, "<driver name='qemu' type='raw'/>", "<readonly/>", "bus='sata'"]) {
      expect(cdrom[0]).toContain(part);
    }
    const seen = await readByCloudInit(drive);
    expect(seen.metadata).toMatchObject({
      ...{ "instance-id": id, "local-hostname": "told", name: "Told", meta: { role: "web" } },
      admin_pass: adminPass,
      public_keys: { mine: key },
    });
    expect(Buffer.from(seen.userdata, "base64").toString()).toBe("#cloud-config\n{}\n");

    expect((await edge.call("DELETE", `/compute/v2.1/servers/${id}`)).status).toBe(204);
    await until(async () => (await edge.call("GET", `/compute/v2.1/servers/${id}`)).status === 404, "it is deleted");
    expect(existsSync(drive)).toBe(false);
    expect(readFileSync(agent.log, "utf8")).not.toContain(adminPass);
  });

  it("leaves nothing of its guests on the host", async () => {
    await until(() => readFileSync(agent.log, "utf8").match(/"method":"destroy"/g)?.length === 3, "all are destroyed");
    expect(await domains()).toEqual([]);
    // A page that comes back while its server stops finds no screen.
    const log = readFileSync(agent.log, "utf8")
      .split("\n")
      .filter((line) => !line.includes('"method":"open_console"'));
    expect(log.filter((line) => /"ok":false|crashed|unexpected/.test(line))).toEqual([]);
  });
});

/** Waits for a picture that satisfies, and that is still the same a while later: the guest has nothing more to show. */
async function settledPicture(viewer: Viewer, wanted: (picture: Picture) => boolean): Promise<Picture> {
  let last: Picture | null = null;
  let since = 0;
  return viewer.waitForPicture((picture) => {
    if (last === null || !same(last, picture)) {
      last = picture;
      since = Date.now();
    }
    return Date.now() - since >= SETTLED_MS && wanted(picture);
  }, BOOT_TIMEOUT_MS);
}

/** How many pixels are not black. */
function ink({ data }: Picture): number {
  let count = 0;
  for (let at = 0; at < data.length; at += 4) if (data.readUIntBE(at, 3) > 0) count++;
  return count;
}

/** How many pixels differ; all, when the guest has changed its resolution. */
function differing(a: Picture, b: Picture): number {
  if (a.width !== b.width || a.height !== b.height) return b.width * b.height;
  let count = 0;
  for (let at = 0; at < a.data.length; at += 4) if (a.data.readUInt32BE(at) !== b.data.readUInt32BE(at)) count++;
  return count;
}

const isWord = (pixels: number) => pixels > WORD_PIXELS && pixels < SCREEN_PIXELS;

/** The row of characters in which two pictures first differ. */
function firstChange(a: Picture, b: Picture): number {
  for (let at = 0; at < a.data.length; at += 4) {
    if (a.data.readUInt32BE(at) !== b.data.readUInt32BE(at)) return Math.floor(at / 4 / a.width / GLYPH.height);
  }
  throw new Error("the pictures are the same");
}

/** The pixels of some characters in a row. */
function glyphs({ width, data }: Picture, place: { row: number; column: number; count: number }): Buffer {
  const rows = Array.from({ length: GLYPH.height }, (_, y) => {
    const start = ((place.row * GLYPH.height + y) * width + place.column * GLYPH.width) * 4;
    return data.subarray(start, start + place.count * GLYPH.width * 4);
  });
  return Buffer.concat(rows);
}

/** The same but for a blinking cursor. */
const same = (a: Picture, b: Picture) => differing(a, b) <= CURSOR_PIXELS;
