/** The body of POST /os-server-external-events (nova/api/openstack/compute/schemas/server_external_events.py). */
import { z } from "zod";
import { type Feature, has } from "../history.ts";

/** nova/objects/external_event.py, with those that came later. */
const NAMES: Readonly<Record<string, Feature | null>> = {
  "network-changed": null,
  "network-vif-plugged": null,
  "network-vif-unplugged": null,
  "network-vif-deleted": null,
  "volume-extended": "event.volume-extended",
  "power-update": "event.power-update",
  "accelerator-request-bound": "event.accelerator",
  "volume-reimaged": "event.volume-reimaged",
};

/** How many servers one request may wake. */
const MAX_EVENTS = 100;

export function externalEvents(minor: number) {
  const names = Object.entries(NAMES).flatMap(([name, on]) => (on === null || has(minor, on) ? [name] : []));
  const event = z.strictObject({
    name: z.enum(names),
    server_uuid: z.uuid(),
    status: z.enum(["failed", "completed", "in-progress"]).optional(),
    tag: z.string().max(255).optional(),
  });
  return z.strictObject({ events: z.array(event).min(1).max(MAX_EVENTS) });
}
export type ExternalEvent = z.infer<ReturnType<typeof externalEvents>>["events"][number];
