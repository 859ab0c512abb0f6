/** Debian's `openstack`, as an operator and as his users: projects, users, roles, keys, tokens. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { type Issuer, startIssuer } from "../oidc-issuer.ts";
import {
  CLIENT_TIMEOUT_MS,
  type Clients,
  clientsMissing,
  type Login,
  passwordLogin,
  type Shell,
  startClients,
} from "./clients.ts";

const HEX = /^[0-9a-f]{32}$/;

describe.skipIf(clientsMissing())("openstack", { timeout: CLIENT_TIMEOUT_MS }, () => {
  let edge: TestEdge;
  let issuer: Issuer;
  let clients: Clients;
  let admin: Shell;
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
    clients = await startClients(edge.url);
    admin = clients.shell("openstack");
  });
  afterAll(async () => {
    clients?.stop();
    await edge?.close();
    await issuer?.close();
  });

  const as = (login: Login) => clients.shell("openstack", "default", login);

  it("project create, list, show, set", async () => {
    const made = await admin.json`project create lab --description ${"where ann works"}`;
    expect(made).toMatchObject({ name: "lab", description: "where ann works", domain_id: "default", enabled: true });
    lab = made.id;
    expect(lab).toMatch(HEX);
    const listed = await admin.json`project list`;
    expect(listed.map((one: { Name: string }) => one.Name)).toEqual(["demo", "lab"]);
    await admin`project set lab --description new`;
    expect(await admin.json`project show lab`).toMatchObject({ id: lab, description: "new" });
    expect(await admin.fails`project create lab`).toContain("Duplicate entry");
  });

  it("user create, set, list, show; role add, list; role assignment list", async () => {
    const options = ["--password", "secret 1", "--email", "ann@example.org", "--project", "lab"];
    ann = (await admin.json`user create ann ${options}`).id;
    expect(ann).toMatch(HEX);
    await admin`user set ann --email new@example.org`;
    expect(await admin.json`user show ann`).toMatchObject({
      id: ann,
      email: "new@example.org",
      default_project_id: lab,
    });
    expect(await admin.json`user list`).toContainEqual({ ID: ann, Name: "ann" });
    await admin`role add --user ann --project lab member`;
    expect(await admin.json`role assignment list --user ann --names`).toEqual([
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
    expect(await admin.json`user list --project lab`).toEqual([{ ID: ann, Name: "ann" }]);
    const roles = await admin.json`role list`;
    expect(roles.map((one: { Name: string }) => one.Name)).toEqual(["admin", "manager", "member", "reader", "service"]);
  });

  it("role create, show, delete", async () => {
    const { id } = await admin.json`role create auditor`;
    expect(await admin.json`role show auditor`).toMatchObject({ id, name: "auditor" });
    await admin`role add --user ann --project lab auditor`;
    const rows = await admin.json`role assignment list --user ann --names`;
    expect(rows.map((one: { Role: string }) => one.Role).sort()).toEqual(["auditor", "member"]);
    await admin`role delete auditor`;
    expect(await admin.fails`role show auditor`).toContain("No role with a name or ID of 'auditor' exists.");
    expect(await admin.json`role assignment list --user ann`).toHaveLength(1);
  });

  it("user set --disable keeps a user out", async () => {
    await admin`user set --disable ann`;
    expect(await admin.json`user show ann`).toMatchObject({ enabled: false });
    expect(await as(passwordLogin("ann", "secret 1", "lab")).fails`token issue`).toContain("requires authentication");
    await admin`user set --enable ann`;
  });

  it("a member logs in, sees his project and no more, and changes his password", async () => {
    const old = as(passwordLogin("ann", "secret 1", "lab"));
    expect(await old.json`token issue`).toMatchObject({ project_id: lab, user_id: ann });
    expect(await old.json`project list`).toEqual([{ ID: lab, Name: "lab" }]);
    expect(await old.json`server list`).toEqual([]);
    expect(await old.fails`user list`).toContain("identity:list_users");
    await old`user password set --original-password ${"secret 1"} --password ${"secret 2"}`;
    expect(await old.fails`token issue`).toContain("requires authentication");
    await as(passwordLogin("ann", "secret 2", "lab"))`token issue`;
  });

  it("token revoke", async () => {
    const login = as(passwordLogin("ann", "secret 2", "lab"));
    const { id } = await login.json`token issue`;
    const byToken = as({
      OS_AUTH_TYPE: "v3token",
      OS_TOKEN: id,
      OS_PROJECT_NAME: "lab",
      OS_PROJECT_DOMAIN_NAME: "Default",
    });
    expect(await byToken.json`token issue`).toMatchObject({ project_id: lab });
    await login`token revoke ${id}`;
    expect(await byToken.fails`token issue`).toContain("requires authentication");
  });

  it("application credential create, list, show, delete, and a log-in by one", async () => {
    const login = as(passwordLogin("ann", "secret 2", "lab"));
    const expiration = ["--expiration", "2099-01-01T00:00:00"];
    const made = await login.json`application credential create robot --role reader ${expiration}`;
    expect(made).toMatchObject({ name: "robot", project_id: lab, roles: "reader", unrestricted: false });
    const robot = as({
      OS_AUTH_TYPE: "v3applicationcredential",
      OS_APPLICATION_CREDENTIAL_ID: made.id,
      OS_APPLICATION_CREDENTIAL_SECRET: made.secret,
    });
    expect(await robot.json`token issue`).toMatchObject({ project_id: lab, user_id: ann });
    expect(await robot.json`server list`).toEqual([]);
    const listed = await login.json`application credential list`;
    expect(listed).toEqual([expect.objectContaining({ ID: made.id, Name: "robot", "Project ID": lab })]);
    const shown = await login.json`application credential show robot`;
    expect(shown).toMatchObject({ id: made.id, expires_at: "2099-01-01T00:00:00.000000" });
    expect(shown).not.toHaveProperty("secret");
    await login`application credential delete robot`;
    expect(await robot.fails`token issue`).toContain("requires authentication");
  });

  it("a log-in by an outside issuer's access token", async () => {
    const stranger = as({
      OS_AUTH_TYPE: "v3oidcaccesstoken",
      OS_IDENTITY_PROVIDER: "oidc",
      OS_PROTOCOL: "openid",
      OS_ACCESS_TOKEN: await issuer.sign({ sub: "eve", preferred_username: "eve", groups: ["dev"] }),
      OS_PROJECT_NAME: "demo",
      OS_PROJECT_DOMAIN_NAME: "Default",
    });
    const { user_id } = await stranger.json`token issue`;
    expect(await stranger.json`server list`).toEqual([]);
    expect(await admin.json`user list`).toContainEqual({ ID: user_id, Name: "eve" });
  });

  it("role remove, user delete, project delete", async () => {
    await admin`role remove --user ann --project lab member`;
    expect(await admin.json`role assignment list --user ann`).toEqual([]);
    await admin`user delete ann`;
    await admin`project delete lab`;
    expect(await admin.fails`project show lab`).toContain("No project");
    expect(await admin.fails`user delete admin`).toContain("HTTP 403");
  });
});
