/** Users, projects and roles of this deployment, and the keys of its agents (what clients need of Keystone). */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import type { Whose } from "../console/console-store.ts";
import { everyConsoleAuth } from "../console/mint.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { Agents, type Enrolment, type EnrolmentError } from "./agents.ts";
import { type AppCredential, AppCredentials, type NewAppCredential, within } from "./app-credentials.ts";
import { type Assignment, type AssignmentNames, Assignments } from "./assignments.ts";
import { Attempts } from "./attempts.ts";
import { Directory, type Entity, type Fields, type Filter, type Kind, type Named, type Refusal } from "./directory.ts";
import { LockOuts } from "./lock-outs.ts";
import { type Revocation, Revocations, subjectOf } from "./revocations.ts";
import { ADMIN_USER, MIGRATIONS } from "./tables.ts";
import type { Grant, TokenClaims } from "./token.ts";

/** Whose password is asked about, and from where. */
export type Login = { user: Partial<Named>; address: string };
/** `stored`: scrypt's text; null when there is none, and "operator" when it is the deployment's secret. */
export type Challenge = { user_id: string | null; stored: string | "operator" | null };
/** A challenge that was met. */
export type Proof = { user_id: string; stored: string };
/** An application credential by its id, or by its name and whose it is. */
export type AppLogin = { id: string } | { name: string; user: Partial<Named> };
/** A user of the outside issuer, and the names of what its claims give him. */
export type Stranger = Named & { roles: { project: string; role: string }[] };
/** A project; null: none; "default": the user's own default, if he has one. */
export type Scope = Partial<Named> | null | "default";

