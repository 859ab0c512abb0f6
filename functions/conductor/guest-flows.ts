/** Pausing, suspending, rescuing and rebuilding a guest where it is (nova: compute/manager.py). */
import { guestSpecOf } from "./guest-spec.ts";
import { guestFlow, powerOff } from "./power.ts";

const none = () => ({});

export const pause = guestFlow({ name: "pause", method: "pause", params: none, becomes: "paused" });
export const unpause = guestFlow({ name: "unpause", method: "unpause", params: none, becomes: "active" });
export const suspend = guestFlow({
  name: "suspend",
  method: "suspend",
  params: none,
  becomes: "suspended",
  breaks: true,
});
export const resume = guestFlow({ name: "resume", method: "resume", params: none, becomes: "active", breaks: true });

export const rescue = guestFlow({
  name: "rescue",
  method: "rescue",
  first: powerOff,
  // The spec has the password that the request was answered with, if the guest has a config drive to read it from.
  params: (context, memo) => ({ image: memo.image ?? context.record().image, spec: guestSpecOf(context) }),
  becomes: "rescued",
  breaks: true,
});
export const unrescue = guestFlow({
  name: "unrescue",
  method: "unrescue",
  params: none,
  becomes: "active",
  breaks: true,
});

/** The record has the new image and all else that was asked for when the flow begins. */
export const rebuild = guestFlow({
  name: "rebuild",
  method: "rebuild",
  params: (context, memo) => ({ spec: guestSpecOf(context), start: memo.was !== "stopped" }),
  becomes: (memo) => (memo.was === "stopped" ? "stopped" : "active"),
  change: () => ({ launched_at: new Date().toISOString(), progress: 100 }),
  task: () => "rebuild_spawning",
  breaks: true,
});
