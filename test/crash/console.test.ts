/**
 * A page on a screen x each moment of its session x SIGKILL of the agent, of the edge, of both. What must hold: the
 * page is back by its key, as the same session, and its link was used once; what was ended stays ended.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenedSession } from "../../functions/protocol/console-session.ts";
import { until } from "../edge.ts";
import { askSession, type PageScreen, screenOf, tokenIn, typeOn } from "../page-session.ts";
import { killed, TIMEOUT_MS } from "./cases.ts";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import type { Hold } from "./wire.ts";
import { World } from "./world.ts";

const VICTIMS = ["agent", "edge", "both"] as const;
/** What is under way when somebody is killed. */
const COMING = ["POST sessions", "call open_console", "shown", "POST resume"] as const;
const ENDINGS = ["call close_consoles", "result close_consoles", "console_closed", "console_noted"] as const;

let world: World;
let server: string;

beforeAll(async () => {
  world = await World.start();
  await world.linked();
  server = await world.boot();
  expect(await world.settled(server)).toMatchObject({ status: "ACTIVE" });
}, TIMEOUT_MS);
afterAll(() => world?.close());

type Made = { id: string; token: string };

async function link(): Promise<Made> {
  const body = { console_link: { label: "Bo", uses: 1 } };
  const made = await (await world.call("POST", `/servers/${server}/console-links`, body)).json();
  return { id: made.console_link.id, token: tokenIn(made.console_link.url) };
}

const shownLink = async ({ id }: Made) =>
  (await (await world.call("GET", `/servers/${server}/console-links/${id}`)).json()).console_link;

/** A page's way in: each try has what the one before it got. */
class Page {
  readonly #token: string;
  readonly #attempt = "0123456789abcdef".repeat(2);
  session: OpenedSession | null = null;
  screen: PageScreen | null = null;

  constructor(token: string) {
    this.#token = token;
  }

  /** One call, of which nothing may come back. */
  async ask(): Promise<string | null> {
    const { session } = this;
    const answer = session
      ? await askSession(world, "/resume", { key: session.key })
      : await askSession(world, "", { token: this.#token, attempt: this.#attempt });
    if (answer.refused) return answer.refused.why;
    this.session = answer.opened;
    return null;
  }

  /** Tries until a picture is there, and types on it. */
  async comes(): Promise<PageScreen> {
    const screen = await until(
      async () => {
        const why = await this.ask().catch(() => "unreachable");
        if (why !== null && !["unreachable", "host_offline", "failed"].includes(why))
          throw new Error(`refused: ${why}`);
        if (why !== null || this.session === null) return null;
        return await screenOf(world, this.session).catch(() => null);
      },
      "the page has its picture",
      60_000,
    );
    this.screen = screen;
    await typeOn(screen, "x");
    return screen;
  }

  /** Connects, whatever becomes of it. */
  tries(): void {
    if (this.session) void screenOf(world, this.session).catch(() => undefined);
  }

  leaves(): void {
    this.screen?.ws.terminate();
  }
}

const noHold: Hold = { reached: Promise.resolve(), release: () => undefined };
const cases = <M extends string>(moments: readonly M[]) =>
  new Dice(SEED).shuffled(moments.flatMap((moment) => VICTIMS.map((victim) => ({ moment, victim })))).slice(0, ROUNDS);

describe("a session goes on", () => {
  it.each(cases(COMING))("$victim killed: $moment", { timeout: TIMEOUT_MS }, async ({ moment, victim }) => {
    told(`console, ${victim} killed: ${moment}`);
    againIfItFails();
    const made = await link();
    const page = new Page(made.token);
    let first: string | null = null;
    let hold = noHold;
    if (moment === "POST sessions") {
      void page.ask().catch(() => undefined);
      await new Promise((done) => setTimeout(done, new Dice(SEED).next() * 30));
    } else if (moment === "call open_console") {
      await page.ask();
      hold = world.wire.hold(moment);
      page.tries();
      await hold.reached;
    } else {
      await page.comes();
      if (moment === "POST resume") void askSession(world, "/resume", { key: page.session?.key ?? "" }).catch(() => 0);
    }
    first = page.session?.session.id ?? null;
    await killed(victim).happens(world);
    hold.release();
    await page.comes();
    if (first !== null) expect(page.session?.session.id).toBe(first);
    const now = await shownLink(made);
    expect(now).toMatchObject({ used: 1, in_use: 1, sessions: [{ open: true, id: page.session?.session.id }] });
    page.leaves();
    await until(async () => (await shownLink(made)).in_use === 0, "its end is known", 30_000);
  });
});

describe("what was ended stays so", () => {
  it.each(cases(ENDINGS))("$victim killed: $moment", { timeout: TIMEOUT_MS }, async ({ moment, victim }) => {
    told(`console, revoked, ${victim} killed: ${moment}`);
    againIfItFails();
    const made = await link();
    const page = new Page(made.token);
    const screen = await page.comes();
    const hold = world.wire.hold(moment);
    // Its own answer may be lost with the edge.
    const revoked = world.call("DELETE", `/servers/${server}/console-links/${made.id}`).catch(() => null);
    await hold.reached;
    await killed(victim).happens(world);
    hold.release();
    await revoked;
    await screen.end();
    await until(async () => (await page.ask().catch(() => null)) === "revoked", "it cannot be gone on with", 30_000);
    await until(async () => {
      const now = await shownLink(made);
      return now.state === "revoked" && now.in_use === 0 && now.sessions[0].ended_by === "revoked";
    }, "its record says so");
  });
});
