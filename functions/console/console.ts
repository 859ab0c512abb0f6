/**
 * One server's screen (nova-novncproxy and the sessions that Nova does not have): the links to it, who is on it, and the
 * joining of browsers and agents. It knows tokens by their hashes alone.
 */
import { DurableObject } from "cloudflare:workers";
import type { InstanceAction, InstanceEvent } from "../conductor/action-log.ts";
import type { Screen } from "../conductor/screen.ts";
import { config } from "../config.ts";
import type { Actor } from "../identity/actor.ts";
import { log } from "../log.ts";
import { CONSOLE_CLOSE, type ConsoleCloseCode, type Sharing } from "../protocol/console.ts";
import type { OpenedSession, PowerOrder } from "../protocol/console-session.ts";
import type { ConsoleClosed } from "../protocol/frames.ts";
import { FIRST_LEG } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import { eventOf, instanceActionOf } from "./action.ts";
import { Connections, type Here } from "./connections.ts";
import { ConsoleStore, MIGRATIONS, type Whose } from "./console-store.ts";
import {
  LINK_KEEP_MS,
  type Link,
  MAX_PIN_FAILURES,
  type NewLink,
  type Refused,
  refusalOf,
  refusedBecause,
} from "./link.ts";
import { ProjectRecords } from "./project-records.ts";
import { isOpen, type Over, recordOf, resumableUntil, type SessionRecord, type SessionRow } from "./session.ts";
import { ADDRESS_HEADER, HASH_HEADER, LEG_HEADER, SESSION_HEADER, SIDE_HEADER } from "./sides.ts";
import type { Ticket } from "./ticket.ts";

/** How often an object with open sessions asks their host whether they still are: an agent may have died over them. */
const LOOK_MS = 600_000;
/** When the project is told again what it could not be told at once. */
const TELL_MS = 60_000;

const ORDER = {
  start: { action: "start", memo: {} },
  stop: { action: "stop", memo: {} },
  reboot: { action: "reboot_soft", memo: { reboot: "SOFT" } },
  reset: { action: "reboot_hard", memo: { reboot: "HARD" } },
} as const;
const OVER_CODE: Record<Over, ConsoleCloseCode> = {
  revoked: CONSOLE_CLOSE.REVOKED,
  killed: CONSOLE_CLOSE.KILLED,
  expired: CONSOLE_CLOSE.EXPIRED,
  locked_out: CONSOLE_CLOSE.LOCKED_OUT,
  locked: CONSOLE_CLOSE.LOCKED,
  stolen: CONSOLE_CLOSE.STOLEN,
  server_gone: CONSOLE_CLOSE.SCREEN_CLOSED,
  server_restarted: CONSOLE_CLOSE.SCREEN_CLOSED,
};

/** What the page needs for its next connection; `ends_at` in ms since the epoch. */
export type Offer = Ticket & {
  shown: Omit<OpenedSession["session"], "ends_at">;
  ends_at: number | null;
};
type Entry = { hash: string; address: string; attempt: string | null; pin: "none" | "given" | "proved" };

