/** Users, projects and roles of this deployment, and the keys of its agents (what clients need of Keystone). */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { Agents, type Enrolment, type EnrolmentError } from "./agents.ts";
import { type Assignment, type AssignmentNames, Assignments } from "./assignments.ts";
import { Attempts } from "./attempts.ts";
import { Directory, type Entity, type Fields, type Filter, type Kind, type Named, type Refusal } from "./directory.ts";
import { type Revocation, Revocations, subjectOf } from "./revocations.ts";
import { ADMIN_USER, MIGRATIONS } from "./tables.ts";
import type { Grant, TokenClaims } from "./token.ts";

/** Whose password is asked about, and from where. */
export type Login = { user: Partial<Named>; address: string };
/** `stored`: scrypt's text; null when there is none, and "operator" when it is the deployment's secret. */
export type Challenge = { user_id: string | null; who: string; stored: string | "operator" | null };
/** A challenge that was met. */
export type Proof = { user_id: string; stored: string };
/** A project; null: none; "default": the user's own default, if he has one. */
export type Scope = Partial<Named> | null | "default";

export class Identity extends DurableObject<Env> {
  readonly #directory: Directory;
  readonly #assignments: Assignments;
  readonly #attempts: Attempts;
  readonly #revocations: Revocations;
  readonly #agents: Agents;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    const { sql } = ctx.storage;
    this.#directory = new Directory(sql);
    this.#assignments = new Assignments(sql);
    this.#attempts = new Attempts(sql);
    this.#revocations = new Revocations(sql);
    this.#agents = new Agents(sql);
  }

  /** What a password has to match; counts the attempt. The error is the seconds to wait after too many. */
  challenge({ user, address }: Login): Result<Challenge, number> {
    const found = this.#directory.find("user", user);
    const who = found?.id ?? `?${user.id ?? user.name}`;
    const wait = this.#attempts.begin(who, address, Date.now());
    if (wait !== null) return err(wait);
    if (!found?.enabled) return ok({ user_id: null, who, stored: null });
    const stored = found.id === ADMIN_USER.id ? "operator" : this.#directory.password(found.id);
    return ok({ user_id: found.id, who, stored });
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
    return this.#revocations.revoked(said) ? err("unauthorized") : this.#grant(said.user.id, scope);
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
    return updated;
  }

  remove(kind: Kind, id: string): Result<undefined, Refusal> {
    const held = kind === "role" ? this.#assignments.list({ role_id: id }) : [];
    const removed = this.#directory.remove(kind, id);
    if (!removed.ok) return removed;
    if (kind !== "role") this.#void(subjectOf[kind](id));
    for (const { user_id, project_id } of held) this.#void(subjectOf.member(user_id, project_id));
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
    const removed = this.#assignments.remove(one);
    if (removed.ok) this.#void(subjectOf.member(one.user_id, one.project_id));
    return removed;
  }

  /** The projects that a user has a role on. */
  projectsOf(userId: string): Entity[] {
    const ids = new Set(this.#assignments.list({ user_id: userId }).map(({ project_id }) => project_id));
    return this.#directory.list("project", {}).filter(({ id }) => ids.has(id));
  }

  projects(): Named[] {
    return this.#directory.list("project", {}).map(({ id, name }) => ({ id, name }));
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

  #void(subject: string): void {
    this.#revocations.add(subject, config(this.env).TOKEN_EXPIRATION * 1000);
  }
}
