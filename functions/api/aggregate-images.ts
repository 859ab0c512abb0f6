/** POST /os-aggregates/{id}/images (nova/api/openstack/compute/aggregates.py images): fetches images ahead of their servers. */
import type { Context } from "hono";
import { causeOf, log } from "../log.ts";
import type { ImageRef } from "../protocol/methods.ts";
import { aggregateOf } from "./aggregates.ts";
import type { AppEnv } from "./app-env.ts";
import { operation, type Paths } from "./operation.ts";
import { cacheImages } from "./schema/aggregate.ts";
import { imageOf } from "./server-spec.ts";

export const aggregateImages: Paths = {
  "/os-aggregates/:id/images": {
    POST: operation({
      summary: "Have every host of an aggregate fetch images",
      rule: "compute:aggregates:images",
      role: "admin",
      on: "aggregate.images",
      body: cacheImages,
      status: 202,
      run: (c, { body }) => cache(c, body.cache),
    }),
  },
};

/** The answer does not wait for the hosts; one that is away fetches an image when it is to boot it. */
async function cache(c: Context<AppEnv>, asked: readonly { id: string }[]): Promise<Response> {
  const { hosts } = await aggregateOf(c);
  const images = await Promise.all(asked.map(async ({ id }) => (await imageOf(c, id)).ref));
  const known = await c.env.SCHEDULER.getByName("default").hosts();
  const there = known.filter(({ host, up }) => up && hosts.includes(host));
  c.executionCtx.waitUntil(Promise.all(there.flatMap(({ host }) => images.map((image) => fetchOn(c, host, image)))));
  return c.body(null, 202);
}

async function fetchOn(c: Context<AppEnv>, host: string, image: ImageRef): Promise<void> {
  const failed = (cause: string) => log("image.not_cached", { host, image: image.id, cause });
  try {
    const outcome = await c.env.HOST.getByName(host).ask("cache_image", image.id, 0, { image });
    if (!outcome.ok) failed(outcome.error.message);
  } catch (error) {
    failed(causeOf(error));
  }
}
