/** What each method of the protocol means here: a call frame becomes work on the driver. */
import type { z } from "zod";
import type { CallFrame } from "../functions/protocol/frames.ts";
import { POWER_STATE } from "../functions/protocol/guest.ts";
import { METHODS, type Method, type Params, type Value } from "../functions/protocol/methods.ts";
import type { Driver } from "./drivers/driver.ts";

/** Does what the call asks and resolves to its value. The signal matters to spawn only. */
export type Work = (signal: AbortSignal) => Promise<Value<Method>>;
export type Host = {
  driver: Driver;
  openConsole(server: string, params: Params<"open_console">): Promise<void>;
};

/** The work of a call, or the name of the first parameter that is wrong. */
export function bind(call: CallFrame, { driver, openConsole }: Host): Work | { wrong: string } {
  const { server, params } = call;
  const powered = async (done: Promise<void>): Promise<Value<"power_on">> => {
    await done;
    const guest = await driver.getInfo(server);
    return { power_state: guest?.power_state ?? POWER_STATE.NOSTATE };
  };
  const nothing = async (done: Promise<void>): Promise<Value<"destroy">> => {
    await done;
    return {};
  };
  switch (call.method) {
    case "spawn":
      return withParams(METHODS.spawn.params, params, (p, signal) => powered(driver.spawn(server, p, signal)));
    case "destroy":
      return withParams(METHODS.destroy.params, params, () => nothing(driver.destroy(server)));
    case "power_on":
      return withParams(METHODS.power_on.params, params, () => powered(driver.powerOn(server)));
    case "power_off":
      return withParams(METHODS.power_off.params, params, () => powered(driver.powerOff(server)));
    case "reboot":
      return withParams(METHODS.reboot.params, params, (p) => powered(driver.reboot(server, p.type)));
    case "get_vnc_console":
      return withParams(METHODS.get_vnc_console.params, params, () => driver.getVncConsole(server));
    case "open_console":
      return withParams(METHODS.open_console.params, params, (p) => nothing(openConsole(server, p)));
  }
  return call.method satisfies never;
}

function withParams<P>(
  schema: z.ZodType<P>,
  params: unknown,
  run: (params: P, signal: AbortSignal) => Promise<Value<Method>>,
): Work | { wrong: string } {
  const parsed = schema.safeParse(params);
  if (!parsed.success) return { wrong: parsed.error.issues[0]?.path.join(".") || "params" };
  return (signal) => run(parsed.data, signal);
}
