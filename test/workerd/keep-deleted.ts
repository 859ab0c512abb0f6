/** As with an interval to restore servers in, for one server alone. */
import { env, runInDurableObject } from "cloudflare:test";
import { config } from "../../functions/config.ts";

/** `seconds` 0: a delete of it is for good again. */
export async function keepDeleted(uuid: string, seconds: number): Promise<void> {
  await runInDurableObject(env.SERVER.getByName(uuid), (instance) => {
    config((instance as unknown as { env: Env }).env).RECLAIM_INSTANCE_INTERVAL = seconds;
  });
}
