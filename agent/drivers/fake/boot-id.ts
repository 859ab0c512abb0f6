/** Which run of the fake machine it is: as long as nobody says otherwise, the first. */
import { join } from "node:path";
import { bootIdOf } from "../../boot-id.ts";

export async function readBootId(stateDir: string): Promise<string> {
  return (await bootIdOf(join(stateDir, "boot_id"))) ?? "first";
}
