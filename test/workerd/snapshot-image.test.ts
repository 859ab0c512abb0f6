import { expect, it } from "vitest";
import { snapshotImage } from "../../functions/image/snapshot-image.ts";
import { specOf } from "./specs.ts";

const server = specOf({ project_id: "p" });
const request = { name: "shot", metadata: {}, user_id: "u", project_id: "p" };
const base = { min_ram: 64, min_disk: 20, properties: { hw_machine_type: "q35", img_signature: "s", bittorrent: "b" } };
const made = (...args: Parameters<typeof snapshotImage>) => {
  const image = snapshotImage(...args);
  return image.ok ? image.value : image.error;
};

it("takes from the base what a snapshot inherits, and from the flavor the disk that it needs", () => {
  expect(made(server, base, request)).toMatchObject({
    status: "queued",
    owner: "p",
    visibility: "private",
    container_format: "bare",
    disk_format: null,
    min_ram: 64,
    min_disk: 20,
    properties: {
      base_image_ref: server.image.id,
      hw_machine_type: "q35",
      instance_uuid: server.uuid,
      user_id: "u",
      image_type: "snapshot",
    },
  });
  expect(made(server, base, request)).not.toHaveProperty("properties.img_signature");
  expect(made(server, base, request)).not.toHaveProperty("properties.bittorrent");
  expect(made(server, null, request)).toMatchObject({ min_ram: 0, min_disk: server.flavor.disk });
});

it("lets metadata stand over what Nova writes, but not over a backup's type", () => {
  const metadata = { user_id: "me", backup_type: "mine" };
  expect(made(server, null, { ...request, metadata, backup_type: "daily" })).toMatchObject({
    properties: { user_id: "me", backup_type: "daily", image_type: "backup" },
  });
});

it("of another project's server is that project's, and says so", () => {
  expect(made(server, null, { ...request, project_id: "admins" })).toMatchObject({
    owner: "p",
    visibility: "shared",
    properties: { instance_owner: "p" },
  });
});

it.each(["owner", "visibility", "a/b", "__proto__"])("refuses %s as metadata", (key) => {
  const metadata = Object.fromEntries([[key, "x"]]);
  expect(made(server, null, { ...request, metadata })).toEqual({ kind: "no_property", key });
});

it("has as many properties as any image may have", () => {
  const metadata = Object.fromEntries(Array.from({ length: 125 }, (_, i) => [`k${i}`, "v"]));
  expect(made(server, null, { ...request, metadata })).toEqual({ kind: "too_many_properties", limit: 128 });
});
