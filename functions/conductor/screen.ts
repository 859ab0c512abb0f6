/** Whether a server's screen is still the one that a console was opened on. Pure. */
import type { ServerRecord } from "./record.ts";
import { hasScreen, status, type VmState } from "./state.ts";

/** One guest's screen, from its start until it has none. */
export type ScreenBinding = { generation: number; screens_ended: number };

/**
 * `here`: on `host`; `bound` is what the screen is now. `stopped`: the guest is there and has no screen. `restarted`: it
 * is another guest by now, or was without a screen in between. `gone`: there is no server any more.
 */
export type Screen = { name: string; status: string } & (
  | { is: "here"; host: string; bound: ScreenBinding }
  | { is: "stopped" | "restarted" | "gone" }
);

const GONE: ReadonlySet<VmState> = new Set(["soft-delete", "deleted"]);

/** A guest that moved while it ran has the screen that it had. */
export const bindingOf = ({ generation, screen_since, screens_ended = 0 }: ServerRecord): ScreenBinding => ({
  generation: screen_since ?? generation,
  screens_ended,
});

/** @param carried whether the next guest of the server is meant as well */
export function screenOf(
  record: ServerRecord | null,
  { generation, screens_ended }: ScreenBinding,
  carried: boolean,
): Screen {
  const shown = { name: record?.display_name ?? "", status: record === null ? "DELETED" : status(record) };
  if (record === null || GONE.has(record.vm_state) || record.task_state === "deleting") return { ...shown, is: "gone" };
  const now = bindingOf(record);
  const next = carried && now.generation === generation + 1;
  if (now.generation !== generation && !next) return { ...shown, is: "restarted" };
  if (record.host === null || !hasScreen(record)) return { ...shown, is: "stopped" };
  if (now.screens_ended !== screens_ended && !next) return { ...shown, is: "restarted" };
  const moved = record.task_state === "migrating" ? record.screen_host : null;
  return { ...shown, is: "here", host: moved ?? record.host, bound: now };
}
