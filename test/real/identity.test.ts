/** Debian's OpenStack client, unmodified, as an operator and as his users: projects, users, roles, keys, tokens. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { type Issuer, startIssuer } from "../oidc-issuer.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { needs } from "./requirement.ts";

const CLIENT = "/usr/bin/openstack";
const missing = !needs("the test of OpenStack's own client", [CLIENT], "python3-openstackclient");
const run = promisify(execFile);
const TIMEOUT_MS = 120_000;
const HEX = /^[0-9a-f]{32}$/;

describe.skipIf(missing)("openstack", { timeout: TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let issuer: Issuer;
  let home: string;
  let lab: string;
  let ann: string;

  beforeAll(async () => {
    issuer = await startIssuer();
    edge = await startTestEdge({
      OIDC_ISSUER: issuer.url,
      OIDC_AUDIENCE: issuer.audience,
      OIDC_JWKS_URL: issuer.jwksUrl,
      OIDC_MAPPING: JSON.stringify([{ claim: "groups", value: "dev", project: "demo", role: "member" }]),
    });
    home = mkdtempSync(join(tmpdir(), "edgenova-openstack-"));
  });
  afterAll(async () => {
    await edge?.close();
    await issuer?.close();
    if (home) rmSync(home, { recursive: true, force: true });
  });

  type Login = Record<string, string>;
  const password = (name: string, secret: string, project: string): Login => ({
    OS_USERNAME: name,
    OS_PASSWORD: secret,
    OS_USER_DOMAIN_NAME: "Default",
    OS_PROJECT_NAME: project,
    OS_PROJECT_DOMAIN_NAME: "Default",
  });
  const admin = password("admin", TEST_SECRETS.ADMIN_PASSWORD, "demo");

  /** What the client prints; rejects, with its words, when it fails. */
  async function openstack(login: Login, ...args: string[]): Promise<string> {
    const where = { OS_AUTH_URL: `${edge.url}/identity/v3`, OS_IDENTITY_API_VERSION: "3", OS_REGION_NAME: "RegionOne" };
    const env = { PATH: "/usr/bin:/bin", HOME: home, ...where, ...login };
    return (await run(CLIENT, args, { env, timeout: TIMEOUT_MS })).stdout;
  }
  const json = async (login: Login, ...args: string[]) => JSON.parse(await openstack(login, ...args, "-f", "json"));
  const refused = (words: string) => ({ code: 1, stderr: expect.stringContaining(words) });

  it("project create, list, show, set", async () => {
    const made = await json(admin, "project", "create", "lab", "--description", "where ann works");
    expect(made).toMatchObject({ name: "lab", description: "where ann works", domain_id: "default", enabled: true });
    lab = made.id;
    expect(lab).toMatch(HEX);
    const listed = await json(admin, "project", "list");
    expect(listed.map((one: { Name: string }) => one.Name)).toEqual(["demo", "lab"]);
    await openstack(admin, "project", "set", "lab", "--description", "new");
    expect(await json(admin, "project", "show", "lab")).toMatchObject({ id: lab, description: "new" });
    await expect(openstack(admin, "project", "create", "lab")).rejects.toMatchObject(refused("Duplicate entry"));
  });

  it("user create, set, list, show; role add, list; role assignment list", async () => {
    const options = ["--password", "secret 1", "--email", "ann@example.org", "--project", "lab"];
    ann = (await json(admin, "user", "create", "ann", ...options)).id;
    expect(ann).toMatch(HEX);
    await openstack(admin, "user", "set", "ann", "--email", "new@example.org");
    expect(await json(admin, "user", "show", "ann")).toMatchObject({
      id: ann,
      email: "new@example.org",
      default_project_id: lab,
    });
    expect(await json(admin, "user", "list")).toContainEqual({ ID: ann, Name: "ann" });
    await openstack(admin, "role", "add", "--user", "ann", "--project", "lab", "member");
    expect(await json(admin, "role", "assignment", "list", "--user", "ann", "--names")).toEqual([
      {
        Role: "member",
        User: "ann@Default",
        Group: "",
        Project: "lab@Default",
        Domain: "",
        System: "",
        Inherited: false,
      },
    ]);
    expect(await json(admin, "user", "list", "--project", "lab")).toEqual([{ ID: ann, Name: "ann" }]);
    const roles = await json(admin, "role", "list");
    expect(roles.map((one: { Name: string }) => one.Name)).toEqual(["admin", "manager", "member", "reader"]);
  });

  it("a member logs in, sees his project and no more, and changes his password", async () => {
    const old = password("ann", "secret 1", "lab");
    expect(await json(old, "token", "issue")).toMatchObject({ project_id: lab, user_id: ann });
    expect(await json(old, "project", "list")).toEqual([{ ID: lab, Name: "lab" }]);
    expect(await json(old, "server", "list")).toEqual([]);
    await expect(openstack(old, "user", "list")).rejects.toMatchObject(refused("identity:list_users"));
    await openstack(old, "user", "password", "set", "--original-password", "secret 1", "--password", "secret 2");
    await expect(openstack(old, "token", "issue")).rejects.toMatchObject(refused("requires authentication"));
    await openstack(password("ann", "secret 2", "lab"), "token", "issue");
  });

  it("token revoke", async () => {
    const login = password("ann", "secret 2", "lab");
    const { id } = await json(login, "token", "issue");
    const byToken = {
      OS_AUTH_TYPE: "v3token",
      OS_TOKEN: id,
      OS_PROJECT_NAME: "lab",
      OS_PROJECT_DOMAIN_NAME: "Default",
    };
    expect(await json(byToken, "token", "issue")).toMatchObject({ project_id: lab });
    await openstack(login, "token", "revoke", id);
    await expect(openstack(byToken, "token", "issue")).rejects.toMatchObject(refused("requires authentication"));
  });

  it("application credential create, list, show, delete, and a log-in by one", async () => {
    const login = password("ann", "secret 2", "lab");
    const expiration = ["--expiration", "2099-01-01T00:00:00"];
    const made = await json(login, "application", "credential", "create", "robot", "--role", "reader", ...expiration);
    expect(made).toMatchObject({ name: "robot", project_id: lab, roles: "reader", unrestricted: false });
    const robot = {
      OS_AUTH_TYPE: "v3applicationcredential",
      OS_APPLICATION_CREDENTIAL_ID: made.id,
      OS_APPLICATION_CREDENTIAL_SECRET: made.secret,
    };
    expect(await json(robot, "token", "issue")).toMatchObject({ project_id: lab, user_id: ann });
    expect(await json(robot, "server", "list")).toEqual([]);
    const listed = await json(login, "application", "credential", "list");
    expect(listed).toEqual([expect.objectContaining({ ID: made.id, Name: "robot", "Project ID": lab })]);
    const shown = await json(login, "application", "credential", "show", "robot");
    expect(shown).toMatchObject({ id: made.id, expires_at: "2099-01-01T00:00:00.000000" });
    expect(shown).not.toHaveProperty("secret");
    await openstack(login, "application", "credential", "delete", "robot");
    await expect(openstack(robot, "token", "issue")).rejects.toMatchObject(refused("requires authentication"));
  });

  it("a log-in by an outside issuer's access token", async () => {
    const stranger = {
      OS_AUTH_TYPE: "v3oidcaccesstoken",
      OS_IDENTITY_PROVIDER: "oidc",
      OS_PROTOCOL: "openid",
      OS_ACCESS_TOKEN: await issuer.sign({ sub: "eve", preferred_username: "eve", groups: ["dev"] }),
      OS_PROJECT_NAME: "demo",
      OS_PROJECT_DOMAIN_NAME: "Default",
    };
    const { user_id } = await json(stranger, "token", "issue");
    expect(await json(stranger, "server", "list")).toEqual([]);
    expect(await json(admin, "user", "list")).toContainEqual({ ID: user_id, Name: "eve" });
  });

  it("role remove, user delete, project delete", async () => {
    await openstack(admin, "role", "remove", "--user", "ann", "--project", "lab", "member");
    expect(await json(admin, "role", "assignment", "list", "--user", "ann")).toEqual([]);
    await openstack(admin, "user", "delete", "ann");
    await openstack(admin, "project", "delete", "lab");
    await expect(openstack(admin, "project", "show", "lab")).rejects.toMatchObject(refused("No project"));
    await expect(openstack(admin, "user", "delete", "admin")).rejects.toMatchObject({ code: 1 });
  });
});
