/** Pausing, suspending and rescuing a guest where it is (nova: compute/manager.py). */
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
  // As in Nova, whose rescue_timeout counts from here.
  change: () => ({ launched_at: new Date().toISOString() }),
  breaks: true,
});
export const unrescue = guestFlow({
  name: "unrescue",
  method: "unrescue",
  params: none,
  becomes: "active",
  breaks: true,
});
