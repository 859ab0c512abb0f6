/**
 * The moments of each way to another host in which something may happen, by name: some in every step of its flow at the
 * edge. `<host>: <label>` is on the wire between that host and the edge, by its label there (wire.ts), and is held there;
 * `<host>: while <method>` is when that host is at work on it.
 */
import type { Dice } from "./dice.ts";
import type { Victim } from "./moving-world.ts";

export type Moment = `${"source" | "destination"}: ${string}`;

const around = (host: "source" | "destination", method: string): Moment[] => [
  `${host}: call ${method}`,
  `${host}: while ${method}`,
  `${host}: result ${method}`,
  `${host}: ack ${method}`,
];

const COLD = {
  power_off: around("source", "migrate_disk_and_power_off"),
  copy: [...around("destination", "receive_disks"), ...around("source", "send_disks")],
  finish: around("destination", "finish_migration"),
};

/** By what is done, and the names of the steps of its flow that the wire shows. */
const STEPS = {
  "live migration": {
    check_source: ["source: call check_can_live_migrate_source", "source: result check_can_live_migrate_source"],
    find_destination: [
      "destination: call check_can_live_migrate_destination",
      "destination: result check_can_live_migrate_destination",
    ],
    prepare: around("destination", "pre_live_migration"),
    migrate: around("source", "live_migration"),
    arrive: around("destination", "post_live_migration_at_destination"),
    leave: around("source", "destroy"),
  },
  migration: COLD,
  resize: COLD,
  confirm: { leave: around("source", "destroy") },
  revert: {
    leave: around("destination", "destroy"),
    bring_back: around("source", "finish_revert_migration"),
    power_on: around("source", "power_on"),
  },
  "resize where it is": {
    power_off: around("source", "migrate_disk_and_power_off"),
    copy: around("source", "receive_disks"),
    finish: around("source", "finish_migration"),
  },
  "confirm where it is": { leave: around("source", "confirm_migration") },
  "revert where it is": {
    bring_back: around("source", "finish_revert_migration"),
    power_on: around("source", "power_on"),
  },
  evacuation: { spawn: around("destination", "spawn"), return: around("source", "destroy") },
} as const satisfies Record<string, Record<string, readonly Moment[]>>;

/** Where the two hosts have one folder of guests, in which no disks travel. */
const SHARED = {
  ...STEPS,
  migration: { ...COLD, copy: around("destination", "receive_disks") },
  resize: { ...COLD, copy: around("destination", "receive_disks") },
  evacuation: {
    look: ["destination: call instance_on_disk", "destination: result instance_on_disk"],
    spawn: around("destination", "finish_migration"),
    return: around("source", "destroy"),
  },
} as const satisfies Record<FlowName, Record<string, readonly Moment[]>>;

export type FlowName = keyof typeof STEPS;
export type Storage = "own storage" | "shared storage";
export type Case = { storage: Storage; flow: FlowName; moment: Moment; victim: Victim };

const VICTIMS: readonly Victim[] = ["source", "destination", "edge", "all", "way", "user"];
/** Whether there is a guest that may end by itself. */
const runsIn = (flow: FlowName) => flow === "live migration";
/** Whether the server stays on its host, and no other has anything to do with it. */
export const staysIn = (flow: FlowName) => flow.endsWith("where it is");

function casesOn(storage: Storage): Case[] {
  const steps: Record<FlowName, Record<string, readonly Moment[]>> = storage === "shared storage" ? SHARED : STEPS;
  return (Object.keys(steps) as FlowName[]).flatMap((flow) => {
    const moments = Object.values(steps[flow]).flat();
    const all: readonly Victim[] = runsIn(flow) ? [...VICTIMS, "guest"] : VICTIMS;
    const victims = all.filter((victim) => !(staysIn(flow) && victim === "destination"));
    return moments.flatMap((moment) => victims.map((victim) => ({ storage, flow, moment, victim })));
  });
}

export const title = ({ flow, moment, victim }: Case) => `${flow}, ${victim}: ${moment}`;

/** As many of them as that, in an order of the seed's; or the one that CRASH_ONLY names. */
export function chosen(storage: Storage, dice: Dice, count: number): Case[] {
  const all = casesOn(storage);
  const only = process.env.CRASH_ONLY;
  if (only !== undefined) return all.filter((one) => title(one) === only);
  return dice.shuffled(all).slice(0, count);
}
