/** What a host tells of a guest's interfaces, as the API shows it; and what hardware an image asks of the host. */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { CallFrame } from "../../functions/protocol/frames.ts";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { type RawHost, type RawLink, rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
const MAC = "fa:00:00:00:00:01";

let edge: TestEdge;
let raw: RawHost;
let link: RawLink;
let image: string;
let server: string;
const spawned: CallFrame[] = [];

const ask = (method: string, path: string, options?: CallOptions) => askEdge(edge, method, path, options);
const show = async () => (await ask("GET", `${V}/servers/${server}`)).body.server;
const create = (change: object = {}) =>
  ask("POST", `${V}/servers`, {
    body: { server: { name: "s", imageRef: image, flavorRef: "1", networks: "none", ...change } },
  });
const patch = (properties: Record<string, string>) =>
  ask("PATCH", `/image/v2/images/${image}`, {
    body: Object.entries(properties).map(([name, value]) => ({ op: "add", path: `/${name}`, value })),
    headers: { "content-type": "application/openstack-images-v2.1-json-patch" },
  });
const report = (interfaces: object[], power_state = 1) =>
  link.send({ t: "report", guests: [{ server, generation: 1, power_state, interfaces }] });
const found = async (query: string) =>
  (await ask("GET", `${V}/servers?${query}`)).body.servers.map(({ id }: { id: string }) => id);

beforeAll(async () => {
  edge = await startTestEdge();
  raw = await rawHost(edge, "raw");
  link = await raw.link();
  link.onCall = (call) => {
    if (call.method === "spawn") spawned.push(call);
    return { ok: true, value: { power_state: 1 } };
  };
  image = await demoImage(edge.cloud);
  expect((await patch({ hw_disk_bus: "scsi", hw_firmware_type: "uefi", os_distro: "debian" })).status).toBe(200);
  server = (await create()).body.server.id;
  await edge.cloud.built(server, 20_000);
});
afterAll(async () => {
  raw?.close();
  await edge?.close();
});

it("the host is told the hardware that the image asks for, and nothing else of it", () => {
  expect(spawned[0]?.params).toMatchObject({ hardware: { disk_bus: "scsi", firmware_type: "uefi" } });
  expect(JSON.stringify(spawned[0]?.params)).not.toContain("debian");
});

it("hardware that there is none of is 400, for a new server and for a rebuild", async () => {
  await patch({ hw_disk_bus: "floppy" });
  const rebuild = { rebuild: { imageRef: image } };
  for (const { status, body } of [
    await create(),
    await ask("POST", `${V}/servers/${server}/action`, { body: rebuild }),
  ]) {
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain("Field value floppy is invalid for hw_disk_bus.");
  }
  await patch({ hw_disk_bus: "virtio" });
});

it("addresses are shown by network, and found by", async () => {
  expect((await show()).addresses).toEqual({});
  report([
    { network: "blue", mac: MAC, addresses: ["10.1.2.3", "2001:db8::5"] },
    { network: "constructor", mac: MAC, addresses: [] },
  ]);
  const addresses = await until(async () => {
    const shown = (await show()).addresses;
    return shown.blue ? shown : null;
  }, "the addresses are known");
  const of = (addr: string, version: number) => ({
    ...{ addr, version, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": MAC },
  });
  expect(addresses).toEqual({ blue: [of("10.1.2.3", 4), of("2001:db8::5", 6)], constructor: [] });
  const blue = [
    { addr: "10.1.2.3", version: 4 },
    { addr: "2001:db8::5", version: 6 },
  ];
  expect((await ask("GET", `${V}/servers/${server}/ips`)).body).toEqual({ addresses: { blue, constructor: [] } });
  expect((await ask("GET", `${V}/servers/${server}/ips/blue`)).body).toEqual({ blue });
  expect((await ask("GET", `${V}/servers/${server}/ips/toString`)).status).toBe(404);
  await until(async () => (await found("ip=^10.1.2")).includes(server), "the list knows the address");
  expect(await found("ip6=2001:db8")).toEqual([server]);
  expect(await found("ip=10.1.9")).toEqual([]);
});

it("another word changes them, none leaves them, and an empty one takes them away", async () => {
  report([{ network: "blue", mac: MAC, addresses: ["10.1.2.4"] }]);
  await until(async () => (await show()).addresses.blue?.[0]?.addr === "10.1.2.4", "the address changed");
  link.send({ t: "report", guests: [{ server, generation: 1, power_state: 3 }] });
  await until(async () => (await show())["OS-EXT-STS:power_state"] === 3, "the guest is paused");
  expect(Object.keys((await show()).addresses)).toEqual(["blue"]);
  report([]);
  await until(async () => Object.keys((await show()).addresses).length === 0, "the guest has no interface");
});

it("an address that is none closes the link", async () => {
  report([{ network: "blue", mac: MAC, addresses: ["<script>"] }]);
  expect((await link.end()).code).toBe(4400);
});
