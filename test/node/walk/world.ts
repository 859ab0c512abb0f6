/** What the tests that walk every route walk in: an edge where every kind of thing exists, and a caller of every kind. */
import { expect } from "vitest";
import { ask, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../../edge.ts";
import { tokenOf } from "../../tokens.ts";
import type { Role } from "./api.ts";

export const NOBODY = "00000000-0000-4000-8000-000000000000";
const OTHER_PROJECT = "f".repeat(32);
const V = "/compute/v2.1";
const HOST = "walked";
/** ssh-ed25519. */
const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGC4dTgwSrTOQNaFcFCBIJZg0l2kTnYfxbNrqqNSnVkM walker";

export type World = {
  edge: TestEdge;
  /** What is there for each parameter of a path, by the part of the path before it; by its number up to 2.52. */
  ids: Record<string, string | { number: number; uuid: string }>;
  tokens: Record<Role | "none", string>;
  /** Of the other project, by role. */
  strangers: Record<Exclude<Role, "admin" | "service">, string>;
};

export async function startWorld(): Promise<World> {
  const edge = await startTestEdge();
  const { host } = await edge.agent(HOST);
  const image = await demoImage(edge.cloud);
  const made = async (path: string, body: object, minor = 61) => {
    const answer = await ask(edge, "POST", path, { body, minor });
    expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
    return answer.body;
  };
  const server = {
    name: "walked",
    imageRef: image,
    flavorRef: "1",
    networks: "none",
    metadata: { k: "v" },
    tags: ["t"],
  };
  const { id } = (await made(`${V}/servers`, { server })).server;
  expect((await edge.cloud.built(id, 20_000)).status).toBe("ACTIVE");
  const flavor = { id: "walked", name: "walked", ram: 1, vcpus: 1, disk: 0, "os-flavor-access:is_public": false };
  await made(`${V}/flavors`, { flavor });
  await made(`${V}/flavors/walked/action`, { addTenantAccess: { tenant: DEMO_PROJECT } });
  await made(`${V}/flavors/walked/os-extra_specs`, { extra_specs: { "hw:mem_page_size": "any" } });
  await made(`${V}/os-keypairs`, { keypair: { name: "walked", public_key: PUBLIC_KEY } }, 2);
  const { server_group } = await made(`${V}/os-server-groups`, { server_group: { name: "g", policies: ["affinity"] } });
  const { aggregate } = await made(`${V}/os-aggregates`, { aggregate: { name: "a" } });
  await made(`${V}/os-aggregates/${aggregate.id}/action`, { add_host: { host } });
  const headers = { "content-type": "application/openstack-images-v2.1-json-patch" };
  const body = [{ op: "add", path: "/k", value: "v" }];
  expect((await edge.call("PATCH", `/image/v2/images/${image}`, { body, headers })).status).toBe(200);
  const first = async (path: string, key: string, minor = 61) =>
    (await ask(edge, "GET", `${V}${path}`, { minor })).body[key][0];
  const { console_link } = await made(`${V}/servers/${id}/console-links`, { console_link: {} });
  const ids = {
    servers: id,
    "console-links": console_link.id,
    // The server is looked at first, whichever session is meant.
    "console-sessions": id,
    metadata: "k",
    tags: "t",
    ips: "x",
    "os-instance-actions": (await first(`/servers/${id}/os-instance-actions`, "instanceActions")).request_id,
    migrations: "1",
    flavors: "walked",
    "os-extra_specs": "hw:mem_page_size",
    "os-aggregates": String(aggregate.id),
    "os-hypervisors": {
      number: (await first("/os-hypervisors", "hypervisors", 1)).id,
      uuid: (await first("/os-hypervisors", "hypervisors")).id,
    },
    "os-hypervisors:pattern": HOST,
    "os-services": {
      number: (await first("/os-services", "services", 1)).id,
      uuid: (await first("/os-services", "services")).id,
    },
    "os-keypairs": "walked",
    "os-quota-sets": DEMO_PROJECT,
    "os-quota-class-sets": "default",
    "os-server-groups": server_group.id,
    "os-simple-tenant-usage": DEMO_PROJECT,
    images: image,
    "os-hosts": host,
    extensions: "os-hypervisors",
    "os-console-auth-tokens": new URL(await edge.cloud.consoleUrl(id)).searchParams.get("token") ?? "",
    "os-instance_usage_audit_log": "2026-01-01 00:00:00",
    "os-volumes_boot": id,
    // Nothing is attached to any server; these are as good as others.
    "os-interface": id,
    "os-volume_attachments": id,
  };
  return { edge, ids, ...(await callers()) };
}

/** The walker owns what is owned by a user, too. */
async function callers(): Promise<Pick<World, "tokens" | "strangers">> {
  const of = (roles: string[], project = DEMO_PROJECT) => tokenOf({ roles, project });
  return {
    tokens: {
      none: await of(["auditor"]),
      reader: await of(["reader"]),
      member: await of(["member"]),
      manager: await of(["manager"]),
      admin: await of(["admin"]),
      service: await of(["service"]),
    },
    strangers: {
      reader: await tokenOf({ user: "s".repeat(32), roles: ["reader"], project: OTHER_PROJECT }),
      member: await tokenOf({ user: "s".repeat(32), roles: ["member"], project: OTHER_PROJECT }),
      manager: await tokenOf({ user: "s".repeat(32), roles: ["manager"], project: OTHER_PROJECT }),
    },
  };
}
