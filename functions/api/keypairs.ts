/** /os-keypairs (nova/api/openstack/compute/keypairs.py): each user's own. */
import type { Context } from "hono";
import type { Keypair, NewKeypair } from "../keypair/keypairs.ts";
import { generateSshKey, sshFingerprint, x509Fingerprint } from "../keypair/ssh-key.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, forbidden, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { requireAdmin } from "./policy.ts";
import { type CreateKeypair, createKeypair, type KeypairQuery, keypairQuery } from "./schema/keypair.ts";
import { microseconds } from "./timestamp.ts";

const RULE = "os_compute_api:os-keypairs";

export const keypairs: Paths = {
  "/os-keypairs": {
    GET: operation({
      summary: "List a user's key pairs",
      rule: `${RULE}:index`,
      role: "reader",
      query: keypairQuery,
      status: 200,
      answers: "keypairs",
      run: (c, { query }) => list(c, query),
    }),
    POST: operation({
      summary: "Import a public key, or up to 2.91 generate a pair",
      rule: `${RULE}:create`,
      role: "reader",
      body: createKeypair,
      status: [200, 201],
      answers: "keypair",
      run: (c, { body }) => create(c, body.keypair),
    }),
  },
  "/os-keypairs/:name": {
    GET: operation({
      summary: "Show a key pair",
      rule: `${RULE}:show`,
      role: "reader",
      query: keypairQuery,
      status: 200,
      answers: "keypair",
      run: (c, { query }) => show(c, query),
    }),
    DELETE: operation({
      summary: "Delete a key pair",
      rule: `${RULE}:delete`,
      role: "reader",
      query: keypairQuery,
      status: [202, 204],
      run: (c, { query }) => remove(c, query),
    }),
  },
};

/** The user who is meant: the caller, or for an admin another one. */
function userOf(c: Context<AppEnv>, asked: string | undefined, action: string): string {
  const { user_id } = c.var.actor;
  if (asked === undefined || asked === user_id) return user_id;
  requireAdmin(c, `${RULE}:${action}`);
  return asked;
}

const storeOf = (c: Context<AppEnv>, user: string) => c.env.KEYPAIRS.getByName(user);

async function list(c: Context<AppEnv>, asked: KeypairQuery): Promise<Response> {
  const all = await storeOf(c, userOf(c, asked.user_id, "index")).list();
  const { page, next } = paged(c, { all, idOf: ({ name }) => name, path: "os-keypairs", asked });
  const items = page.map((pair) => ({ keypair: brief(c, pair) }));
  return c.json({ keypairs: items, ...(next ? { keypairs_links: next } : {}) });
}

async function create(c: Context<AppEnv>, asked: CreateKeypair): Promise<Response> {
  const user_id = userOf(c, asked.user_id, "create");
  const type = asked.type ?? "ssh";
  const generated = asked.public_key === undefined ? await generate(type) : null;
  const public_key = generated?.public_key ?? asked.public_key ?? "";
  const pair = checked({ name: asked.name, type, public_key });
  const { key_pairs } = await c.env.PROJECT.getByName(c.var.actor.project_id).limits(user_id);
  const made = await storeOf(c, user_id).create(pair, key_pairs);
  if (!made.ok && made.error.kind === "over_quota") throw forbidden("Quota exceeded, too many key pairs.");
  if (!made.ok) throw conflict(`Key pair '${asked.name}' already exists.`);
  const secret = generated === null ? {} : { private_key: generated.private_key };
  const keypair = { ...brief(c, made.value), user_id, ...secret };
  return c.json({ keypair }, has(c.var.minor, "keypair.type") ? 201 : 200);
}

function generate(type: "ssh" | "x509"): ReturnType<typeof generateSshKey> {
  if (type === "x509") throw badRequest("Certificates are not generated here: import the public one of your own.");
  return generateSshKey();
}

function checked(pair: Omit<NewKeypair, "fingerprint">): NewKeypair {
  const fingerprint = pair.type === "ssh" ? sshFingerprint(pair.public_key) : x509Fingerprint(pair.public_key);
  if (fingerprint === null) throw badRequest("Keypair data is invalid: failed to generate fingerprint");
  return { ...pair, fingerprint };
}

async function show(c: Context<AppEnv>, asked: KeypairQuery): Promise<Response> {
  const user_id = userOf(c, asked.user_id, "show");
  const pair = await storeOf(c, user_id).get(nameOf(c));
  if (pair === null) throw keypairNotFound(c, user_id);
  const { id, created_at } = pair;
  const times = { created_at: microseconds(created_at), deleted: false, deleted_at: null, updated_at: null };
  return c.json({ keypair: { ...brief(c, pair), user_id, id, ...times } });
}

async function remove(c: Context<AppEnv>, asked: KeypairQuery): Promise<Response> {
  const user_id = userOf(c, asked.user_id, "delete");
  if (!(await storeOf(c, user_id).remove(nameOf(c)))) throw keypairNotFound(c, user_id);
  return c.body(null, has(c.var.minor, "keypair.type") ? 204 : 202);
}

const nameOf = (c: Context<AppEnv>) => c.req.param("name") ?? "";

const keypairNotFound = (c: Context<AppEnv>, user: string) =>
  notFound(`Keypair ${nameOf(c).slice(0, 255)} not found for user ${user}`);

function brief(c: Context<AppEnv>, { name, public_key, fingerprint, type }: Keypair): object {
  return { name, public_key, fingerprint, ...(has(c.var.minor, "keypair.type") ? { type } : {}) };
}
