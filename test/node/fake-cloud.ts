/** A cloud as small as the `edgenova` command needs it: one project, and console links in memory. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";

export const TOKEN = "a-token";
export const PASSWORD = "12345678";

export type Asked = { method: string; path: string; body: unknown };
type Answer = { status: number; body?: object; headers?: Record<string, string> };
type Wanted = { rights: string; clipboard?: boolean; pin?: string; uses?: number; expires_in?: number };

export class FakeCloud {
  /** What came, log-ins excepted. */
  readonly asked: Asked[] = [];
  readonly logins: unknown[] = [];
  servers: { id: string; name: string }[] = [{ id: randomUUID(), name: "demo" }];
  links: Record<string, unknown>[] = [];
  sessions: Record<string, unknown>[] = [];
  /** Answers every request but the log-in, when set. */
  answer: Answer | null = null;
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#serve(request).then(({ status, body, headers }) => {
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(body === undefined ? "" : JSON.stringify(body));
      });
    });
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage): Promise<Answer> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    const { method = "", url: path = "" } = request;
    if (path === "/identity/v3/auth/tokens") return this.#login(body);
    this.asked.push({ method, path, body });
    if (request.headers["x-auth-token"] !== TOKEN)
      return fault(401, "The request you have made requires authentication.");
    return this.answer ?? this.#compute(method, path.replace("/compute/v2.1", ""), body);
  }

  #login(body: unknown): Answer {
    this.logins.push(body);
    if (JSON.stringify(body).includes("wrong")) return { status: 401, body: { error: { code: 401, message: "No." } } };
    const endpoints = ["public", "internal"].map((face) => ({
      interface: face,
      region: "RegionOne",
      url: face === "public" ? `${this.url}/compute/v2.1` : "http://192.0.2.1/",
    }));
    const catalog = [{ type: "compute", endpoints }];
    return { status: 201, body: { token: { catalog } }, headers: { "x-subject-token": TOKEN } };
  }

  #compute(method: string, path: string, body: unknown): Answer {
    const { pathname, searchParams } = new URL(path, this.url);
    const [, , id = "", what = "", one] = pathname.split("/");
    if (pathname === "/servers") {
      const name = new RegExp(searchParams.get("name") ?? "");
      return { status: 200, body: { servers: this.servers.filter((server) => name.test(server.name)) } };
    }
    if (pathname === "/os-console-sessions") {
      const next = [{ rel: "next", href: `${this.url}${path}&marker=x` }];
      return { status: 200, body: { console_sessions: this.sessions, console_sessions_links: next } };
    }
    const server = this.servers.find((each) => each.id === id);
    if (server === undefined) return fault(404, `Instance ${id} could not be found.`);
    if (what === "") return { status: 200, body: { server } };
    if (method === "DELETE") {
      const gone = this.links.filter((link) => what === "console-links" && (one === undefined || link.id === one));
      for (const link of gone) link.state = "revoked";
      return { status: 204 };
    }
    if (what === "console-links" && method === "POST")
      return this.#create((body as { console_link: Wanted }).console_link);
    if (what === "console-links" && one === undefined) return { status: 200, body: { console_links: this.links } };
    if (what === "console-links") {
      const console_link = { ...this.links.find((link) => link.id === one), sessions: this.sessions };
      return { status: 200, body: { console_link } };
    }
    if (what === "console-sessions") return { status: 200, body: { console_sessions: this.sessions } };
    return { status: 200, body: body as object };
  }

  #create({ expires_in = 86_400, pin, ...wanted }: Wanted): Answer {
    const link: Record<string, unknown> = {
      ...linkOf({ clipboard: wanted.rights === "control" }),
      ...wanted,
      pin: pin !== undefined,
      expires_at: new Date(Date.now() + expires_in * 1000).toISOString(),
    };
    this.links.push(link);
    return { status: 201, body: { console_link: { ...link, url: `${this.url}/console#${link.id}` } } };
  }
}

/** A link as the API shows it. */
export function linkOf(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: randomUUID(),
    label: "",
    rights: "control",
    clipboard: true,
    power: false,
    expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    uses: null,
    used: 0,
    pin: false,
    addresses: [],
    ends_sessions: false,
    created_at: new Date(Date.now() - 7_200_000).toISOString(),
    user_id: "the-admin",
    user_name: "ada",
    revoked_at: null,
    state: "active",
    in_use: 0,
    ...fields,
  };
}

/** A session as the API shows it. */
export function sessionOf(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: randomUUID(),
    server_id: randomUUID(),
    project_id: "p",
    link_id: null,
    label: "",
    user_id: "the-admin",
    address: "192.0.2.7",
    started_at: new Date(Date.now() - 120_000).toISOString(),
    ended_at: null,
    open: true,
    ended_by: null,
    bytes_up: 512,
    bytes_down: 3 * 1024 * 1024,
    keys: 42,
    pointers: 7,
    cut_texts: 0,
    ...fields,
  };
}

export function fault(status: number, message: string, headers: Record<string, string> = {}): Answer {
  return { status, body: { itemNotFound: { code: status, message } }, headers };
}
