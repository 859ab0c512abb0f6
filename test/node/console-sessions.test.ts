/** Links and sessions on real parts: what a link gives, how a session goes on, and how it is ended. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode } from "../../functions/protocol/console.ts";
import type { OpenedSession } from "../../functions/protocol/console-session.ts";
import { ask, DEMO_PROJECT, demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import { terminal } from "../fake-terminal.ts";
import { askSession, dial, screenOf, tokenIn, typeOn } from "../page-session.ts";
import { tokenOf } from "../tokens.ts";
import { People } from "./identity-support.ts";

const ends = (code: ConsoleCloseCode) => ({ code, reason: CONSOLE_REASON[code] });
const V21 = "/compute/v2.1";

let edge: TestEdge;
let agent: TestAgent;
let image: string;
let id: string;
const secrets: string[] = [];

beforeAll(async () => {
  edge = await startTestEdge({ CONSOLE_SESSIONS_PER_TOKEN: "3", QUOTA_INSTANCES: "-1", QUOTA_CORES: "-1" });
  agent = await edge.agent("one");
  image = await demoImage(edge.cloud);
  id = await boot();
});
afterAll(() => edge?.close());

async function boot(host = "one"): Promise<string> {
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none", availability_zone: `nova:${host}` };
  const made = (await ask(edge, "POST", `${V21}/servers`, { body: { server } })).body.server.id;
  expect((await edge.cloud.built(made, 20_000)).status).toBe("ACTIVE");
  return made;
}

const becoming = (server: string, status: string) =>
  until(async () => {
    const { server: now } = (await ask(edge, "GET", `${V21}/servers/${server}`)).body;
    return now.status === status && now["OS-EXT-STS:task_state"] === null;
  }, `the server is ${status}`);

type Made = { id: string; token: string; state: string; url: string };

async function link(console_link: object = {}, server = id, token?: string): Promise<Made> {
  const path = `${V21}/servers/${server}/console-links`;
  const made = await ask(edge, "POST", path, { body: { console_link }, ...(token ? { token } : {}) });
  expect(made.status).toBe(201);
  const { url } = made.body.console_link;
  secrets.push(tokenIn(url));
  return { ...made.body.console_link, token: tokenIn(url) };
}

async function opened(token: string, pin?: string): Promise<OpenedSession> {
  const answer = await askSession(edge, "", { token, ...(pin === undefined ? {} : { pin }) });
  expect(answer.refused).toBeUndefined();
  expect(answer.status).toBe(201);
  secrets.push(answer.opened.key, answer.opened.ticket);
  return answer.opened;
}

async function resumed(key: string): Promise<OpenedSession> {
  const answer = await askSession(edge, "/resume", { key });
  expect(answer.refused).toBeUndefined();
  return answer.opened;
}

const whyNot = async (token: string, pin?: string) =>
  (await askSession(edge, "", { token, ...(pin === undefined ? {} : { pin }) })).refused;
const whyNoMore = async (key: string) => (await askSession(edge, "/resume", { key })).refused;
const shownLink = async (made: Made, server = id) =>
  (await ask(edge, "GET", `${V21}/servers/${server}/console-links/${made.id}`)).body.console_link;
const sessionsOf = async (server: string) =>
  (await ask(edge, "GET", `${V21}/servers/${server}/console-sessions`)).body.console_sessions;

describe("a link", () => {
  it("opens a session for the page, and counts it", async () => {
    const made = await link({ label: "Bo", uses: 2 });
    expect(made).toMatchObject({ state: "active", label: "Bo", uses: 2, used: 0, rights: "control", pin: false });
    const session = await opened(made.token);
    expect(session.session).toMatchObject({
      server: { id, name: "a", status: "ACTIVE" },
      label: "Bo",
      rights: { input: true, clipboard: true, power: false },
      sharing: "all",
      ends_at: null,
    });
    const screen = await screenOf(edge, session);
    await typeOn(screen, "hello");
    expect(await shownLink(made)).toMatchObject({ used: 1, in_use: 1, sessions: [{ open: true, label: "Bo" }] });
    expect(JSON.stringify(await shownLink(made))).not.toContain(made.token);
    screen.ws.close();
    await until(async () => (await shownLink(made)).in_use === 0, "nobody is on it");
    await opened(made.token);
    expect(await whyNot(made.token)).toMatchObject({ why: "used_up", ask: "admin" });
    expect((await shownLink(made)).state).toBe("used_up");
  });

  it("counts an opening once that is tried again because its answer was lost", async () => {
    const made = await link({ uses: 1 });
    const attempt = "0123456789abcdef0123456789abcdef";
    const lost = await askSession(edge, "", { token: made.token, attempt });
    const again = await askSession(edge, "", { token: made.token, attempt });
    expect([lost.status, again.status]).toEqual([201, 201]);
    expect(again.opened.session.id).toBe(lost.opened.session.id);
    expect(await shownLink(made)).toMatchObject({ used: 1 });
    const screen = await screenOf(edge, again.opened);
    expect((await askSession(edge, "", { token: made.token, attempt })).refused).toMatchObject({ why: "used_up" });
    screen.ws.close();
  });

  it("that is for looking lets no key through, whatever the client sends", async () => {
    const made = await link({ rights: "view" });
    const watcher = await screenOf(edge, await opened(made.token));
    const typist = await screenOf(edge, await opened((await link()).token));
    const shown = () => terminal({ width: watcher.client.screen.width, data: watcher.client.screen.rgba });
    const before = shown();
    watcher.client.type("not this");
    watcher.client.cutText("nor this");
    await typeOn(typist, "x");
    await watcher.client.waitForScreen(() => shown()?.equals(before as Buffer) === false);
    watcher.ws.close();
    typist.ws.close();
    await until(async () => (await sessionsOf(id)).every(({ open }: { open: boolean }) => !open), "all have left");
    const [record] = (await shownLink(made)).sessions;
    expect(record).toMatchObject({ keys: 0, cut_texts: 0, ended_by: "viewer_left" });
  });

  it("works for stock clients by the same URL, but not past a PIN", async () => {
    const stock = dial(edge, `/websockify?token=${(await link({ uses: 1 })).token}`);
    await stock.client.ready();
    stock.ws.close();
    const withPin = dial(edge, `/websockify?token=${(await link({ pin: "2468" })).token}`);
    expect(await withPin.end()).toEqual({ code: 1005, reason: "" });
  });

  it("with a PIN asks for it, and is withdrawn after five wrong ones", async () => {
    const made = await link({ pin: "246810" });
    expect(await whyNot(made.token)).toMatchObject({ why: "pin_needed" });
    expect(await whyNot(made.token, "000000")).toMatchObject({ why: "pin_wrong" });
    await opened(made.token, "246810");
    const guesses = await Promise.all(
      ["1", "2", "3", "4", "5", "6", "7"].map((pin) => whyNot(made.token, `111${pin}`)),
    );
    expect(guesses.filter(({ why }) => why === "pin_wrong")).toHaveLength(5);
    expect(await whyNot(made.token, "246810")).toMatchObject({ why: "revoked" });
    expect((await shownLink(made)).state).toBe("revoked");
  });

  it("is for the networks that it names", async () => {
    const elsewhere = await link({ addresses: ["192.0.2.0/24"] });
    expect(await whyNot(elsewhere.token)).toMatchObject({ why: "address" });
    expect(await dial(edge, `/?token=${elsewhere.token}`).end()).toEqual({ code: 1005, reason: "" });
    await opened((await link({ addresses: ["127.0.0.0/8", "::1"] })).token);
  });

  it("expires, and takes its sessions along if it says so", async () => {
    const made = await link({ expires_in: 3, ends_sessions: true });
    const lasting = await link({ expires_in: 3 });
    const screen = await screenOf(edge, await opened(made.token));
    const other = await opened(lasting.token);
    const stays = await screenOf(edge, other);
    expect(await screen.end()).toEqual(ends(CONSOLE_CLOSE.EXPIRED));
    expect(await whyNot(made.token)).toMatchObject({ why: "expired", since: expect.any(String), ask: "admin" });
    await typeOn(stays, "y");
    stays.ws.terminate();
    const again = await screenOf(edge, await resumed(other.key));
    again.ws.close();
  });

  it("opens no more sessions at a time than a token may have", async () => {
    const { token } = await link();
    const screens = await Promise.all([1, 2, 3].map(async () => screenOf(edge, await opened(token))));
    expect(await whyNot(token)).toMatchObject({ why: "full" });
    screens[0]?.ws.close();
    await until(async () => (await whyNot(token)) === undefined, "there is a place again");
    for (const { ws } of screens) ws.close();
  });

  it.each([
    ["unknown", {}],
    ["malformed", {}],
  ])("%s is refused in the form of every refusal", async (which) => {
    const answer = await askSession(edge, "", { token: which === "unknown" ? crypto.randomUUID() : "x" });
    expect(answer.status).toBe(403);
    expect(Object.keys(answer.refused)).toEqual(["code", "why", "message", "since", "ask", "power"]);
    expect(answer.refused.why).toBe("unknown");
  });

  it("is nobody else's business", async () => {
    const made = await link();
    const stranger = await tokenOf({ project: "9".repeat(32) });
    const reader = await tokenOf({ roles: ["reader"] });
    const path = `${V21}/servers/${id}/console-links`;
    expect((await ask(edge, "GET", path, { token: stranger })).status).toBe(404);
    expect((await ask(edge, "POST", path, { token: stranger, body: { console_link: {} } })).status).toBe(404);
    expect((await ask(edge, "DELETE", `${path}/${made.id}`, { token: stranger })).status).toBe(404);
    expect((await ask(edge, "POST", path, { token: reader, body: { console_link: {} } })).status).toBe(403);
    expect((await ask(edge, "GET", `${path}/${crypto.randomUUID()}`)).status).toBe(404);
    for (const console_link of [
      { pin: "12" },
      { pin: "abcd" },
      { uses: 0 },
      { addresses: ["x"] },
      { rights: "all" },
      { label: "a\nb" },
      { x: 1 },
    ]) {
      expect((await ask(edge, "POST", path, { body: { console_link } })).status).toBe(400);
    }
  });
});

describe("a session", () => {
  it("goes on by its key, which changes each time; one that was used since ends it", async () => {
    const first = await opened((await link()).token);
    const before = await screenOf(edge, first);
    before.ws.terminate();
    // The answer of a resume may be lost: asked again before it is used, it is the same.
    await resumed(first.key);
    const second = await resumed(first.key);
    expect(second.session.id).toBe(first.session.id);
    const after = await screenOf(edge, second);
    await typeOn(after, "z");
    expect(await whyNoMore(first.key)).toMatchObject({ why: "stolen" });
    expect(await after.end()).toEqual(ends(CONSOLE_CLOSE.STOLEN));
    expect(await whyNoMore(second.key)).toMatchObject({ why: "stolen", since: expect.any(String) });
  });

  it("that is opened in another place leaves the first, whose ticket is good for once", async () => {
    const first = await opened((await link()).token);
    const here = await screenOf(edge, first);
    const there = await screenOf(edge, await resumed(first.key));
    expect(await here.end()).toEqual(ends(CONSOLE_CLOSE.MOVED));
    expect(await dial(edge, `/console/v1/screen?ticket=${first.ticket}`).end()).toEqual({ code: 1005, reason: "" });
    await typeOn(there, "1");
    there.ws.close();
  });

  it("goes on after the console's object began anew", async () => {
    const first = await opened((await link()).token);
    const screen = await screenOf(edge, first);
    screen.ws.terminate();
    await until(async () => (await sessionsOf(id)).every(({ open }: { open: boolean }) => !open), "nobody is on it");
    await edge.harness.getWorker().evictDurableObject("CONSOLE", { name: id });
    const again = await screenOf(edge, await resumed(first.key));
    await typeOn(again, "2");
    again.ws.close();
  });

  it.each<[string, ConsoleCloseCode, (made: Made, session: OpenedSession) => Promise<unknown>]>([
    [
      "the link is revoked",
      CONSOLE_CLOSE.REVOKED,
      (made) => ask(edge, "DELETE", `${V21}/servers/${id}/console-links/${made.id}`),
    ],
    ["all links are revoked", CONSOLE_CLOSE.REVOKED, () => ask(edge, "DELETE", `${V21}/servers/${id}/console-links`)],
    [
      "it is killed",
      CONSOLE_CLOSE.KILLED,
      (_, { session }) => ask(edge, "DELETE", `${V21}/servers/${id}/console-sessions/${session.id}`),
    ],
  ])("ends for good when %s", async (_, code, end) => {
    const made = await link();
    const session = await opened(made.token);
    const screen = await screenOf(edge, session);
    expect(await end(made, session)).toMatchObject({ status: 204 });
    expect(await screen.end()).toEqual(ends(code));
    const why = code === CONSOLE_CLOSE.KILLED ? "killed" : "revoked";
    expect(await whyNoMore(session.key)).toMatchObject({ why });
    if (why === "revoked") expect(await whyNot(made.token)).toMatchObject({ why, ask: "admin" });
    await until(async () => {
      const [record] = (await shownLink(made)).sessions;
      return record.ended_by === why && record.bytes_down > 0;
    }, "its record is whole");
  });

  it("ends when the server is deleted or locked by an admin, and its link with it", async () => {
    const people = new People(edge);
    const user = await people.make("user", { name: "lou", password: "a-password" });
    const project = await people.make("project", { name: "lous" });
    await people.give("member", user, project);
    const token = await people.token("lou", "a-password", project);
    const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none" };
    const made = (await ask(edge, "POST", `${V21}/servers`, { body: { server }, token })).body.server.id;
    await until(
      async () => (await ask(edge, "GET", `${V21}/servers/${made}`)).body.server.status === "ACTIVE",
      "it runs",
    );
    const locked = await opened((await link({}, made, token)).token);
    const screen = await screenOf(edge, locked);
    expect((await ask(edge, "POST", `${V21}/servers/${made}/action`, { body: { lock: null } })).status).toBe(202);
    expect(await screen.end()).toEqual(ends(CONSOLE_CLOSE.LOCKED));
    expect(await whyNoMore(locked.key)).toMatchObject({ why: "locked" });
    const last = await opened((await link({}, made)).token);
    const lastScreen = await screenOf(edge, last);
    expect((await ask(edge, "DELETE", `${V21}/servers/${made}`)).status).toBe(204);
    expect(await lastScreen.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
    expect(await whyNoMore(last.key)).toMatchObject({ why: "server_gone" });
  });

  it("ends when the server is rebuilt, and its link with it", async () => {
    const server = await boot();
    const made = await link({}, server);
    const session = await opened(made.token);
    const screen = await screenOf(edge, session);
    const body = { rebuild: { imageRef: image } };
    expect((await ask(edge, "POST", `${V21}/servers/${server}/action`, { body })).status).toBe(202);
    expect(await screen.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
    await becoming(server, "ACTIVE");
    expect(await whyNoMore(session.key)).toMatchObject({ why: "server_restarted", ask: "admin" });
    expect(await whyNot(made.token)).toMatchObject({ why: "server_restarted", ask: "admin" });
  });

  it("ends when who gave the link has lost the role, or is shut out", async () => {
    const people = new People(edge);
    const user = await people.make("user", { name: "gil", password: "a-password" });
    await people.give("member", user, DEMO_PROJECT);
    const give = async () => link({}, id, await people.token("gil", "a-password", DEMO_PROJECT));
    const made = await give();
    const session = await opened(made.token);
    const screen = await screenOf(edge, session);
    const others = await screenOf(edge, await opened((await link()).token));
    expect(await people.take("member", user, DEMO_PROJECT)).toBe(204);
    expect(await screen.end()).toEqual(ends(CONSOLE_CLOSE.LOCKED_OUT));
    expect(await whyNoMore(session.key)).toMatchObject({ why: "locked_out" });
    expect(await whyNot(made.token)).toMatchObject({ why: "locked_out", ask: "gil" });
    await people.give("member", user, DEMO_PROJECT);
    const again = await screenOf(edge, await opened((await give()).token));
    expect(
      (await people.ask("PATCH", `/identity/v3/users/${user}`, { body: { user: { enabled: false } } })).status,
    ).toBe(200);
    expect(await again.end()).toEqual(ends(CONSOLE_CLOSE.LOCKED_OUT));
    await typeOn(others, "still here");
    others.ws.close();
  });

  it("with the right to it stops and starts its server, and goes on", async () => {
    const server = await boot();
    const powerful = await link({ power: true }, server);
    const mine = await opened(powerful.token);
    const other = await opened((await link({}, server)).token);
    const [screen, watcher] = [await screenOf(edge, mine), await screenOf(edge, other)];
    expect(await askSession(edge, "/power", { key: other.key, do: "stop" })).toMatchObject({
      status: 403,
      refused: { why: "power_denied" },
    });
    expect((await askSession(edge, "/power", { key: mine.key, do: "stop" })).status).toBe(204);
    expect(await screen.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
    expect(await watcher.end()).toEqual(ends(CONSOLE_CLOSE.SCREEN_CLOSED));
    await becoming(server, "SHUTOFF");
    expect(await whyNoMore(mine.key)).toMatchObject({ why: "server_stopped", power: true, ask: "admin" });
    expect(await whyNot(powerful.token)).toMatchObject({ why: "server_stopped", power: false });
    expect(await whyNoMore(other.key)).toMatchObject({ why: "server_stopped", power: false });
    expect((await askSession(edge, "/power", { key: mine.key, do: "reset" })).refused.why).toBe("failed");
    expect((await askSession(edge, "/power", { key: mine.key, do: "start" })).status).toBe(204);
    const back = await until(async () => {
      const answer = await askSession(edge, "/resume", { key: mine.key });
      return answer.status === 200 ? answer.opened : null;
    }, "the screen is there again");
    const again = await screenOf(edge, back);
    expect(await whyNoMore(other.key)).toMatchObject({ why: "server_restarted" });
    again.ws.close();
  });

  it("is alone on a private screen", async () => {
    const server = await boot();
    const path = `${V21}/servers/${server}/console-sharing`;
    expect((await ask(edge, "GET", path)).body).toEqual({ console_sharing: { sharing: "all" } });
    const put = (sharing: string) => ask(edge, "PUT", path, { body: { console_sharing: { sharing } } });
    expect((await put("private")).status).toBe(200);
    expect((await put("some")).status).toBe(400);
    const { token } = await link({}, server);
    const alone = await screenOf(edge, await opened(token));
    expect(await whyNot(token)).toMatchObject({ why: "private" });
    await put("one");
    const second = await screenOf(edge, await opened(token));
    await until(
      () => alone.told.some((one) => one.t === "people" && one.people.length === 2 && one.sharing === "one"),
      "each hears of the other",
    );
    for (const { ws } of [alone, second]) ws.close();
  });

  it("that cannot be shown says since when its host is away", async () => {
    const two = await edge.agent("two");
    const server = await boot("two");
    const { token } = await link({}, server);
    await two.agent.stop();
    await until(async () => (await whyNot(token)) !== undefined, "the host is away");
    expect(await whyNot(token)).toMatchObject({ why: "host_offline", since: expect.any(String) });
  });

  it("leaves a record, for its owner, for admins, and among the instance actions", async () => {
    const server = await boot();
    const made = await link({ label: "Eve" }, server);
    const session = await opened(made.token);
    const screen = await screenOf(edge, session);
    await typeOn(screen, "abc");
    screen.ws.close();
    const record = await until(async () => {
      const [one] = await sessionsOf(server);
      return one.open ? null : one;
    }, "it has ended");
    expect(record).toMatchObject({
      ...{ id: session.session.id, server_id: server, link_id: made.id, label: "Eve", ended_by: "viewer_left" },
      address: expect.any(String),
      started_at: expect.any(String),
      ended_at: expect.any(String),
    });
    expect(record.keys).toBeGreaterThanOrEqual(3);
    expect(record.bytes_down).toBeGreaterThan(1000);
    await until(async () => {
      const listed = (await ask(edge, "GET", `${V21}/os-console-sessions?all_tenants=1&server=${server}&open=0`)).body;
      return (
        listed.console_sessions.length === 1 && JSON.stringify(listed.console_sessions[0]) === JSON.stringify(record)
      );
    }, "the admin's list has it");
    const page = (await ask(edge, "GET", `${V21}/os-console-sessions?limit=1`)).body;
    expect(page.console_sessions).toHaveLength(1);
    expect(page.console_sessions_links[0].href).toContain(`marker=${page.console_sessions[0].id}`);
    const next = await edge.call(
      "GET",
      new URL(page.console_sessions_links[0].href).pathname + new URL(page.console_sessions_links[0].href).search,
    );
    expect((await next.json()).console_sessions[0].id).not.toBe(page.console_sessions[0].id);
    const stranger = await tokenOf();
    expect((await ask(edge, "GET", `${V21}/os-console-sessions?all_tenants=1`, { token: stranger })).status).toBe(403);
    const actions = (await ask(edge, "GET", `${V21}/servers/${server}/os-instance-actions`)).body.instanceActions;
    expect(actions.map(({ action }: { action: string }) => action)).toEqual(["console", "create"]);
    const one = (await ask(edge, "GET", `${V21}/servers/${server}/os-instance-actions/req-${record.id}`, { minor: 84 }))
      .body;
    expect(one.instanceAction.events[0]).toMatchObject({ event: "console_session", result: "Success" });
    expect(JSON.parse(one.instanceAction.events[0].details)).toMatchObject({ label: "Eve", keys: record.keys });
    expect((await ask(edge, "DELETE", `${V21}/servers/${server}/console-sessions/${crypto.randomUUID()}`)).status).toBe(
      404,
    );
  });
});

it("writes no token, key or ticket to the log", () => {
  const logs = JSON.stringify([edge.harness.getLogs(), agent.logs]);
  expect(logs).toContain("console.summoned");
  expect(secrets.length).toBeGreaterThan(10);
  for (const secret of secrets) expect(logs).not.toContain(secret);
});
