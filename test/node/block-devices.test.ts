/** Ephemeral and swap disks: what a flavor and block_device_mapping_v2 ask, and what becomes of a server with them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { emptyDisksOf } from "../../functions/api/block-devices.ts";
import { METHODS } from "../../functions/protocol/methods.ts";
import { ask as askEdge, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { SPEC } from "./agent-support.ts";

const V = "/compute/v2.1";
const LOCAL = { source_type: "blank", destination_type: "local", boot_index: -1 };
const SWAP = { ...LOCAL, guest_format: "swap" };

let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one", { local_gb: 12 });
  image = await demoImage(edge.cloud);
  const flavor = { id: "e", name: "e", vcpus: 1, ram: 64, disk: 1, "OS-FLV-EXT-DATA:ephemeral": 3, swap: 1025 };
  await ask("POST", "/flavors", { flavor });
}, 60_000);
afterAll(() => edge?.close());

const ask = (method: string, path: string, body?: object) => askEdge(edge, method, `${V}${path}`, { body });
const create = (devices?: object[]) => {
  const asked = devices && { block_device_mapping_v2: devices };
  return ask("POST", "/servers", {
    server: { name: "x", imageRef: image, flavorRef: "e", networks: "none", ...asked },
  });
};
const taken = async () => (await ask("GET", "/os-hypervisors/statistics")).body.hypervisor_statistics.local_gb_used;
/** The disks that the guest of a new server finds, without its own. */
async function disksOf(devices?: object[]): Promise<string[]> {
  const { status, body } = await create(devices);
  expect(status).toBe(202);
  const path = `/servers/${body.server.id}`;
  await edge.cloud.built(body.server.id, 20_000);
  // Root and ephemeral are the flavor's, and swap is rounded up, whatever less was asked for.
  expect(await taken()).toBe(1 + 3 + 2);
  const printed = async (): Promise<string> =>
    (await ask("POST", `${path}/action`, { "os-getConsoleOutput": {} })).body.output;
  await until(async () => (await printed()).includes("multi-user.target"), "the guest is up");
  const disks = [...(await printed()).matchAll(/virtio_blk: \[vd.\] (.*)/g)].map(([, disk]) => String(disk));
  await ask("DELETE", path);
  await until(async () => (await ask("GET", path)).status === 404, "it is gone");
  return disks.slice(1);
}

describe("a server", () => {
  it("has its flavor's disks, and its host's room is taken by them", async () => {
    expect(await disksOf()).toEqual(["3 GiB, ext4", "1025 MiB, swap"]);
    expect(await taken()).toBe(0);
  });
  it("has those that are asked for within them, the image's own named or not", async () => {
    const own = { uuid: image, source_type: "image", destination_type: "local", boot_index: 0 };
    const devices = [own, { ...SWAP, volume_size: 512 }, { ...LOCAL, volume_size: 1, guest_format: "xfs" }];
    expect(await disksOf(devices)).toEqual(["1 GiB, xfs", "512 MiB, swap"]);
    expect(await disksOf([1, 2].map((volume_size) => ({ ...LOCAL, volume_size })))).toEqual([
      "1 GiB, ext4",
      "2 GiB, ext4",
      "1025 MiB, swap",
    ]);
    expect(await disksOf([LOCAL, SWAP])).toEqual(["3 GiB, ext4", "1025 MiB, swap"]);
  });
  it("is built only where there is room for all of them, and is not rebuilt when they are to be kept", async () => {
    const made = [(await create()).body.server.id, (await create()).body.server.id, (await create()).body.server.id];
    const shown = async (id: string) => (await ask("GET", `/servers/${id}`)).body.server;
    await until(async () => {
      const all = await Promise.all(made.map(shown));
      return all.every((server) => server["OS-EXT-STS:task_state"] === null);
    }, "they were built or failed");
    const all = await Promise.all(made.map(shown));
    expect(all.map(({ status }) => status).toSorted()).toEqual(["ACTIVE", "ACTIVE", "ERROR"]);
    const active = all.find(({ status }) => status === "ACTIVE").id;
    const rebuild = { imageRef: image, preserve_ephemeral: true };
    const refused = await ask("POST", `/servers/${active}/action`, { rebuild });
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      "The current driver does not support preserving ephemeral partitions.",
    ]);
  });
});

it("a guest has none where the edge is older than they are", () => {
  const { ephemerals: _, swap_mb: __, ...older } = SPEC;
  expect(METHODS.spawn.params.parse(older)).toEqual(SPEC);
});

describe("block_device_mapping_v2 of what a flavor has not is 400", () => {
  it.each<[string, object[], string]>([
    ["too much ephemeral", [{ ...LOCAL, volume_size: 4 }], "Ephemeral disks requested are larger"],
    [
      "too much in all",
      [2, 2].map((volume_size) => ({ ...LOCAL, volume_size })),
      "Ephemeral disks requested are larger",
    ],
    ["two of the flavor's size", [LOCAL, LOCAL], "flavor ephemeral size will be used."],
    ["too much swap", [{ ...SWAP, volume_size: 1026 }], "Swap drive requested is larger than instance type allows."],
    ["two swaps", [SWAP, SWAP], "Block Device Mapping is Invalid: More than one swap drive requested."],
    [
      "too many",
      [SWAP, ...[1, 1, 1].map((volume_size) => ({ ...LOCAL, volume_size }))],
      "Block Device Mapping is Invalid: You specified more local devices than the limit allows",
    ],
    ["a boot from it", [{ ...LOCAL, boot_index: 0 }], "Boot sequence for the instance"],
    ["an unknown format", [{ ...LOCAL, guest_format: "ntfs" }], "ntfs format is not supported"],
    ["a blank volume", [{ ...LOCAL, destination_type: "volume", volume_size: 1 }], "no volume service"],
    ["no size of swap", [{ ...SWAP, volume_size: 0 }], "volume_size"],
  ])("%s", async (_, devices, message) => {
    const { status, body } = await create(devices);
    expect([status, body.badRequest?.message]).toEqual([400, expect.stringContaining(message)]);
  });

  it("is none where neither has any", () => {
    const bare = { flavorid: "1", name: "f", vcpus: 1, ram: 1, disk: 1, ephemeral: 0, swap: 0, rxtx_factor: 1 };
    const flavor = { ...bare, is_public: true, disabled: false, description: null, extra_specs: {} };
    const none = { ephemerals: [], swap_mb: 0 };
    expect(emptyDisksOf({ imageRef: image }, flavor)).toEqual(none);
    expect(emptyDisksOf({ imageRef: image, block_device_mapping_v2: [] }, flavor)).toEqual(none);
  });
});
