/** What is done to a server while something is done to its agent and its edge. */
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { until } from "../edge.ts";
import type { OperationName } from "./moments.ts";
import type { Shown } from "./shown.ts";
import type { World } from "./world.ts";

export type Operation = {
  /** Makes what the operation is on, and begins it; `at` is called just before the request. */
  begin(world: World, at: () => void): Promise<Begun>;
};
/** `ends` waits for the end, and proves that it is the right one; a host that was away may have made it fail. */
export type Begun = { id: string; ends(world: World, mayFail: boolean): Promise<void> };

/** Long enough to be killed in, short beside a restart. */
export const SLOW_MS = 700;
/** What a host that is away too long does to a server. */
const AWAY = /is not connected|could not be downloaded|did not succeed/;

/** An image that no host has yet. */
const newImage = (world: World) => world.createImage(Buffer.concat([demoDisk(), randomBytes(64)]));

async function running(world: World): Promise<string> {
  const id = await world.boot(SLOW_MS);
  expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
  return id;
}

async function endsActive(world: World, id: string, mayFail: boolean): Promise<void> {
  const end = await world.settled(id);
  if (mayFail && end?.status === "ERROR") expect(end.fault).toMatch(AWAY);
  else expect(end).toMatchObject({ id, status: "ACTIVE", task: null, power: 1 });
}

export const OPERATIONS: Record<OperationName, Operation> = {
  build: {
    async begin(world, at) {
      const image = await newImage(world);
      at();
      const id = await world.boot(SLOW_MS, image);
      return { id, ends: (_, mayFail) => endsActive(world, id, mayFail) };
    },
  },
  delete: {
    async begin(world, at) {
      const id = await running(world);
      at();
      expect((await world.call("DELETE", `/servers/${id}`)).status).toBe(204);
      return {
        id,
        async ends() {
          await world.deleted(id);
          await until(() => world.guests().every(({ uuid }) => uuid !== id), "the guest is gone", 60_000);
        },
      };
    },
  },
  rebuild: {
    async begin(world, at) {
      const id = await running(world);
      const imageRef = await newImage(world);
      at();
      expect((await world.call("POST", `/servers/${id}/action`, { rebuild: { imageRef } })).status).toBe(202);
      return { id, ends: (_, mayFail) => endsActive(world, id, mayFail) };
    },
  },
  create_image: {
    async begin(world, at) {
      const id = await running(world);
      at();
      const asked = await world.call("POST", `/servers/${id}/action`, { createImage: { name: "shot" } });
      expect(asked.status).toBe(202);
      const { image_id } = await asked.json();
      return {
        id,
        async ends(_, mayFail) {
          const end: Shown | null = await world.settled(id);
          expect(end).toMatchObject({ status: "ACTIVE", task: null, power: 1 });
          const image = await world.image(image_id);
          // As in Nova, a snapshot that failed leaves no image.
          if (!(mayFail && image === null)) expect(image).toMatchObject({ status: "active" });
        },
      };
    },
  },
};
