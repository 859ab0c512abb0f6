/** Quotas, limits and usage as Debian's `openstack` and `nova` set and print them. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { needs } from "./requirement.ts";

const OPENSTACK = "/usr/bin/openstack";
const NOVA = "/usr/bin/nova";
const missing = !needs("the test of OpenStack's clients for quotas", [OPENSTACK, NOVA], "python3-openstackclient");
const run = promisify(execFile);
const TIMEOUT_MS = 60_000;
const PROJECT = "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10";
const ADMIN = "0c7a1d9e54f84f6ab3b8c2f6f2d4e901";

describe.skipIf(missing)("quotas, limits and usage", () => {
  let edge: TestEdge;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    edge = await startTestEdge();
    await edge.agent("one");
    const server = await edge.cloud.createServer("one", await demoImage(edge.cloud), "1");
    await edge.cloud.built(server, 20_000);
    env = {
      PATH: "/usr/bin:/bin",
      OS_AUTH_URL: `${edge.url}/identity/v3`,
      OS_USERNAME: "admin",
      OS_PASSWORD: TEST_SECRETS.ADMIN_PASSWORD,
      OS_PROJECT_NAME: "demo",
      OS_USER_DOMAIN_NAME: "Default",
      OS_PROJECT_DOMAIN_NAME: "Default",
      OS_REGION_NAME: "RegionOne",
      OS_IDENTITY_API_VERSION: "3",
    };
  });
  afterAll(() => edge?.close());

  /** What `openstack` prints as JSON. */
  async function openstack(...args: string[]) {
    const { stdout } = await run(OPENSTACK, ["--os-compute-api-version", "2.61", ...args, "-f", "json"], {
      env,
      timeout: TIMEOUT_MS,
    });
    return JSON.parse(stdout);
  }
  /** What `nova` prints: the rows of its last table, by their first column. */
  async function nova(minor: number, ...args: string[]): Promise<Record<string, string>> {
    const { stdout } = await run(NOVA, ["--os-compute-api-version", `2.${minor}`, ...args], {
      env,
      timeout: TIMEOUT_MS,
    });
    const rows = stdout.split("\n").filter((line) => line.startsWith("|"));
    const cells = rows.map((line) => line.split("|").map((cell) => cell.trim()));
    return Object.fromEntries(cells.map(([, name = "", ...values]) => [name, values.join(" ").trim()]));
  }

  it("openstack quota show", async () => {
    const shown = { instances: 10, cores: 20, ram: 51_200, properties: 128, "key-pairs": 100, project: PROJECT };
    expect(await openstack("quota", "show")).toMatchObject(shown);
    expect(await openstack("quota", "show", "--default")).toMatchObject(shown);
  });
  it("openstack limits show", async () => {
    const rows = await openstack("limits", "show", "--absolute");
    const absolute = Object.fromEntries(rows.map((row: { Name: string; Value: number }) => [row.Name, row.Value]));
    expect(absolute).toMatchObject({
      maxTotalInstances: 10,
      totalInstancesUsed: 1,
      totalCoresUsed: 1,
      totalRAMUsed: 512,
    });
    expect(await openstack("limits", "show", "--rate")).toEqual([]);
  });
  it("openstack usage show and list", async () => {
    const used = { Project: PROJECT, Servers: [{ name: "one", flavor: "m1.tiny", vcpus: 1, state: "active" }] };
    expect(await openstack("usage", "show")).toMatchObject(used);
    expect(await openstack("usage", "list")).toMatchObject([used]);
  });
  it.each([1, 40, 61])("nova quota-*, at 2.%i", async (minor) => {
    await nova(minor, "quota-update", "--instances", "12", PROJECT);
    await nova(minor, "quota-update", "--user", ADMIN, "--instances", "5", PROJECT);
    expect(await nova(minor, "quota-show", "--tenant", PROJECT)).toMatchObject({ instances: "12", cores: "20" });
    const mine = await nova(minor, "quota-show", "--tenant", PROJECT, "--user", ADMIN);
    expect([mine.instances, mine.injected_files, mine.fixed_ips]).toEqual([
      "5",
      minor <= 56 ? "5" : undefined,
      minor <= 35 ? "-1" : undefined,
    ]);
    await expect(nova(minor, "quota-update", "--instances", "0", PROJECT)).rejects.toThrow("already used and reserved");
    await nova(minor, "quota-delete", "--tenant", PROJECT);
    expect(await nova(minor, "quota-defaults", "--tenant", PROJECT)).toMatchObject({ instances: "10" });
    await nova(minor, "quota-class-update", "--cores", "21", "default");
    expect(await nova(minor, "quota-class-show", "default")).toMatchObject({ cores: "21" });
    expect(await nova(minor, "limits")).toMatchObject({ Instances: "1 10", Cores: "1 21", "Server Meta": "- 128" });
    await nova(minor, "quota-class-update", "--cores", "20", "default");
    expect((await nova(minor, "usage-list"))[PROJECT]).toMatch(/^1 /);
  });
});
