/** Clocks that are set by hours, forwards and backwards, of the agent's process and of the edge's: while idle and in a build. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { needs } from "../real/requirement.ts";
import { CLOCK_NEEDS, Clock } from "./clock.ts";
import { ROUNDS, told } from "./dice.ts";
import { heals } from "./invariants.ts";
import { OPERATIONS } from "./operations.ts";
import { SCALED_TOML, SCALED_VARS } from "./scale.ts";
import { World } from "./world.ts";

const TIMEOUT_MS = 240_000;
/** Hours. */
const JUMPS = ROUNDS > 8 ? [5, -5, 48, -48] : [5, -48];
const HOUR_MS = 60 * 60_000;

describe.skipIf(!needs("the clock's test", CLOCK_NEEDS.paths, CLOCK_NEEDS.apt))("a clock that jumps", () => {
  let folder: string;
  let clock: Clock;
  let world: World;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "clock-"));
    clock = new Clock(join(folder, "clock"));
    world = await World.start({ vars: SCALED_VARS, toml: SCALED_TOML, agentEnv: clock.env });
    await world.linked();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await world?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(() => clock.set(0));

  const logged = (name: string) => world.agentEvents().filter(({ event }) => event === name);
  const hasJumped = () =>
    until(() => {
      const at = Date.parse(String(world.agentEvents().at(-1)?.time));
      return Math.abs(at - Date.now()) > HOUR_MS;
    }, "the agent's clock has jumped");

  it.each(JUMPS)(
    "by %i hours under an agent kills no guest, and the agent is back when it is right again",
    {
      timeout: TIMEOUT_MS,
    },
    async (hours) => {
      const id = await world.boot();
      await world.settled(id);
      const guests = world.guests();
      told(`the agent's clock: ${hours} h`);
      clock.set(hours);
      // The link that is up stays up, and carries work: only a new one must prove who it is.
      const asked = await world.call("POST", `/servers/${id}/action`, { pause: null });
      expect(asked.status).toBe(202);
      expect(await world.settled(id)).toMatchObject({ status: "PAUSED" });
      await hasJumped();
      await world.call("POST", `/servers/${id}/action`, { unpause: null });
      expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
      const before = logged("link.refused").length;
      world.wire.cut("reset");
      world.wire.mend();
      await until(() => logged("link.refused").length > before, "an agent whose clock is wrong is refused", 60_000);
      expect(logged("link.refused").at(-1)?.message).toContain("the edge refused with 401");
      expect(world.guests().map(({ uuid }) => uuid)).toEqual(guests.map(({ uuid }) => uuid));
      clock.set(0);
      await world.linked();
      expect(world.guests()).toMatchObject([{ uuid: id, power_state: 1 }]);
      await heals(world);
      await world.clear();
    },
  );

  it.each(JUMPS)(
    "by %i hours under an agent in the middle of a build does not spoil it",
    {
      timeout: TIMEOUT_MS,
    },
    async (hours) => {
      const before = logged("image.cached").length;
      const spawned = world.wire.hold("result spawn");
      const call = world.wire.hold("call spawn");
      const { id, ends } = await OPERATIONS.build.begin(world, () => undefined);
      await call.reached;
      // The image needs an assertion: it is fetched before the jump.
      call.release();
      await until(() => logged("image.cached").length > before, "the image is there");
      told(`the agent's clock in the build of ${id}: ${hours} h`);
      clock.set(hours);
      await spawned.reached;
      spawned.release();
      await ends(world, false);
      clock.set(0);
      await heals(world);
      await world.clear();
    },
  );
});
