import { DriverError } from "../driver.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A uuid that may become part of a path. Throws InvalidCall for what is none. */
export function known(uuid: string): string {
  if (!UUID.test(uuid)) throw new DriverError("InvalidCall", "the server's id is not a uuid");
  return uuid;
}
