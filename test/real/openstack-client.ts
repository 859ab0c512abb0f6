/** Debian's OpenStack client, unmodified, as the admin of a test's edge. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { TEST_SECRETS } from "../secrets.ts";

export const CLIENT = "/usr/bin/openstack";
export const CLIENT_PACKAGE = "python3-openstackclient";
export const CLIENT_TIMEOUT_MS = 60_000;

const run = promisify(execFile);

export type OpenstackClient = {
  /** A folder of its own, with its clouds.yaml. */
  home: string;
  env: NodeJS.ProcessEnv;
  /** What the client prints; rejects, with its words, when it fails. */
  openstack(...args: string[]): Promise<string>;
  /** The same as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: the client's output is whatever the test says that it is.
  json(...args: string[]): Promise<any>;
  remove(): void;
};

export function openstackClient(edgeUrl: string): OpenstackClient {
  const home = mkdtempSync(join(tmpdir(), "edgenova-openstack-"));
  const auth = {
    auth_url: `${edgeUrl}/identity/v3`,
    username: "admin",
    password: TEST_SECRETS.ADMIN_PASSWORD,
    project_name: "demo",
    user_domain_name: "Default",
    project_domain_name: "Default",
  };
  const cloud = { auth, region_name: "RegionOne", identity_api_version: 3, compute_api_version: "2.61" };
  // JSON is YAML.
  writeFileSync(join(home, "clouds.yaml"), JSON.stringify({ clouds: { edge: cloud } }));
  const env = { PATH: "/usr/bin:/bin", HOME: home, OS_CLIENT_CONFIG_FILE: join(home, "clouds.yaml"), OS_CLOUD: "edge" };
  const openstack = async (...args: string[]) => {
    const { stdout } = await run(CLIENT, args, { env, timeout: CLIENT_TIMEOUT_MS });
    return stdout;
  };
  return {
    home,
    env,
    openstack,
    json: async (...args) => JSON.parse(await openstack(...args, "-f", "json")),
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}
