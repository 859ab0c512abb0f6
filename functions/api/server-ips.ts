/** /servers/{id}/ips (nova/api/openstack/compute/ips.py): what its host read of the guest. */
import { ipsView } from "./addresses-view.ts";
import { notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { serverRecord } from "./servers.ts";

export const serverIps: Paths = {
  "/servers/:id/ips": {
    GET: operation({
      summary: "List a server's addresses, by network",
      rule: "os_compute_api:ips:index",
      role: "reader",
      status: 200,
      answers: "addresses",
      run: async (c) => c.json({ addresses: ipsView(await serverRecord(c)) }),
    }),
  },
  "/servers/:id/ips/:label": {
    GET: operation({
      summary: "Show a server's addresses in a network",
      rule: "os_compute_api:ips:show",
      role: "reader",
      status: 200,
      run: async (c) => {
        const label = c.req.param("label") ?? "";
        const networks = ipsView(await serverRecord(c));
        if (!Object.hasOwn(networks, label)) throw notFound("Network not found");
        return c.json({ [label]: networks[label] });
      },
    }),
  },
};