export class Identity extends DurableObject<Env> {
  readonly #directory: Directory;
  readonly #assignments: Assignments;
  readonly #attempts: Attempts;
  readonly #revocations: Revocations;
  readonly #appCredentials: AppCredentials;
  readonly #agents: Agents;
  readonly #lockOuts: LockOuts;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    const { sql } = ctx.storage;
    this.#directory = new Directory(sql);
    this.#assignments = new Assignments(sql);
    this.#attempts = new Attempts(sql);
    this.#revocations = new Revocations(sql);
    this.#appCredentials = new AppCredentials(sql);
    this.#agents = new Agents(sql);
    this.#lockOuts = new LockOuts(sql);
  }

  /** What a password has to match; counts the attempt. The error is the seconds to wait after too many. */
  challenge({ user, address }: Login): Result<Challenge, number> {
    const found = this.#directory.find("user", user);
    const who = found?.id ?? `?${user.id ?? user.name}`;
    const wait = this.#attempts.begin(who, address, Date.now());
    if (wait !== null) return err(wait);
    if (!found?.enabled) return ok({ user_id: null, stored: null });
    const stored = found.id === ADMIN_USER.id ? "operator" : this.#directory.password(found.id);
    return ok({ user_id: found.id, stored });
  }

  /** The password matched: a user's name and roles on the scope, if he may still have them. */
  loggedIn({ user_id, stored }: Proof, scope: Scope, address: string): Result<Grant, "unauthorized"> {
    // It may have changed while it was hashed; the old one is void from that moment.
    if (stored !== "operator" && stored !== this.#directory.password(user_id)) return err("unauthorized");
    this.#attempts.succeeded(user_id, address);
    return this.#grant(user_id, scope);
  }

  /** A token for another scope, for who holds one. Asked here: a copy of the revocations may be seconds old. */
  rescope(said: TokenClaims, scope: Scope): Result<Grant, "unauthorized"> {
    // An application credential is for one project, and a token of it opens no other.
    if (this.#revocations.revoked(said) || said.app_credential) return err("unauthorized");
    return this.#grant(said.user.id, scope);
  }

  /**
   * Somebody whom the outside issuer vouches for. Its word is the whole of his roles: those it no longer gives go.
   * The token is unscoped; he asks for a project with it.
   */
  federate({ id, name, roles }: Stranger): Result<Grant, "unauthorized"> {
    const wanted = this.#assignments.named(id, roles);
    if (wanted.length === 0) return err("unauthorized");
    if (this.show("user", id) === null) {
      const taken = this.#directory.find("user", { name }) !== null;
      const made = this.#directory.create("user", id, { name: taken ? `${name} (${id})` : name });
      if (!made.ok) return err("unauthorized");
    }
    // First what is new: an application credential that both give stays.
    for (const one of wanted) this.#assignments.add(one);
    for (const one of this.#assignments.list({ user_id: id })) {
      if (!wanted.some((kept) => kept.project_id === one.project_id && kept.role_id === one.role_id))
        this.unassign(one);
    }
    return this.#grant(id, null);
  }

  /** As `challenge`, for an application credential's secret: `user_id` is the credential's id. */
  appChallenge(login: AppLogin, address: string): Result<Challenge, number> {
    const found = this.#findAppCredential(login);
    const who = found ? found.id : `?${"id" in login ? login.id : `${login.user.id ?? login.user.name}/${login.name}`}`;
    const wait = this.#attempts.begin(who, address, Date.now());
    if (wait !== null) return err(wait);
    return ok({ user_id: found?.id ?? null, stored: found ? this.#appCredentials.secret(found.id) : null });
  }

  /** The secret matched: what the credential gives. `until`: seconds since the epoch when that ends. */
  appLoggedIn(id: string, address: string): Result<{ grant: Grant; until: number | null }, "unauthorized"> {
    const found = this.#appCredentials.find(id);
    if (found === null || (found.expires_at ?? Number.POSITIVE_INFINITY) <= Date.now()) return err("unauthorized");
    this.#attempts.succeeded(id, address);
    const granted = this.#grant(found.user_id, { id: found.project_id });
    if (!granted.ok || !within(found.roles, granted.value.roles)) return err("unauthorized");
    const app_credential = { id, name: found.name, restricted: !found.unrestricted };
    const roles = this.#assignments.implied(found.roles.map(({ name }) => name));
    const until = found.expires_at === null ? null : Math.floor(found.expires_at / 1000);
    return ok({ grant: { ...granted.value, roles, app_credential }, until });
  }

  /** Makes one for the token's user and project; the revocations are asked here, as it outlives the token. */
  createAppCredential(
    said: TokenClaims,
    given: NewAppCredential,
  ): Result<AppCredential, "conflict" | "too_many" | "unauthorized"> {
    return this.#revocations.revoked(said) ? err("unauthorized") : this.#appCredentials.create(given);
  }

  appCredentials(userId: string): AppCredential[] {
    return this.#appCredentials.list(userId);
  }

  /** Whether there was one. Its tokens are void. */
  removeAppCredential(userId: string, id: string): boolean {
    if (this.#appCredentials.find(id)?.user_id !== userId) return false;
    this.#appCredentials.remove(id);
    this.#void(subjectOf.appCredential(id));
    this.#lockOut({ app_credential: id });
    return true;
  }

  /** Takes one token back. */
  revoke(said: Pick<TokenClaims, "jti">): void {
    this.#void(subjectOf.token(said.jti));
  }

  revocations(since: number): Revocation[] {
    return this.#revocations.since(since);
  }

  list(kind: Kind, filter: Filter): Entity[] {
    return this.#directory.list(kind, filter);
  }

  show(kind: Kind, id: string): Entity | null {
    return this.#directory.find(kind, { id });
  }

  create(kind: Kind, fields: Fields & { name: string }): Result<Entity, Refusal> {
    return this.#directory.create(kind, crypto.randomUUID().replaceAll("-", ""), fields);
  }

  /** Changes what `fields` has. Disabling voids the tokens concerned, as a new password does. */
  update(kind: Kind, id: string, fields: Fields): Result<Entity, Refusal> {
    const updated = this.#directory.update(kind, id, fields);
    const ends = fields.enabled === false || fields.password !== undefined;
    if (updated.ok && ends && kind !== "role") this.#void(subjectOf[kind](id));
    if (updated.ok && fields.enabled === false && kind !== "role") this.#lockOut({ [`${kind}_id`]: id });
    return updated;
  }

  remove(kind: Kind, id: string): Result<undefined, Refusal> {
    const held = kind === "role" ? this.#assignments.list({ role_id: id }) : [];
    const removed = this.#directory.remove(kind, id);
    if (!removed.ok) return removed;
    if (kind !== "role") {
      this.#void(subjectOf[kind](id));
      this.#lockOut({ [`${kind}_id`]: id });
      this.#appCredentials.removeOf(kind, id);
    }
    for (const one of held) this.#fewerRoles(one);
    return removed;
  }

  assignments(filter: Partial<Assignment>): AssignmentNames[] {
    return this.#assignments.list(filter);
  }

  /** The error is what there is none of. */
  assign(one: Assignment): Result<undefined, Kind> {
    for (const kind of ["user", "project", "role"] as const) {
      if (this.show(kind, one[`${kind}_id`]) === null) return err(kind);
    }
    this.#assignments.add(one);
    return ok();
  }

  unassign(one: Assignment): Result<undefined, "not_found" | "protected"> {
    const { user_id, project_id, role_id } = one;
    const removed = this.#assignments.remove({ user_id, project_id, role_id });
    if (removed.ok) this.#fewerRoles(one);
    return removed;
  }

  /** The projects that a user has a role on. */
  projectsOf(userId: string): Entity[] {
    const ids = new Set(this.#assignments.list({ user_id: userId }).map(({ project_id }) => project_id));
    return this.#directory.list("project", {}).filter(({ id }) => ids.has(id));
  }

  /** Where servers may be: every project that is, or was. */
  projects(): Named[] {
    return this.#directory.everyProject();
  }

  /** Stores a join token's hash. `host`: the only name it may enrol; null: any. */
  addJoinToken(hash: string, host: string | null, expiresAt: number): void {
    this.#agents.addJoinToken(hash, host, expiresAt);
  }

  /** Spends a join token on a host's key. The same enrolment again is the same enrolment: its answer may have been lost. */
  enrol(enrolment: Enrolment): Result<undefined, EnrolmentError> {
    return this.#agents.enrol(enrolment);
  }

  /** The public key (JWK as JSON) that `host` enrolled with; null for a host that never did. */
  agentKey(host: string): string | null {
    return this.#agents.key(host);
  }

  /** Forgets a host's key: its agent must be enrolled anew. */
  removeAgent(host: string): void {
    this.#agents.remove(host);
  }

  /** Tells those who know console tokens; what fails is told again. */
  override async alarm(): Promise<void> {
    for (const { seq, whose } of this.#lockOuts.list()) {
      await Promise.all(everyConsoleAuth(this.env).map((one) => one.lockOut(whose)));
      this.#lockOuts.done(seq);
    }
  }

  #grant(userId: string, scope: Scope): Result<Grant, "unauthorized"> {
    const user = this.#directory.find("user", { id: userId });
    if (!user?.enabled) return err("unauthorized");
    const who = { user: { id: user.id, name: user.name }, at: this.#revocations.stamp() };
    const unscoped = ok({ ...who, project: null, roles: [] });
    if (scope === null) return unscoped;
    const wanted = scope === "default" ? { id: user.default_project_id ?? "" } : scope;
    const project = this.#directory.find("project", wanted);
    const roles = project?.enabled ? this.#assignments.effective(user.id, project.id) : [];
    if (project && roles.length > 0) return ok({ ...who, project: { id: project.id, name: project.name }, roles });
    return scope === "default" ? unscoped : err("unauthorized");
  }

  #findAppCredential(login: AppLogin): AppCredential | null {
    if ("id" in login) return this.#appCredentials.find(login.id);
    const user = this.#directory.find("user", login.user);
    return (user && this.#appCredentials.list(user.id).find(({ name }) => name === login.name)) ?? null;
  }

  #fewerRoles({ user_id, project_id }: Assignment): void {
    this.#void(subjectOf.member(user_id, project_id));
    const left = this.#assignments.effective(user_id, project_id);
    this.#appCredentials.shrink(user_id, project_id, left);
    const has = (role: string) => left.some(({ name }) => name === role);
    if (!has("member")) this.#lockOut({ user_id, project_id });
    else if (!has("admin")) this.#lockOut({ user_id, project_id, is_admin: true });
  }

  #void(subject: string): void {
    this.#revocations.add(subject, config(this.env).TOKEN_EXPIRATION * 1000);
  }

  /** Has the links to screens taken back that somebody gave: the alarm does, which is set with the change itself. */
  #lockOut(whose: Whose): void {
    this.#lockOuts.add(whose);
    this.ctx.waitUntil(this.ctx.storage.setAlarm(Date.now()));
  }
}
