/** What is told of a server while its host works on it. Pure. */
import type { Progress } from "../protocol/frames.ts";
import type { InstanceEvent } from "./action-log.ts";
import type { ServerRecord } from "./record.ts";
import type { TaskState } from "./state.ts";

/** The tasks whose calls take long enough to be told of. */
const TOLD: ReadonlySet<TaskState | null> = new Set([
  "spawning",
  "resize_migrating",
  "migrating",
  "rebuild_spawning",
  "rescuing",
  "image_uploading",
  "shelving_image_uploading",
] as const);

/** The host to be asked how far it is; null when there is nothing to ask. */
export function working({ host, task_state }: ServerRecord): string | null {
  return TOLD.has(task_state) ? host : null;
}

/** What a stage is, for operators; a newer agent's own word stands for itself. */
const STAGES: Readonly<Record<string, string>> = {
  waiting: "It waits for its turn on the host",
  image: "The host downloads the image",
  guest: "The host makes the guest",
  upload: "The host uploads the image",
  disk: "The host copies the disks",
  memory: "The guest's memory is copied",
};

/** The events with how far the one is that is open. */
export function withProgress(events: InstanceEvent[], progress: Progress | null): InstanceEvent[] {
  if (progress === null) return events;
  const { stage, percent, bytes, of } = progress;
  const count = bytes === undefined || of === undefined ? "" : `, ${bytes} of ${of} bytes`;
  const details = `${Object.hasOwn(STAGES, stage) ? STAGES[stage] : stage}: ${percent} %${count}.`;
  return events.map((event) => (event.finish_time === null ? { ...event, details } : event));
}
