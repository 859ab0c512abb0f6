/** The `edgenova` command as a process of its own, against a cloud in this one. */
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { temporaryDir } from "./agent-support.ts";
import { FakeCloud, fault, linkOf, PASSWORD, sessionOf } from "./fake-cloud.ts";

const MAIN = join(import.meta.dirname, "../../agent/cli/main.ts");

let cloud: FakeCloud;
let cwd: string;
beforeEach(async () => {
  cloud = await new FakeCloud().start();
  cwd = temporaryDir();
  return () => cloud.stop();
});

type End = { code: number; out: string; err: string };

/** Logs in by what `npm start` writes, unless `env` says otherwise. */
function edgenova(args: string[], env: Record<string, string> = {}): Promise<End> {
  mkdirSync(join(cwd, ".edgenova"), { recursive: true });
  writeFileSync(join(cwd, ".edgenova/clouds.yaml"), cloudsYaml("edgenova"));
  const options = { cwd, env: { PATH: process.env.PATH ?? "", HOME: cwd, ...env } };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

function cloudsYaml(name: string, password = PASSWORD): string {
  const auth = { auth_url: `${cloud.url}/identity/v3`, username: "admin", password, project_name: "demo" };
  // JSON is YAML; the password stands there as digits, as people write it.
  return JSON.stringify({ clouds: { [name]: { auth } } }).replace(`"${PASSWORD}"`, PASSWORD);
}

const server = () => cloud.servers[0]!;
const writes = () => cloud.asked.filter(({ method }) => method !== "GET");

describe("edgenova link create", () => {
  it("prints the URL alone on the first line, and what the link is below", async () => {
    const { code, out, err } = await edgenova(["link", "create", "demo", "--label", "Ada", "--for", "30m"]);
    expect([code, err]).toEqual([0, ""]);
    const [url, ...lines] = out.trimEnd().split("\n");
    expect(url).toBe(`${cloud.url}/console#${cloud.links[0]?.id}`);
    const shown = Object.fromEntries(lines.map((line) => line.trim().split(/ {2,}/)));
    expect(shown).toMatchObject({
      Server: "demo",
      Label: "Ada",
      Rights: "control, clipboard",
      Ends: expect.stringMatching(/^in 30 min \(\d{4}-\d\d-\d\d \d\d:\d\d UTC\); open sessions go on$/),
      Uses: "any number until it ends",
      PIN: "none",
      From: "any address",
      Revoke: `npx edgenova link revoke ${server().id} ${cloud.links[0]?.id}`,
    });
    const columns = lines.map((line) => /^ {2}\S+ +/.exec(line)?.[0].length);
    expect(new Set(columns).size).toBe(1);
  });

  it("asks for what the options say, and leaves the rest to the edge", async () => {
    await edgenova(["link", "create", "demo"]);
    const all = "--view --clipboard --power --for 2d --uses 3 --pin 0042 --from 192.0.2.0/24 --from ::1 --end-sessions";
    await edgenova(["link", "create", server().id, ...all.split(" "), "--label", "b"]);
    await edgenova(["link", "create", "demo", "--no-clipboard"]);
    const plain = { rights: "control", power: false, addresses: [], ends_sessions: false };
    expect(writes().map(({ body }) => (body as { console_link: object }).console_link)).toEqual([
      plain,
      {
        rights: "view",
        clipboard: true,
        power: true,
        expires_in: 172_800,
        uses: 3,
        pin: "0042",
        addresses: ["192.0.2.0/24", "::1"],
        ends_sessions: true,
        label: "b",
      },
      { ...plain, clipboard: false },
    ]);
  });

  it("makes a PIN, prints it once and sends the same", async () => {
    const { out } = await edgenova(["link", "create", "demo", "--json", "--pin"]);
    const printed = JSON.parse(out);
    expect(printed).toMatchObject({ url: expect.stringContaining(cloud.url), pin: true, state: "active" });
    expect(printed.pin_digits).toMatch(/^\d{6}$/);
    expect(writes()[0]?.body).toMatchObject({ console_link: { pin: printed.pin_digits } });
  });

  it.each([
    [["--for", "90"], /30m, 12h/],
    [["--for", "0h"], /30m, 12h/],
    [["--uses", "0"], /above 0/],
    [["--pin", "12"], /4 to 12 digits/],
    [["--from", "192.0.2.0/33"], /192\.0\.2\.0\/24/],
    [["--from", "example.org"], /192\.0\.2\.0\/24/],
    [["--label", "x".repeat(65)], /at most 64 characters/],
    [["--frobnicate"], /unknown option/],
  ])("refuses %j as bad usage, and asks nothing", async (args, message) => {
    const { code, out, err } = await edgenova(["link", "create", "demo", ...args]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(message);
    expect([...cloud.logins, ...cloud.asked]).toEqual([]);
  });
});

describe("edgenova link list, show and revoke", () => {
  it("lists links in aligned columns, and lets no label write to the terminal", async () => {
    cloud.links = [
      linkOf({ label: "Ada \u001b[2J\u202e", uses: 3, used: 1, in_use: 1 }),
      linkOf({ rights: "view", clipboard: false, state: "used_up", uses: 1, used: 1 }),
    ];
    const { out } = await edgenova(["link", "list", "demo"]);
    const [heads = "", first = "", second = ""] = out.split("\n");
    expect(heads.split(/ {2,}/)).toEqual(["LINK", "LABEL", "RIGHTS", "STATE", "ENDS", "USED", "OPEN"]);
    expect(first.slice(heads.indexOf("LABEL"))).toMatch(
      /^Ada \?\[2J\? +control, clipboard +active +in 1 h +1 of 3 +1$/,
    );
    expect(second.slice(heads.indexOf("RIGHTS"))).toMatch(/^view +used up /);
    expect(JSON.parse((await edgenova(["link", "list", "demo", "--json"])).out)).toEqual(cloud.links);
  });

  it("shows the active link of a label, with who used it", async () => {
    cloud.links = [linkOf({ label: "Bob", state: "expired" }), linkOf({ label: "Bob" })];
    cloud.sessions = [sessionOf({ label: "Bob" })];
    const { out } = await edgenova(["link", "show", "demo", "Bob"]);
    expect(cloud.asked.at(-1)?.path).toMatch(new RegExp(`/console-links/${cloud.links[1]?.id}$`));
    expect(out).toMatch(/^ {2}Made +2 h ago .* by ada$/m);
    expect(out).toMatch(/Bob +192\.0\.2\.7 +2 min ago +2 min +open +42 +512 B +3\.0 MiB$/m);
  });

  it("revokes those that are named, or none when one of them is not there", async () => {
    cloud.links = [linkOf({ label: "Ada" }), linkOf({ label: "Bob" }), linkOf({ label: "Bob" })];
    const [ada, bob] = cloud.links.map(({ id }) => String(id));
    const wrong = await edgenova(["link", "revoke", "demo", "Ada", "Eve"]);
    expect([wrong.code, wrong.err]).toEqual([
      1,
      'edgenova: there is no link "Eve": look for its name or id in the list\n',
    ]);
    expect((await edgenova(["link", "revoke", "demo", "Bob"])).err).toMatch(
      /2 links are called "Bob": name one by its id/,
    );
    expect(writes()).toEqual([]);
    expect((await edgenova(["link", "revoke", "demo", "Ada", bob!])).out).toBe("revoked 2 links\n");
    expect((await edgenova(["link", "revoke", "demo", "--all"])).out).toBe("revoked 1 link\n");
    const base = `/compute/v2.1/servers/${server().id}/console-links`;
    expect(writes().map(({ path }) => path)).toEqual([`${base}/${ada}`, `${base}/${bob}`, base]);
    expect((await edgenova(["link", "revoke", "demo"])).code).toBe(2);
  });
});

describe("edgenova session and share", () => {
  it("lists the sessions of all servers, and says that there are more", async () => {
    cloud.sessions = [sessionOf({ open: false, ended_at: new Date().toISOString(), ended_by: "locked_out" })];
    const { out } = await edgenova(["session", "list", "--all-projects", "--open", "--limit", "1"]);
    expect(cloud.asked.at(-1)?.path).toBe("/compute/v2.1/os-console-sessions?limit=1&all_tenants=1&open=1");
    expect(out).toMatch(/the-admin .* 2 min +locked out /);
    expect(out).toMatch(/There are more: see them with --limit 10\n$/);
  });

  it("ends the open sessions of a server, and no other", async () => {
    cloud.sessions = [sessionOf({ label: "Ada" }), sessionOf({ label: "Ada", open: false }), sessionOf()];
    expect((await edgenova(["session", "end", "demo", "Ada"])).out).toBe("ended 1 session\n");
    expect((await edgenova(["session", "end", "demo", "--all"])).out).toBe("ended 2 sessions\n");
    const ended = writes().map(({ method, path }) => `${method} ${path.split("/").at(-1)}`);
    const [ada, , other] = cloud.sessions.map(({ id }) => `DELETE ${id}`);
    expect(ended).toEqual([ada, ada, other]);
  });

  it("sets how a screen is shared", async () => {
    expect((await edgenova(["share", "demo", "one"])).out).toBe("demo: one types at a time, and hands it over\n");
    expect(writes()[0]).toMatchObject({ method: "PUT", body: { console_sharing: { sharing: "one" } } });
    expect((await edgenova(["share", "demo", "some"])).code).toBe(2);
  });
});

describe("what can go wrong", () => {
  it.each([
    [fault(403, "Policy doesn't allow it."), "Policy doesn't allow it: ask the server's owner or an admin"],
    [fault(429, "Too many.", { "retry-after": "7" }), "Too many: try again in 7 s"],
    [fault(409, "It is locked."), "It is locked"],
    [{ status: 500 }, "the cloud answered 500: try again, and tell the cloud's admin if it stays so"],
    [{ status: 302, headers: { location: "http://192.0.2.1/" } }, "the cloud answered 302: check the auth_url"],
  ])("%j is told in one line", async (answer, message) => {
    cloud.answer = answer;
    expect(await edgenova(["link", "list", "demo"])).toEqual({ code: 1, out: "", err: `edgenova: ${message}\n` });
  });

  it("does not trust an answer that is none", async () => {
    cloud.links = [linkOf({ state: "enchanted" })];
    const { code, err } = await edgenova(["link", "list", "demo"]);
    expect([code, err]).toEqual([1, expect.stringMatching(/not understood \(at console_links\.0\.state\)/)]);
  });

  it("finds servers by their whole name only, whatever is in it", async () => {
    cloud.servers = ["a.b", "axb", "two", "two"].map((name, i) => ({ id: String(i), name }));
    expect((await edgenova(["link", "list", "a.b"])).code).toBe(0);
    expect(cloud.asked.at(-1)?.path).toBe("/compute/v2.1/servers/0/console-links");
    expect((await edgenova(["link", "list", "a"])).err).toBe(
      'edgenova: there is no server "a": look for its name or id in the list\n',
    );
    expect((await edgenova(["link", "list", "two"])).err).toMatch(/2 servers are called "two".*\(2, 3\)/);
  });

  it("says where the log-in was found that does not do, and never the password", async () => {
    writeFileSync(join(cwd, "clouds.yaml"), cloudsYaml("mine", "wrong"));
    const refused = await edgenova(["link", "list", "demo", "--os-cloud", "mine"]);
    const path = join(cwd, "clouds.yaml");
    expect(refused.err).toBe(`edgenova: the log-in was refused: check "mine" in ${path}\n`);
    cloud.stop();
    const gone = await edgenova(["link", "list", "demo"]);
    expect([gone.code, gone.err]).toEqual([
      1,
      expect.stringMatching(/cannot reach .*ECONNREFUSED.*: check that it runs/),
    ]);
    writeFileSync(path, 'clouds:\n  mine:\n    auth: {password: "secret\n');
    const broken = await edgenova(["link", "list", "demo"]);
    expect(broken.err).toMatch(/clouds\.yaml is not YAML: look at line \d+\n$/);
    expect(broken.err).not.toContain("secret");
  });
});

it("logs in with a password of digits as text, by the variables before npm start's file", async () => {
  await edgenova(["link", "list", "demo"]);
  const env = { OS_AUTH_URL: `${cloud.url}/identity`, OS_TOKEN: "other-token" };
  expect((await edgenova(["link", "list", "demo"], env)).code).toBe(0);
  const Default = { id: "default" };
  const scope = { project: { name: "demo", domain: Default } };
  const user = { name: "admin", domain: Default, password: PASSWORD };
  expect(cloud.logins).toEqual([
    { auth: { identity: { methods: ["password"], password: { user } }, scope } },
    { auth: { identity: { methods: ["token"], token: { id: "other-token" } } } },
  ]);
});
