/** Actions on networks: there is no network service here, and every one says so (nova: multinic.py, floating_ips.py …). */
import { Fault } from "../fault.ts";
import type { Feature } from "../history.ts";
import type { Role } from "../policy.ts";
import { serverRecord } from "../servers.ts";
import { action, type ServerAction, type ServerActions } from "./action.ts";

function refused(rule: string, role: Role = "member", on?: Feature): ServerAction {
  return action({
    summary: "Refused: there is no network service",
    rule,
    role,
    ...(on === undefined ? {} : { on }),
    status: 501,
    async run(c) {
      await serverRecord(c);
      throw new Fault(501, "There is no network service here.");
    },
  });
}

export const network: ServerActions = {
  addFixedIp: refused("os_compute_api:os-multinic:add", "member", "do.network"),
  removeFixedIp: refused("os_compute_api:os-multinic:remove", "member", "do.network"),
  addFloatingIp: refused("os_compute_api:os-floating-ips:add", "member", "do.network"),
  removeFloatingIp: refused("os_compute_api:os-floating-ips:remove", "member", "do.network"),
  addSecurityGroup: refused("os_compute_api:os-security-groups:add"),
  removeSecurityGroup: refused("os_compute_api:os-security-groups:remove"),
  injectNetworkInfo: refused("os_compute_api:os-admin-actions:inject_network_info", "admin"),
};
