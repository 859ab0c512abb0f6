/** A cloud's compute API for who has logged in; every answer is checked, and every failure says what to do next. */
import { z } from "zod";
import { faultMessage, parseEdge } from "../edge.ts";
import { Failure, networkReason } from "../failure.ts";
import type { Login } from "./cloud-config.ts";

const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_TOKEN_CHARS = 8192;
/** Of Node's TLS: the other side's certificate is by nobody that Node knows. */
const UNKNOWN_ISSUER = /SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY)/;

const endpoint = z.object({ interface: z.string(), region: z.string().nullish(), url: z.string() });
const granted = z.object({
  token: z.object({
    catalog: z.array(z.object({ type: z.string(), endpoints: z.array(endpoint) })).optional(),
  }),
});
type Catalog = NonNullable<z.infer<typeof granted>["token"]["catalog"]>;

export class CloudApi {
  readonly #compute: string;
  readonly #token: string;
  readonly #minor: number | undefined;

  private constructor(compute: string, token: string, minor?: number) {
    this.#compute = compute;
    this.#token = token;
    this.#minor = minor;
  }

  /** The same API at microversion 2.<minor>; without this it is the lowest. */
  at(minor: number): CloudApi {
    return new CloudApi(this.#compute, this.#token, minor);
  }

  /** Throws `Failure` when the cloud cannot be reached or does not let this caller in. */
  static async login(login: Login): Promise<CloudApi> {
    const url = `${parseEdge(login.authUrl)}/auth/tokens`;
    const response = await ask(url, { method: "POST", body: JSON.stringify(login.body) });
    const body = await textOf(response);
    if (response.status === 401) throw new Failure(`the log-in was refused: check ${login.source}`);
    if (!response.ok) throw new Refused(response, body);
    const token = response.headers.get("x-subject-token") ?? "";
    const { catalog } = checked(granted, body, url).token;
    if (token === "" || token.length > MAX_TOKEN_CHARS) throw new Failure(`${url} gave no token: is it an auth_url?`);
    if (catalog === undefined)
      throw new Failure(`you are logged in to no project: set project_name in ${login.source}`);
    return new CloudApi(computeOf(catalog, login), token);
  }

  /** The answer to `path`, which starts with a slash. Throws `Failure` for what is refused or is not of `schema`. */
  async call<T>(schema: z.ZodType<T>, method: "GET" | "POST" | "PUT", path: string, body?: object): Promise<T> {
    const text = await this.#send(method, path, body);
    return checked(schema, text, this.#compute);
  }

  async delete(path: string): Promise<void> {
    await this.#send("DELETE", path);
  }

  /** As `call`; null when there is no such thing. */
  async find<T>(schema: z.ZodType<T>, path: string): Promise<T | null> {
    try {
      return await this.call(schema, "GET", path);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    }
  }

  async #send(method: string, path: string, body?: object): Promise<string> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const minor = this.#minor === undefined ? {} : { minor: this.#minor };
    const response = await ask(`${this.#compute}${path}`, { method, token: this.#token, ...minor, ...sent });
    const text = await textOf(response);
    if (!response.ok) throw new Refused(response, text);
    return text;
  }
}

/** What was refused, in the cloud's words, and what to do. */
class Refused extends Failure {
  override name = "Refused";
  readonly status: number;

  constructor({ status, headers }: Response, body: string) {
    const said = faultMessage(body)?.replaceAll(/\s+/g, " ").replace(/\.$/, "") ?? `the cloud answered ${status}`;
    const mend = mendOf(status, headers.get("retry-after"));
    super(mend === null ? said : `${said}: ${mend}`);
    this.status = status;
  }
}

/** The endpoint of the log-in's region and interface; of any region when the log-in names none. */
function computeOf(catalog: Catalog, { region, interface: face, source }: Login): string {
  const endpoints = catalog.filter(({ type }) => type === "compute").flatMap(({ endpoints }) => endpoints);
  const found = endpoints.find((one) => one.interface === face && (region === undefined || one.region === region));
  if (found !== undefined) return parseEdge(found.url);
  const where = region === undefined ? "" : ` in region ${region}`;
  throw new Failure(`the cloud has no ${face} compute endpoint${where}: check ${source}`);
}

type Asked = { method?: string; token?: string; minor?: number; body?: string };

async function ask(url: string, { method = "GET", token, minor, body }: Asked): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        accept: "application/json",
        ...(token === undefined ? {} : { "x-auth-token": token }),
        ...(minor === undefined ? {} : { "openstack-api-version": `compute 2.${minor}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      // A redirect would hand the password or token to whoever it names.
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body }),
    });
  } catch (error) {
    const reason = networkReason(error);
    const mend = UNKNOWN_ISSUER.test(reason)
      ? "name its CA's file in NODE_EXTRA_CA_CERTS"
      : "check that it runs, and the auth_url";
    throw new Failure(`cannot reach ${new URL(url).origin} (${reason}): ${mend}`, { cause: error });
  }
}

/** The body, as far as anybody may make this program read. */
async function textOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of response.body ?? []) {
      size += part.length;
      if (size > MAX_ANSWER_BYTES) break;
      parts.push(part);
    }
  } catch (error) {
    throw new Failure(`the answer broke off (${networkReason(error)}): try again`, { cause: error });
  }
  if (size > MAX_ANSWER_BYTES)
    throw new Failure(`the answer is larger than ${MAX_ANSWER_BYTES >> 20} MiB: ask for less`);
  return Buffer.concat(parts).toString();
}

function checked<T>(schema: z.ZodType<T>, text: string, from: string): T {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  const at = read.error.issues[0]?.path.join(".") || "its top";
  throw new Failure(`${from} gave an answer that is not understood (at ${at}): is it an edgenova of this version?`);
}

/** Null where the cloud's own words are all that there is to say. */
function mendOf(status: number, retryAfter: string | null): string | null {
  if (status === 401) return "log in again; a token in OS_TOKEN has an end";
  if (status === 403) return "ask the server's owner or an admin";
  if (status === 404) return "look at what there is with the list command";
  if (status === 429) return /^\d+$/.test(retryAfter ?? "") ? `try again in ${retryAfter} s` : "try again in a minute";
  if (status >= 500) return "try again, and tell the cloud's admin if it stays so";
  return status >= 300 && status < 400 ? "check the auth_url" : null;
}