export class Console extends DurableObject<Env> {
  readonly #store: ConsoleStore;
  readonly #connections: Connections;
  readonly #records: ProjectRecords;
  #exists: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#exists = migrateExisting(ctx.storage, MIGRATIONS);
    this.#store = new ConsoleStore(ctx.storage.sql);
    const server = () => this.#server();
    this.#connections = new Connections({ env, store: this.#store, server });
    const record = (row: SessionRow) => this.#record(row);
    this.#records = new ProjectRecords({ env, store: this.#store, project: () => this.#project(), record });
  }

  /** Takes on a link that its server gave. */
  async give(link: NewLink, project_id: string): Promise<void> {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#exists = true;
    if (this.#project() !== project_id) this.ctx.storage.kv.put("project", project_id);
    this.#store.addLink(link);
    await this.#arm();
  }

  /** Every link that is still known, newest first, with the sessions that are open on it. */
  links(): { link: Link; in_use: number }[] {
    if (!this.#exists) return [];
    const open = this.#store.open();
    return this.#store.links().map((link) => ({ link, in_use: open.filter((row) => row.link === link.id).length }));
  }

  link(id: string): { link: Link; sessions: SessionRecord[]; in_use: number } | null {
    const link = this.#exists ? this.#store.link(id) : null;
    if (link === null) return null;
    const rows = this.#store.sessionsOf(id);
    return { link, sessions: rows.map((row) => this.#record(row)), in_use: rows.filter(isOpen).length };
  }

  /** Where a token's screen is; null when the token is not good any more. */
  tokenInfo(hash: string): Pick<Link, "host" | "connect" | "bound"> | null {
    const link = this.#exists ? this.#store.linkOf(hash) : null;
    if (link === null || link.revoked_at !== null || link.expires_at <= Date.now()) return null;
    return link;
  }

  /** Takes one link back, or (null) all that were handed out, and ends what is open on them. Whether there was one. */
  async revoke(id: string | null): Promise<boolean> {
    if (!this.#exists) return false;
    const meant = (link: Link) => (id === null ? link.kind === "link" : link.id === id);
    const links = this.#store.links().filter(meant);
    await this.#revoke(links, "revoked");
    return links.length > 0;
  }

  /** Takes back what somebody gave who may not any more. */
  async lockOut(whose: Whose): Promise<void> {
    if (!this.#exists) return;
    const fields = Object.entries(whose);
    const links = this.#store
      .links()
      .filter(({ giver }) => fields.every(([key, value]) => Reflect.get(giver, key) === value));
    await this.#revoke(links, "locked_out");
  }

  /** An admin has locked the server: what others gave is taken back. */
  async locked(): Promise<void> {
    if (!this.#exists) return;
    const links = this.#store.links().filter(({ giver }) => !giver.is_admin);
    await this.#revoke(links, "locked");
  }

  /** The server is being deleted. */
  async gone(): Promise<void> {
    if (this.#exists) await this.#end(this.#store.alive(), "server_gone");
  }

  /** Ends one session for good; whether there was one that was not over. */
  async kill(id: string): Promise<boolean> {
    const row = this.#exists ? this.#store.session(id) : null;
    if (row === null || row.over_at !== null) return false;
    await this.#end([row], "killed");
    return true;
  }

  /** Every session that is remembered, newest first; of those that are open, as far as their hosts say. */
  async sessions(): Promise<SessionRecord[]> {
    if (!this.#exists) return [];
    await this.#connections.look();
    await this.#records.tell();
    return this.#store.sessions().map((row) => this.#record(row));
  }

  sharing(): Sharing {
    return this.ctx.storage.kv.get<Sharing>("sharing") ?? "all";
  }

  /** Changes how the screen is shared; those who are on it hear of it at once. */
  async share(sharing: Sharing): Promise<void> {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#exists = true;
    this.ctx.storage.kv.put("sharing", sharing);
    await this.#connections.share(sharing);
  }

  /** Sessions as instance actions, newest first. */
  actions(): InstanceAction[] {
    if (!this.#exists) return [];
    return this.#store.sessions().map((row) => instanceActionOf(this.#record(row)));
  }

  action(requestId: string): { action: InstanceAction; events: InstanceEvent[] } | null {
    const row = this.#exists ? this.#store.session(requestId.replace(/^req-/, "")) : null;
    if (row === null) return null;
    const record = this.#record(row);
    return { action: instanceActionOf(record), events: [eventOf(record, row.host)] };
  }

  /**
   * A new session for the page. Of a link with a PIN: its hash, to be proved outside, as that takes long; asked with
   * `given` it counts as one more that was tried.
   */
  async open({ hash, address, attempt, pin }: Entry): Promise<Result<Offer | { stored: string }, Refused>> {
    const link = this.#exists ? this.#store.linkOf(hash) : null;
    if (link === null) return err(refusedBecause("unknown"));
    const begun = this.#store.begun(link.id, attempt) !== null;
    const refused = refusalOf(link, address, Date.now());
    if (refused && !(begun && refused.why === "used_up")) return err(refused);
    if (link.pin !== null && pin !== "proved" && !begun) {
      if (pin === "none") return err(refusedBecause("pin_needed"));
      if (this.#store.tryPin(link.id) <= MAX_PIN_FAILURES) return ok({ stored: link.pin });
      await this.#revoke([link], "pin");
      return err(refusedBecause("revoked", { ask: link.giver.user_name }));
    }
    const screen = await this.#owner().screen(link.bound, false);
    // Only a session gives orders: who is not let in has none.
    if (screen.is !== "here") return err({ ...absent(screen, link), power: false });
    const away = await this.#away(screen.host);
    if (away) return err(away);
    const entered = await this.#enter(link.id, { address, attempt, page: true }, screen);
    return entered.ok ? ok(this.#offer(entered.value, link, screen, FIRST_LEG)) : entered;
  }

  /** The next connection of a session, for who has its key. One that was used since ends the session. */
  async resume(key: Ticket): Promise<Result<Offer, Refused>> {
    const held = await this.#held(key);
    if (!held.ok) return held;
    const { row, link } = held.value;
    const screen = await this.#owner().screen(row.bound, row.carried);
    if (screen.is !== "here") {
      if (screen.is === "restarted")
        this.#store.over(row.id, "server_restarted", OVER_CODE.server_restarted, Date.now());
      return err(absent(screen, link));
    }
    const away = await this.#away(screen.host);
    if (away) return err(away);
    // Only to a private screen does it matter whether the others are there still.
    if (this.sharing() === "private") await this.#connections.look();
    // Somebody else may have come with it in between.
    const still = await this.#held(key);
    if (!still.ok) return still;
    const shared = () => this.#store.present(Date.now()).some(({ id }) => id !== row.id);
    if (this.sharing() === "private" && shared()) return err(refusedBecause("private"));
    return ok(this.#offer(row.id, link, screen, still.value.row.leg + 1));
  }

  /** Starts, stops or reboots the server by the session's right, in the name of who gave the link. */
  async power(key: Ticket, order: PowerOrder): Promise<Result<undefined, Refused | { message: string }>> {
    const held = await this.#held(key);
    if (!held.ok) return held;
    const { row, link } = held.value;
    if (!link.terms.rights.power) return err(refusedBecause("power_denied", { ask: link.giver.user_name }));
    const screen = await this.#owner().screen(row.bound, row.carried);
    if (screen.is === "gone" || screen.is === "restarted") return err(absent(screen, link));
    const cannot = err({ message: `The server cannot ${order} now: it is ${screen.status}.` });
    if (screen.is === "stopped" && order !== "start") return cannot;
    const { action, memo } = ORDER[order];
    const begun = await this.#owner().act(actorOf(link), action, { memo });
    log("console.power", { server: this.#server(), session: row.id, order, ok: begun.ok });
    if (begun.ok) {
      if (order === "start") this.#store.carry(row.id);
      return ok();
    }
    if (begun.error.kind === "locked") return err(refusedBecause("locked", { ask: link.giver.user_name }));
    return cannot;
  }

  /** A host's word that a connection has ended. Of a session that it does not have, it is not taken. */
  async closed(host: string, { session, leg, code, at, ...counts }: ConsoleClosed): Promise<void> {
    const row = this.#exists ? this.#store.session(session) : null;
    if (row?.host !== host) return;
    this.#store.left(session, leg, code, counts, Math.min(at, Date.now()));
    await this.#records.tell();
  }

  /** Whether somebody may still be on the screen by the link of this hash. */
  isInUse(hash: string): boolean {
    const link = this.#exists ? this.#store.linkOf(hash) : null;
    const ttlMs = config(this.env).CONSOLE_RESUME_TTL * 1000;
    return link !== null && this.#store.sessionsOf(link.id).some((row) => resumableUntil(row, ttlMs) > Date.now());
  }

  /** An upgrade of either side. 101 with a socket, or 403 with nothing: the Worker words the refusal. */
  override async fetch(request: Request): Promise<Response> {
    if (!this.#exists) return refused();
    const said = (name: string) => request.headers.get(name) ?? "";
    const [session, leg] = [said(SESSION_HEADER), Number(said(LEG_HEADER))];
    switch (said(SIDE_HEADER)) {
      case "agent":
        return this.#agent(session, leg);
      case "page":
        return this.#page(session, leg);
      default:
        return this.#stock(said(HASH_HEADER), said(ADDRESS_HEADER));
    }
  }

  override async alarm(): Promise<void> {
    // Tokens were stored here once, each in an object of its own.
    if (!this.#exists) return this.ctx.storage.deleteAll();
    const now = Date.now();
    const due = this.#store.present(now).filter((row) => this.#endsAt(row) <= now);
    await this.#end(due, "expired");
    await this.#connections.look();
    await this.#records.tell();
    this.#store.purgeSessions(now - config(this.env).CONSOLE_RECORD_RETENTION * 1000);
    this.#store.purgeLinks(now - LINK_KEEP_MS);
    await this.#arm();
  }

  /** A VNC client of any make: a session of one connection, that begins at once. */
  async #stock(hash: string, address: string): Promise<Response> {
    const link = this.#store.linkOf(hash);
    // One without a page has no way to ask for a PIN.
    if (link === null || link.pin !== null || refusalOf(link, address, Date.now())) return refused();
    const screen = await this.#owner().screen(link.bound, false);
    if (screen.is !== "here") return refused();
    const entered = await this.#enter(link.id, { address, attempt: null, page: false }, screen);
    return entered.ok ? this.#join(entered.value, FIRST_LEG, link, screen) : refused();
  }

  async #page(session: string, leg: number): Promise<Response> {
    const row = this.#store.session(session);
    const link = row && this.#store.link(row.link);
    if (row === null || link === null) return refused();
    const screen = await this.#owner().screen(row.bound, row.carried);
    if (screen.is !== "here") return refused();
    // From here to the join there is no await: a ticket is good for one connection.
    const now = this.#store.session(session);
    if (now === null || now.over_at !== null || now.leg !== leg - 1) return refused();
    return this.#join(session, leg, link, screen);
  }

  #agent(session: string, leg: number): Response {
    return this.#connections.take({ id: session, leg }) ?? refused();
  }

  /** Counts a use of the link, and makes its session, if there is a place. */
  async #enter(
    id: string,
    who: Pick<SessionRow, "address" | "attempt" | "page">,
    screen: Here,
  ): Promise<Result<string, Refused>> {
    let crowded = this.#crowded(id);
    if (crowded !== null) {
      await this.#connections.look();
      crowded = this.#crowded(id);
    }
    // From here to the row there is no await.
    const link = this.#store.link(id);
    if (link === null) return err(refusedBecause("unknown"));
    const begun = this.#store.begun(id, who.attempt);
    if (begun) return ok(begun.id);
    const now = Date.now();
    const refused = refusalOf(link, who.address, now);
    if (refused) return err(refused);
    if (crowded !== null) return err(refusedBecause(crowded));
    const session = crypto.randomUUID();
    this.#store.use(id);
    this.#store.addSession({
      id: session,
      link: id,
      label: link.terms.label,
      user_id: link.giver.user_id,
      ...who,
      host: screen.host,
      bound: screen.bound,
      started_at: now,
    });
    return ok(session);
  }

  /** Why there is no place for one more. */
  #crowded(link: string): "private" | "full" | null {
    const { all, of_link } = this.#store.places(link, Date.now());
    if (all > 0 && this.sharing() === "private") return "private";
    const { CONSOLE_SESSIONS_PER_TOKEN: perToken, CONSOLE_SESSIONS_PER_SERVER: perServer } = config(this.env);
    const full = (limit: number, count: number) => limit > 0 && count >= limit;
    return full(perServer, all) || full(perToken, of_link) ? "full" : null;
  }

  #join(session: string, leg: number, link: Link, screen: Here): Response {
    this.#store.joined(session, leg, screen, Date.now());
    const viewer = this.#connections.wait({ id: session, leg });
    this.ctx.waitUntil(this.#summon({ id: session, leg }, link, screen));
    return viewer;
  }

  async #summon(leg: Pick<SessionRow, "id" | "leg">, link: Link, screen: Here): Promise<void> {
    await this.#connections.summon(leg, link, screen, this.sharing());
    await this.#arm();
    await this.#records.tell();
  }

  /** The session that a key is for, with its link, as long as it may go on. */
  async #held({ session, leg }: Ticket): Promise<Result<{ row: SessionRow; link: Link }, Refused>> {
    const row = this.#exists ? this.#store.session(session) : null;
    const link = row && this.#store.link(row.link);
    if (row === null || link === null || leg > row.leg + 1) return err(refusedBecause("unknown"));
    const ask = link.giver.user_name;
    const over = (why: Over, since: number) => err(refusedBecause(why, { since, ask }));
    if (row.over_at !== null && row.over_why !== null) return over(row.over_why, row.over_at);
    const now = Date.now();
    if (leg < row.leg) {
      await this.#end([row], "stolen");
      return over("stolen", now);
    }
    const until = Math.min(this.#endsAt(row), resumableUntil(row, config(this.env).CONSOLE_RESUME_TTL * 1000));
    return until <= now ? over("expired", until) : ok({ row, link });
  }

  #offer(session: string, { terms, expires_at }: Link, { name, status }: Here, leg: number): Offer {
    const { label, rights, ends_sessions } = terms;
    const server = this.#server();
    const shown = { id: session, server: { id: server, name, status }, label, rights, sharing: this.sharing() };
    return { server, session, leg, shown, ends_at: ends_sessions ? expires_at : null };
  }

  /** When the session ends, whoever is on it, ms since the epoch. */
  #endsAt({ link }: SessionRow): number {
    const from = this.#store.link(link);
    return from?.terms.ends_sessions ? from.expires_at : Number.POSITIVE_INFINITY;
  }

  /** Why the host cannot show a screen now; null when its agent is there. */
  async #away(host: string): Promise<Refused | null> {
    const { connected, seen_at } = await this.env.HOST.getByName(host).reach();
    return connected ? null : refusedBecause("host_offline", { since: seen_at });
  }

  async #revoke(links: readonly Link[], why: "revoked" | "pin" | "locked_out" | "locked"): Promise<void> {
    const now = Date.now();
    for (const { id } of links) this.#store.revoke(id, why, now);
    const ids = new Set(links.map(({ id }) => id));
    const over = why === "pin" ? "revoked" : why;
    await this.#end(
      this.#store.alive().filter(({ link }) => ids.has(link)),
      over,
    );
  }

  /**
   * Ends sessions for good: they are over from the first line on. Their host cuts those that are open. One that cannot
   * be asked in time is not waited for: this object lets all its sockets go, and the sessions that may go on resume.
   */
  async #end(rows: readonly SessionRow[], why: Over): Promise<void> {
    const [now, code] = [Date.now(), OVER_CODE[why]];
    for (const row of rows) {
      this.#store.over(row.id, why, code, now);
      this.#connections.end(row, code);
    }
    const open = rows.filter((row) => isOpen(row));
    log("console.ended", { server: this.#server(), why, sessions: rows.length, open: open.length });
    const cut = await this.#connections.cut(open, code);
    this.ctx.waitUntil(this.#records.tell());
    if (cut) return;
    await this.ctx.storage.sync();
    // After the answer to who asked.
    setTimeout(() => this.ctx.abort("A console session was ended whose host did not answer."), 0);
  }

  /** Sets the alarm to what is due first. */
  async #arm(): Promise<void> {
    const { storage } = this.ctx;
    if (this.#store.isEmpty()) {
      if (this.ctx.storage.kv.get("sharing") !== undefined) return;
      await storage.deleteAll();
      this.#exists = false;
      return;
    }
    const now = Date.now();
    const retention = config(this.env).CONSOLE_RECORD_RETENTION * 1000;
    const due = [
      this.#store.nextEnd(now, LINK_KEEP_MS, retention) ?? now + LOOK_MS,
      ...(this.#store.hasOpen() ? [now + LOOK_MS] : []),
      ...(this.#store.hasUntold() ? [now + TELL_MS] : []),
    ];
    const next = Math.min(...due);
    const alarm = await storage.getAlarm();
    if (alarm === null || alarm > next || alarm <= now) await storage.setAlarm(next);
  }

  #record(row: SessionRow): SessionRecord {
    return recordOf(row, this.#server(), this.#project());
  }

  #owner() {
    return this.env.SERVER.getByName(this.#server());
  }

  #project(): string {
    return this.ctx.storage.kv.get<string>("project") ?? "";
  }

  #server(): string {
    return this.ctx.id.name ?? "";
  }
}

/** Why there is no screen where there was one. */
function absent({ is }: Exclude<Screen, Here>, { giver, terms }: Link): Refused {
  const why = ({ gone: "server_gone", stopped: "server_stopped", restarted: "server_restarted" } as const)[is];
  return refusedBecause(why, { ask: giver.user_name, power: is === "stopped" && terms.rights.power });
}

/** Who gave the link, as one who acts on the server through it. */
function actorOf({ giver }: Link): Actor {
  const roles = { is_manager: false, is_service: false, may_write: true, may_read: true };
  return { ...giver, ...roles, request_id: `req-${crypto.randomUUID()}` };
}

function refused(): Response {
  return new Response(null, { status: 403 });
}
