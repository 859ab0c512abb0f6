/** The options in wrangler.toml's [vars]: Nova's names in upper case, each with its unit and its bounds. */
import { z } from "zod";
import { serviceDownTime } from "./compute/liveness.ts";
import { LIVE_MIGRATION_OPTIONS } from "./move/options.ts";
import { SCHEDULER_OPTIONS } from "./scheduler/options.ts";

const count = (min: number, max = 2 ** 31 - 1) => z.coerce.number().int().min(min).max(max);
const seconds = (min: number) => z.coerce.number().min(min).max(31_536_000);
const ratio = z.coerce.number().gt(0).max(1000);
/** Empty: nothing is said. */
const optionalRatio = z.union([z.literal("").transform(() => null), ratio]);
/** A quota: -1 is unlimited. */
const quota = count(-1);
const names = z.string().transform((text) => text.split(/[\s,]+/).filter((name) => name !== ""));

/** An address that keys are fetched from: nobody on the way may change them. */
const trusted = z.url({ protocol: /^https?$/ }).refine((text) => {
  const { protocol, hostname } = new URL(text);
  return protocol === "https:" || ["127.0.0.1", "[::1]", "localhost"].includes(hostname);
}, "It is neither https nor on this machine.");

const rule = z.strictObject({
  /** A claim's name, or a path to one inside others: `realm_access.roles`. */
  claim: z.string().min(1),
  /** What the claim is, or has in its list; left out: whatever it is. */
  value: z.string().optional(),
  /** Names of what there is here. */
  project: z.string().min(1),
  role: z.string().min(1),
});
/** Who has this claim has this role. */
export type ClaimRule = z.infer<typeof rule>;
const rules = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue({ code: "custom", message: "It is not JSON." });
      return z.NEVER;
    }
  })
  .pipe(z.array(rule));

