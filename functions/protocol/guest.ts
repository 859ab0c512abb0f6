/** What an agent says of its host and of the guests on it. */
import { z } from "zod";
import { amount, cpuInfo, metrics, resourceOptions } from "./resources.ts";

/** Nova's power states (nova/compute/power_state.py); 2 and 5 are unused. */
export const POWER_STATE = { NOSTATE: 0, RUNNING: 1, PAUSED: 3, SHUTDOWN: 4, CRASHED: 6, SUSPENDED: 7 } as const;
export type PowerState = (typeof POWER_STATE)[keyof typeof POWER_STATE];
export const powerState = z.union([z.literal(0), z.literal(1), z.literal(3), z.literal(4), z.literal(6), z.literal(7)]);

/** Where a guest's VNC server listens, on the agent's own machine. */
export const vncAddress = z.discriminatedUnion("transport", [
  z.object({ transport: z.literal("unix"), path: z.string().min(1).max(107) }),
  z.object({ transport: z.literal("tcp"), host: z.enum(["127.0.0.1", "::1"]), port: z.int().min(1).max(65535) }),
]);
export type VncAddress = z.infer<typeof vncAddress>;

export const MAX_ADDRESSES = 16;
export const MAX_INTERFACES = 8;

/** An interface of a guest: the name that its host has for the network it is in, and the addresses it has there. */
export const guestInterface = z.object({
  network: z.string().min(1).max(64),
  mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
  addresses: z.array(z.union([z.ipv4(), z.ipv6()])).max(MAX_ADDRESSES),
});
export type GuestInterface = z.infer<typeof guestInterface>;
export const guestInterfaces = z.array(guestInterface).max(MAX_INTERFACES);

/**
 * One guest as it runs now. `generation` is the incarnation that the edge gave when it asked for it. Absent
 * `interfaces` say nothing of those that were told before.
 */
export const guestReport = z.object({
  server: z.uuid(),
  generation: z.int().min(0),
  power_state: powerState,
  /** Why the agent could not start it again after its host did; once, and only then. */
  fault: z.string().min(1).max(255).optional(),
  interfaces: guestInterfaces.optional(),
});
export type GuestReport = z.infer<typeof guestReport>;

const short = z.string().min(1).max(64);

/** The host's whole resources, before ratios and reservations. Memory in MiB, disk in GiB. */
export const inventory = z.object({
  hypervisor_hostname: z.string().min(1).max(255),
  hypervisor_type: z.string().min(1).max(64),
  hypervisor_version: amount,
  vcpus: z.int().min(0).max(1_000_000),
  memory_mb: amount,
  local_gb: amount,
  /** What guests it runs (nova: supported_instances). */
  supported_instances: z
    .array(z.object({ arch: short, hv_type: short, vm_mode: short }))
    .max(64)
    .optional(),
  /** Its own address, as it sees itself (nova: my_ip). */
  host_ip: z.union([z.ipv4(), z.ipv6()]).optional(),
  cpu_info: cpuInfo.optional(),
  /** Where guests may come in from other hosts without the edge (nova: migration_inbound_addr). */
  migration_inbound: z.object({ address: z.string().min(1).max(255), port: z.int().min(1).max(65_535) }).optional(),
  /** What the host's own configuration says; what it does not say is the deployment's to say. */
  options: resourceOptions.optional(),
  metrics: metrics.optional(),
});
export type Inventory = z.infer<typeof inventory>;
