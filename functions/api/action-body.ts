/** Bodies of actions: one object with one key, which is the action's name (nova/api/openstack/wsgi.py action_peek). */
import { z } from "zod";
import { badRequest } from "./fault.ts";

/** What stands under the key is the action's own to check. */
export const anyAction = z.record(z.string(), z.unknown());

/** The action's name; 400 unless there is exactly one. */
export function actionOf(body: z.infer<typeof anyAction>): string {
  const [key, ...others] = Object.keys(body);
  if (key === undefined || others.length > 0) throw badRequest("Malformed request body");
  return key;
}

export const noSuchAction = (key: string) => badRequest(`There is no such action: ${key.slice(0, 100)}`);
