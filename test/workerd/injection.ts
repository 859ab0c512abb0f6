/** Failures that a test injects into a flow's steps; `vi.restoreAllMocks` takes them out again. */
import { vi } from "vitest";
import type { Context, Memo } from "../../functions/conductor/context.ts";
import type { Step } from "../../functions/conductor/saga.ts";
import { err } from "../../functions/result.ts";

type ServerStep = Step<Context, Memo>;

/** Every step does its work twice, as after a crash that its journal did not hear of. */
export function runTwice(steps: readonly ServerStep[]): void {
  for (const each of steps) {
    const { run } = each;
    vi.spyOn(each, "run").mockImplementation(async (context, memo) => {
      await run(context, memo);
      return run(context, memo);
    });
  }
}

/** Every step is undone twice. */
export function undoTwice(steps: readonly ServerStep[]): void {
  for (const each of steps) {
    const { undo } = each;
    if (!undo) continue;
    vi.spyOn(each, "undo").mockImplementation(async (context, memo) => {
      await undo(context, memo);
      await undo(context, memo);
    });
  }
}

/** The step does its work, and then fails. */
export function failAfter(step: ServerStep): void {
  const { run } = step;
  vi.spyOn(step, "run").mockImplementation(async (context, memo) => {
    await run(context, memo);
    return err({ code: 500, message: "injected" });
  });
}
