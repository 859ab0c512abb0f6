/**
 * Which cloud a command is for, and who asks: found where OpenStack's own clients look
 * (openstacksdk: doc/source/user/config/configuration.rst), and in what `npm start` writes.
 */
import { dirname, join } from "node:path";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { Failure } from "../failure.ts";
import { readIfThere } from "../state-dir.ts";

const MAX_FILE_CHARS = 256 * 1024;
const MAX_VALUE_CHARS = 8192;
const INTERFACES = ["public", "internal", "admin"] as const;

/** An empty value is none, in a file as in the environment. */
const value = z
  .string()
  .max(MAX_VALUE_CHARS)
  .transform((text) => (text === "" ? undefined : text))
  .optional();

const authValues = z.object({
  auth_url: value,
  username: value,
  user_id: value,
  user_domain_name: value,
  user_domain_id: value,
  password: value,
  project_name: value,
  project_id: value,
  project_domain_name: value,
  project_domain_id: value,
  token: value,
  application_credential_id: value,
  application_credential_name: value,
  application_credential_secret: value,
});
type AuthValues = z.infer<typeof authValues>;

const cloud = z.object({
  auth: authValues.default({}),
  region_name: value,
  interface: z.enum(INTERFACES).optional(),
});
type Cloud = z.infer<typeof cloud>;
const cloudsFile = z.object({ clouds: z.record(z.string(), cloud) });
type CloudsFile = { path: string; clouds: Record<string, Cloud> };

/** Where a command runs. */
export type Place = { env: NodeJS.ProcessEnv; cwd: string; home: string };
export type Login = {
  /** With the /v3 at its end. */
  authUrl: string;
  /** The body of POST /v3/auth/tokens. */
  body: { auth: { identity: object; scope?: object } };
  region: string | undefined;
  interface: (typeof INTERFACES)[number];
  /** Where all of this was found, for a person who has to mend it. */
  source: string;
};

/** The log-in to cloud `name`, or to the one that the place tells of. Throws `Failure`. */
export function findLogin(place: Place, name?: string): Login {
  const { env } = place;
  const wanted = name ?? (env.OS_CLOUD || undefined);
  if (wanted === undefined && env.OS_AUTH_URL) return loginOf(fromEnvironment(env), "the environment (OS_…)");
  const files = cloudsFiles(place);
  return wanted === undefined ? onlyCloud(files[0]) : namedCloud(files, wanted);
}

function onlyCloud(file: CloudsFile | undefined): Login {
  if (file === undefined) {
    throw new Failure('there is no cloud to ask: run "npm start", or set OS_CLOUD, or OS_AUTH_URL and the like');
  }
  const [first, ...more] = Object.entries(file.clouds);
  if (first === undefined) throw new Failure(`${file.path} has no cloud in it: write one, or set OS_AUTH_URL`);
  if (more.length > 0) {
    throw new Failure(`${file.path} has several clouds (${names([file])}): choose one with --os-cloud`);
  }
  return loginOf(first[1], `"${first[0]}" in ${file.path}`);
}

function namedCloud(files: readonly CloudsFile[], name: string): Login {
  const file = files.find(({ clouds }) => Object.hasOwn(clouds, name));
  const found = file?.clouds[name];
  if (file !== undefined && found !== undefined) return loginOf(found, `"${name}" in ${file.path}`);
  const known = names(files);
  throw new Failure(
    known === ""
      ? `there is no clouds.yaml to find "${name}" in: write one, or name it in OS_CLIENT_CONFIG_FILE`
      : `no clouds.yaml has a cloud "${name}": choose one of ${known}`,
  );
}

const names = (files: readonly CloudsFile[]) => files.flatMap(({ clouds }) => Object.keys(clouds)).join(", ");

/** Those that are there, the nearest first. */
function cloudsFiles({ env, cwd, home }: Place): CloudsFile[] {
  const given = env.OS_CLIENT_CONFIG_FILE;
  const dirs = [cwd, join(cwd, ".edgenova"), join(env.XDG_CONFIG_HOME || join(home, ".config"), "openstack")];
  const paths = [...dirs, "/etc/openstack"].flatMap((dir) => [join(dir, "clouds.yaml"), join(dir, "clouds.yml")]);
  const files = (given ? [given, ...paths] : paths).flatMap((path) => readClouds(path) ?? []);
  if (given && files[0]?.path !== given) throw new Failure(`OS_CLIENT_CONFIG_FILE names ${given}, which is not there`);
  return files;
}

