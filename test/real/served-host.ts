/** What a process that moving-hosts.ts starts does on being asked by messages, and what it answers. */
import { DriverError } from "../../agent/drivers/driver.ts";

/** Functions by what they are asked by; their arguments and values go as JSON. `stop` is the last that is asked. */
export type Asked = Record<string, (...args: never[]) => unknown>;

export function serve(asked: Asked): void {
  process.on("message", async ({ id, name, args }: { id: number; name: string; args: never[] }) => {
    try {
      process.send?.({ id, value: await asked[name]?.(...args) });
    } catch (error) {
      const code = error instanceof DriverError ? error.code : "";
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : "";
      process.send?.({ id, error: { code, cause, message: error instanceof Error ? error.message : String(error) } });
    }
    if (name === "stop") process.disconnect?.();
  });
  process.send?.({ id: 0 });
}
