/** What a guest tells of itself: diagnostics, and its password (nova: server_diagnostics.py, server_password.py). */
import type { Context } from "hono";
import { type Diagnostics, diagnostics } from "../protocol/methods.ts";
import { actionFault, callFault } from "./action-fault.ts";
import type { AppEnv } from "./app-env.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { serverOf, serverRecord } from "./servers.ts";

const PASSWORD = "os_compute_api:os-server-password";

export const serverGuest: Paths = {
  "/servers/:id/diagnostics": {
    GET: operation({
      summary: "Show what a running guest uses",
      rule: "os_compute_api:os-server-diagnostics",
      role: "admin",
      status: 200,
      run: show,
    }),
  },
  "/servers/:id/os-server-password": {
    // Only a guest that has a metadata service could leave a password of its own making here.
    GET: operation({
      summary: "Show the password that a guest made for itself: none, as there is no metadata service",
      rule: `${PASSWORD}:show`,
      role: "reader",
      status: 200,
      answers: "password",
      async run(c) {
        await serverRecord(c);
        return c.json({ password: "" });
      },
    }),
    DELETE: operation({
      summary: "Forget the password that a guest made for itself",
      rule: `${PASSWORD}:clear`,
      role: "member",
      status: 204,
      async run(c) {
        await serverRecord(c);
        return c.body(null, 204);
      },
    }),
  },
};

async function show(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const asked = await stub.ask(c.var.actor, "get_diagnostics", {});
  if (!asked.ok) throw actionFault(id, asked.error);
  if (!asked.value.ok) throw callFault(asked.value.error);
  const told = diagnostics.parse(asked.value.value);
  return c.json(has(c.var.minor, "server.diagnostics") ? told : asLibvirtTold(told));
}

/** Up to 2.47 each driver answered in a form of its own; clients know libvirt's (nova: libvirt get_diagnostics). */
function asLibvirtTold({ cpu_details, disk_details, memory_details, nic_details }: Diagnostics): object {
  const rows: [string, number | null][] = [
    ["memory", kib(memory_details.maximum)],
    ["memory-actual", kib(memory_details.maximum)],
    ["memory-rss", kib(memory_details.used)],
    ...cpu_details.map(({ id, time }, i): [string, number | null] => [`cpu${id ?? i}_time`, time]),
    ...disk_details.flatMap((disk, i): [string, number | null][] => {
      const name = `vd${String.fromCharCode(97 + i)}`;
      return [
        [`${name}_read`, disk.read_bytes],
        [`${name}_read_req`, disk.read_requests],
        [`${name}_write`, disk.write_bytes],
        [`${name}_write_req`, disk.write_requests],
        [`${name}_errors`, disk.errors_count],
      ];
    }),
    ...nic_details.flatMap((nic, i): [string, number | null][] => [
      [`vnet${i}_rx`, nic.rx_octets],
      [`vnet${i}_rx_packets`, nic.rx_packets],
      [`vnet${i}_rx_errors`, nic.rx_errors],
      [`vnet${i}_rx_drop`, nic.rx_drop],
      [`vnet${i}_tx`, nic.tx_octets],
      [`vnet${i}_tx_packets`, nic.tx_packets],
      [`vnet${i}_tx_errors`, nic.tx_errors],
      [`vnet${i}_tx_drop`, nic.tx_drop],
    ]),
  ];
  return Object.fromEntries(rows.filter(([, value]) => value !== null));
}

const kib = (mib: number | null) => (mib === null ? null : mib * 1024);
