/** Locks, deleting for good and back, and an admin's last words (nova: lock_server.py, deferred_delete.py, admin_actions.py). */
import { z } from "zod";
import { actionFault } from "../action-fault.ts";
import { Fault, forbidden, instanceNotFound } from "../fault.ts";
import { has } from "../history.ts";
import { serverOf } from "../servers.ts";
import { action, plain, type ServerActions } from "./action.ts";

const reason = z.strictObject({ locked_reason: z.string().min(1).max(255).optional() }).nullable();
const anything = z.unknown().transform(() => null);

export const admin: ServerActions = {
  lock: action({
    summary: "Lock a server",
    rule: "os_compute_api:os-lock-server:lock",
    role: "member",
    value: (minor): z.ZodType<z.infer<typeof reason>> => (has(minor, "server.lock-reason") ? reason : anything),
    status: 202,
    async run(c, value) {
      const { id, stub } = serverOf(c);
      if (!(await stub.lock(c.var.actor, value?.locked_reason ?? null)).ok) throw instanceNotFound(id);
      return c.body(null, 202);
    },
  }),
  unlock: action({
    summary: "Unlock a server",
    rule: "os_compute_api:os-lock-server:unlock",
    role: "member",
    status: 202,
    async run(c) {
      const { id, stub } = serverOf(c);
      const done = await stub.unlock(c.var.actor);
      if (done.ok) return c.body(null, 202);
      if (done.error.kind === "not_found") throw instanceNotFound(id);
      throw forbidden("Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.");
    },
  }),
  forceDelete: action({
    summary: "Delete a server at once, though deleted servers are kept for a time",
    rule: "os_compute_api:os-deferred-delete:force",
    role: "member",
    status: 202,
    async run(c) {
      const { id, stub } = serverOf(c);
      const begun = await stub.remove(c.var.actor, "force_delete");
      if (!begun.ok) throw actionFault(id, begun.error);
      return c.body(null, 202);
    },
  }),
  restore: plain("restore", {
    summary: "Restore a soft-deleted server",
    rule: "os_compute_api:os-deferred-delete:restore",
  }),
  "os-resetState": action({
    summary: "Set the state of a server, without touching it",
    rule: "os_compute_api:os-admin-actions:reset_state",
    role: "admin",
    value: z.strictObject({ state: z.enum(["active", "error"]) }),
    status: 202,
    async run(c, { state }) {
      const { id, stub } = serverOf(c);
      if (!(await stub.reset(c.var.actor, state)).ok) throw instanceNotFound(id);
      return c.body(null, 202);
    },
  }),
  resetNetwork: action({
    summary: "Removed from Nova",
    rule: "os_compute_api:os-admin-actions:reset_network",
    role: "reader",
    status: 410,
    async run() {
      throw new Fault(410, "This resource is no longer available. No forwarding address is given.");
    },
  }),
};
