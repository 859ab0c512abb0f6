/** Users, projects and log-ins, for tests of /identity/v3. */
import type { CallOptions, TestEdge } from "../edge.ts";

export const V3 = "/identity/v3";
export const DEMO = "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10";
export const OPERATOR = "0c7a1d9e54f84f6ab3b8c2f6f2d4e901";
export const NOBODY = "00000000000040008000000000000000";
const Default = { id: "default" };

export type Answer = { status: number; headers: Headers; body: ReturnType<typeof JSON.parse> };

export async function answer(response: Response): Promise<Answer> {
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? null : JSON.parse(text) };
}

export class People {
  readonly #edge: TestEdge;

  constructor(edge: TestEdge) {
    this.#edge = edge;
  }

  async ask(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return answer(await this.#edge.call(method, path, options));
  }

  async make(kind: "user" | "project" | "role", fields: object): Promise<string> {
    const made = await this.ask("POST", `${V3}/${kind}s`, { body: { [kind]: fields } });
    if (made.status !== 201) throw new Error(JSON.stringify(made.body));
    return made.body[kind].id;
  }

  async roleId(name: string): Promise<string> {
    return (await this.ask("GET", `${V3}/roles?name=${name}`)).body.roles[0].id;
  }

  async give(role: string, user: string, project: string): Promise<void> {
    const given = await this.ask("PUT", `${V3}/projects/${project}/users/${user}/roles/${await this.roleId(role)}`);
    if (given.status !== 204) throw new Error(JSON.stringify(given.body));
  }

  async take(role: string, user: string, project: string): Promise<number> {
    const path = `${V3}/projects/${project}/users/${user}/roles/${await this.roleId(role)}`;
    return (await this.ask("DELETE", path)).status;
  }

  /** POST /v3/auth/tokens with one method. */
  auth(method: string, given: object, scope?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const identity = { methods: [method], [method]: given };
    const body = { auth: { identity, ...(scope === undefined ? {} : { scope }) } };
    return this.ask("POST", `${V3}/auth/tokens`, { token: null, body, headers });
  }

  login(name: string, password: string, project?: string, headers: Record<string, string> = {}): Promise<Answer> {
    const scope = project === undefined ? undefined : { project: { id: project } };
    return this.auth("password", { user: { name, domain: Default, password } }, scope, headers);
  }

  async token(name: string, password: string, project?: string): Promise<string> {
    const { status, headers, body } = await this.login(name, password, project);
    if (status !== 201) throw new Error(JSON.stringify(body));
    return headers.get("x-subject-token") ?? "";
  }
}