const options = z.object({
  /** Where console links point; empty: `/vnc_auto.html` on the origin that the API was called at. */
  NOVNCPROXY_BASE_URL: z.union([z.literal(""), z.url({ protocol: /^https?$/ })]),
  /** Origins (or bare host names, as in Nova) whose pages may open consoles, besides our own. */
  CONSOLE_ALLOWED_ORIGINS: names,
  /** Life of a console token, seconds ([consoleauth]token_ttl). */
  TOKEN_TTL: seconds(1),
  /** Whether a session that is open when its token expires ends ([consoleauth]enforce_session_timeout). */
  ENFORCE_SESSION_TIMEOUT: z.stringbool(),
  /** Sessions that one token, and one server, may have open at a time; 0: any number. */
  CONSOLE_SESSIONS_PER_TOKEN: count(0),
  CONSOLE_SESSIONS_PER_SERVER: count(0),
  /** Seconds after a session's last connection for which it can be resumed. */
  CONSOLE_RESUME_TTL: seconds(1),
  /** Seconds that the record of a session is kept after its end. */
  CONSOLE_RECORD_RETENTION: seconds(60),
  /** How the two halves of a console are joined: by the runtime, or by a bounded relay in the object. */
  CONSOLE_SPLICE: z.enum(["native", "relay"]),
  /** Life of an identity token, seconds (Keystone's [token]expiration). */
  TOKEN_EXPIRATION: seconds(60),
  QUOTA_INSTANCES: quota,
  QUOTA_CORES: quota,
  /** MiB. */
  QUOTA_RAM: quota,
  /** Per server. */
  QUOTA_METADATA_ITEMS: quota,
  /** Per user. */
  QUOTA_KEY_PAIRS: quota,
  QUOTA_SERVER_GROUPS: quota,
  QUOTA_SERVER_GROUP_MEMBERS: quota,
  /** Per request, up to microversion 2.56. */
  QUOTA_INJECTED_FILES: quota,
  QUOTA_INJECTED_FILE_CONTENT_BYTES: quota,
  /** Bytes. */
  QUOTA_INJECTED_FILE_PATH_LENGTH: quota,
  /** Seconds after which a reservation without a server is given back. */
  RESERVATION_EXPIRE: seconds(1),
  ...SCHEDULER_OPTIONS,
  /** Of every host whose agent.toml says no other; empty: each keeps what it has, and a new one gets INITIAL_*. */
  CPU_ALLOCATION_RATIO: optionalRatio,
  RAM_ALLOCATION_RATIO: optionalRatio,
  DISK_ALLOCATION_RATIO: optionalRatio,
  INITIAL_CPU_ALLOCATION_RATIO: ratio,
  INITIAL_RAM_ALLOCATION_RATIO: ratio,
  INITIAL_DISK_ALLOCATION_RATIO: ratio,
  /** What no guest gets of a host whose agent.toml says no other: vcpus, MiB, MiB. */
  RESERVED_HOST_CPUS: count(0),
  RESERVED_HOST_MEMORY_MB: count(0),
  RESERVED_HOST_DISK_MB: count(0),
  /** Seconds between an agent's heartbeats. */
  REPORT_INTERVAL: seconds(0.1),
  /** Seconds without a heartbeat after which a host counts as down; 2.5 x REPORT_INTERVAL where it is not above that interval. */
  SERVICE_DOWN_TIME: seconds(0.1),
  /** Seconds after which a server that is still being built is in ERROR; 0: never. */
  INSTANCE_BUILD_TIMEOUT: seconds(0),
  /** Seconds that a guest may take to shut down by itself before it is switched off. */
  SHUTDOWN_TIMEOUT: count(0, 3600),
  /** Whether a resize may end on the host where the server is. */
  ALLOW_RESIZE_TO_SAME_HOST: z.stringbool(),
  /** Seconds after which a resize that nobody confirmed or reverted is confirmed; 0: never. */
  RESIZE_CONFIRM_WINDOW: seconds(0),
  /**
   * Seconds without word of the edge after which an agent switches its guests off, so that they may be evacuated; 0: it
   * never does, and as in Nova who evacuates has to know that the host is off.
   */
  FENCING_LEASE: seconds(0).refine((lease) => lease === 0 || lease >= 1, "It is 0, or at least a second."),
  /** Servers that a drain moves off one host at a time. */
  DRAIN_CONCURRENCY: count(1, 100),
  /** Live migrations that may leave one host at a time; 0: any number. */
  MAX_CONCURRENT_LIVE_MIGRATIONS: count(0),
  /** Hosts that a live migration tries after the first that would not have it; -1: all there are. */
  MIGRATE_MAX_RETRIES: count(-1),
  ...LIVE_MIGRATION_OPTIONS,
  /** Seconds that a soft reboot may take before it becomes a hard one; 0: as long as it takes. */
  REBOOT_TIMEOUT: seconds(0),
  /** Seconds after which a rescued server is unrescued; 0: when somebody asks for it. */
  RESCUE_TIMEOUT: seconds(0),
  /** Seconds after which a shelved server leaves its host; 0: at once, -1: never by itself. */
  SHELVED_OFFLOAD_TIME: z.coerce.number().int().min(-1).max(31_536_000),
  /** Seconds that a deleted server can be restored in; 0: it goes at once. */
  RECLAIM_INSTANCE_INTERVAL: seconds(0),
  /** Seconds the edge waits for one answer of an agent before it asks again. */
  RPC_RESPONSE_TIMEOUT: seconds(1),
  /** Longest page of a list ([api]max_limit). */
  MAX_LIMIT: count(1, 10_000),
  /** Whether POST /servers answers with the guest's password ([api]enable_instance_password). */
  ENABLE_INSTANCE_PASSWORD: z.stringbool(),
  /**
   * Whether every server gets a config drive. Nova's default is not to, as its metadata service tells the same; here
   * the drive is the only way for a guest to learn its name, metadata, keys and user data.
   */
  FORCE_CONFIG_DRIVE: z.stringbool(),
  DEFAULT_AVAILABILITY_ZONE: z.string().min(1).max(255),
  REGION_NAME: z.string().min(1).max(255),
  /** `iss` of the JWTs that are taken instead of a password; empty: none are. */
  OIDC_ISSUER: z.string(),
  /** What their `aud` must name. */
  OIDC_AUDIENCE: z.string(),
  /** Where the issuer's public keys are. */
  OIDC_JWKS_URL: z.union([z.literal(""), trusted]),
  /** The issuer's name in Keystone's URLs; the protocol is `openid`. */
  OIDC_IDENTITY_PROVIDER: z.string().regex(/^[\w.-]{1,64}$/),
  /** The claim that names a user. */
  OIDC_USERNAME_CLAIM: z.string().min(1),
  /** A list of rules as JSON; whom none fits is refused. */
  OIDC_MAPPING: rules,
  ADMIN_PASSWORD: z.string().min(8),
  /** At least 32 bytes in base64url; signs users' tokens and console tickets. */
  TOKEN_KEY: z.base64url().min(43),
});
const schema = options
  .refine((all) => all.OIDC_ISSUER === "" || (all.OIDC_AUDIENCE !== "" && all.OIDC_JWKS_URL !== ""), {
    path: ["OIDC_ISSUER"],
    message: "OIDC_AUDIENCE and OIDC_JWKS_URL must be given with it.",
  })
  .transform((all) => ({ ...all, SERVICE_DOWN_TIME: serviceDownTime(all) }));
export type Config = z.infer<typeof schema>;

const parsed = new WeakMap<object, Config>();

/** The parsed options of `env`; throws an Error that names each option that is wrong, and never its value. */
export function config(env: Env): Config {
  const known = parsed.get(env);
  if (known) return known;
  const result = schema.safeParse(env);
  if (!result.success) {
    const wrong = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
    throw new Error(`wrangler.toml [vars] or secrets: ${wrong}`);
  }
  parsed.set(env, result.data);
  return result.data;
}