/** With what a secure.yaml beside it adds, which is where some keep their passwords. */
function readClouds(path: string): CloudsFile | null {
  const clouds = parseClouds(path);
  if (clouds === null) return null;
  const secrets = parseClouds(join(dirname(path), "secure.yaml")) ?? {};
  const merged = Object.entries(clouds).map(([name, one]) => {
    const secret = Object.hasOwn(secrets, name) ? secrets[name]?.auth : undefined;
    return [name, { ...one, auth: { ...one.auth, ...secret } }] as const;
  });
  return { path, clouds: Object.fromEntries(merged) };
}

function parseClouds(path: string): Record<string, Cloud> | null {
  const text = readIfThere(path);
  if (text === null) return null;
  if (text.length > MAX_FILE_CHARS) throw new Failure(`${path} is larger than any clouds.yaml`);
  const read = cloudsFile.safeParse(parseYaml(path, text));
  if (read.success) return read.data.clouds;
  const [issue] = read.error.issues;
  throw new Failure(`${path} is not right at ${issue?.path.join(".") || "its top"}: ${issue?.message}`);
}

function parseYaml(path: string, text: string): unknown {
  try {
    // YAML's failsafe schema: a password of digits stays the text that it is.
    return parse(text, { schema: "failsafe", logLevel: "error" });
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw new Failure(`${path} is not YAML that can be read`, { cause: error });
    // Only the place: the message quotes the line, which may hold a password.
    throw new Failure(`${path} is not YAML: look at line ${error.linePos?.[0].line ?? 1}`);
  }
}

function fromEnvironment(env: NodeJS.ProcessEnv): Cloud {
  const keys = Object.keys(authValues.shape);
  const auth = Object.fromEntries(keys.map((key) => [key, env[`OS_${key.toUpperCase()}`]]));
  const read = cloud.safeParse({ auth, region_name: env.OS_REGION_NAME, interface: env.OS_INTERFACE || undefined });
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Failure(`OS_${String(issue?.path.at(-1)).toUpperCase()} is not right: ${issue?.message}`);
}

function loginOf({ auth, region_name, interface: face = "public" }: Cloud, source: string): Login {
  if (auth.auth_url === undefined) throw new Failure(`${source} has no auth_url: write where to log in`);
  const identity = identityOf(auth);
  if (identity === null) {
    throw new Failure(
      `${source} says not who you are: add username and password, a token or an application credential`,
    );
  }
  const scope = auth.application_credential_secret === undefined ? scopeOf(auth) : null;
  const base = auth.auth_url.replace(/\/+$/, "");
  return {
    authUrl: base.endsWith("/v3") ? base : `${base}/v3`,
    body: { auth: { identity, ...(scope === null ? {} : { scope }) } },
    region: region_name,
    interface: face,
    source,
  };
}

/** https://docs.openstack.org/api-ref/identity/v3/ "Authentication and token management"; null: nobody is named. */
function identityOf(auth: AuthValues): object | null {
  const { application_credential_id: id, application_credential_name: name } = auth;
  const secret = auth.application_credential_secret;
  if (secret !== undefined) {
    const which = id === undefined ? { name, user: userOf(auth) } : { id };
    return { methods: ["application_credential"], application_credential: { ...which, secret } };
  }
  if (auth.token !== undefined) return { methods: ["token"], token: { id: auth.token } };
  const user = userOf(auth);
  if (user === null || auth.password === undefined) return null;
  return { methods: ["password"], password: { user: { ...user, password: auth.password } } };
}

function userOf({ user_id: id, username: name, user_domain_id, user_domain_name }: AuthValues): object | null {
  if (id !== undefined) return { id };
  return name === undefined ? null : { name, domain: domainOf(user_domain_id, user_domain_name) };
}

function scopeOf({ project_id: id, project_name: name, ...auth }: AuthValues): object | null {
  if (id !== undefined) return { project: { id } };
  if (name === undefined) return null;
  return { project: { name, domain: domainOf(auth.project_domain_id, auth.project_domain_name) } };
}

function domainOf(id: string | undefined, name: string | undefined): object {
  return name !== undefined && id === undefined ? { name } : { id: id ?? "default" };
}
