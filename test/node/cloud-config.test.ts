/** Where the `edgenova` command finds its cloud, and what it says when it does not. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { findLogin } from "../../agent/cli/cloud-config.ts";
import { temporaryDir } from "./agent-support.ts";

let dir: string;
beforeEach(() => {
  dir = temporaryDir();
});

const AUTH = { auth_url: "https://edge.example/identity/", username: "ada", password: "pw", project_name: "demo" };

function write(path: string, clouds: Record<string, object>): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), JSON.stringify({ clouds }));
}
const login = (env: Record<string, string> = {}, name?: string) =>
  findLogin({ env, cwd: join(dir, "work"), home: join(dir, "home") }, name);
const at = (url: string) => ({ auth: { ...AUTH, auth_url: url } });

it("takes the nearest file, a name before the variables, and a flag before both", () => {
  write("home/.config/openstack/clouds.yaml", { one: at("https://home"), far: at("https://far") });
  expect(() => login()).toThrow(/clouds\.yaml has several clouds \(one, far\): choose one with --os-cloud/);
  write("work/.edgenova/clouds.yaml", { edgenova: at("https://started") });
  expect(login().authUrl).toBe("https://started/v3");
  write("work/clouds.yaml", { one: at("https://here") });
  expect(login().authUrl).toBe("https://here/v3");
  write("other/clouds.yaml", { one: at("https://given/v3/") });
  const given = { OS_CLIENT_CONFIG_FILE: join(dir, "other/clouds.yaml") };
  expect(login(given).authUrl).toBe("https://given/v3");
  const variables = { ...given, OS_AUTH_URL: "https://variables/v3", OS_USERNAME: "ada", OS_PASSWORD: "pw" };
  expect(login(variables).authUrl).toBe("https://variables/v3");
  expect(login({ ...variables, OS_CLOUD: "far" }).authUrl).toBe("https://far/v3");
  expect(login({ ...variables, OS_CLOUD: "far" }, "edgenova").authUrl).toBe("https://started/v3");
  expect(() => login({}, "none")).toThrow('no clouds.yaml has a cloud "none": choose one of one, edgenova, one, far');
  expect(() => login({ OS_CLIENT_CONFIG_FILE: "/none" })).toThrow(/names \/none, which is not there/);
});

it("adds the secrets of a secure.yaml beside it", () => {
  write("work/clouds.yaml", { one: { auth: { ...AUTH, password: "" }, region_name: "r", interface: "internal" } });
  expect(() => login()).toThrow(/says not who you are: add username and password/);
  write("work/secure.yaml", { one: { auth: { password: "from-secure" } }, other: { auth: { password: "no" } } });
  expect(login()).toMatchObject({
    body: { auth: { identity: { password: { user: { name: "ada", password: "from-secure" } } } } },
    region: "r",
    interface: "internal",
  });
});

it.each([
  [{ USERNAME: "ada", PASSWORD: "pw", USER_DOMAIN_NAME: "D", PROJECT_ID: "p" }, ["password"], { project: { id: "p" } }],
  [
    { USER_ID: "u", PASSWORD: "pw", PROJECT_NAME: "d", PROJECT_DOMAIN_ID: "x" },
    ["password"],
    { project: { name: "d", domain: { id: "x" } } },
  ],
  [{ TOKEN: "t", USERNAME: "ada" }, ["token"], undefined],
  [
    { APPLICATION_CREDENTIAL_ID: "c", APPLICATION_CREDENTIAL_SECRET: "s", PROJECT_ID: "p" },
    ["application_credential"],
    undefined,
  ],
])("logs in by the variables %j", (variables, methods, scope) => {
  const env = Object.fromEntries(Object.entries(variables).map(([key, value]) => [`OS_${key}`, value]));
  const { body } = login({ ...env, OS_AUTH_URL: "https://edge.example" });
  expect(body.auth.identity).toMatchObject({ methods });
  expect(body.auth.scope).toEqual(scope);
});

it.each([
  [{}, /there is no cloud to ask: run "npm start"/],
  [{ OS_CLOUD: "one" }, /there is no clouds\.yaml to find "one" in/],
  [{ OS_AUTH_URL: "https://e", OS_USERNAME: "ada" }, /the environment \(OS_…\) says not who you are/],
  [{ OS_AUTH_URL: "https://e", OS_INTERFACE: "secret" }, /OS_INTERFACE is not right/],
])("says what to do with %j", (env, message) => {
  expect(() => login(env)).toThrow(message);
});
