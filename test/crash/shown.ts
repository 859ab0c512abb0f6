/** What the API shows of a server, and the way into it. */

export type Shown = {
  id: string;
  status: string;
  task: string | null;
  power: number;
  host: string | null;
  flavor: string;
  /** With what admins are told besides. */
  fault?: string;
};

/** What a test looks at of a server's details. */
export function shown(server: Record<string, unknown>): Shown {
  const fault = server.fault as { message: string; details?: string } | undefined;
  return {
    id: String(server.id),
    status: String(server.status),
    task: server["OS-EXT-STS:task_state"] as string | null,
    power: Number(server["OS-EXT-STS:power_state"]),
    host: server["OS-EXT-SRV-ATTR:host"] as string | null,
    flavor: (server.flavor as { original_name: string }).original_name,
    ...(fault ? { fault: [fault.message, fault.details].join(" ") } : {}),
  };
}

/** A token of the admin in the demo project. */
export async function login(url: string, password: string): Promise<string> {
  const Default = { id: "default" };
  const identity = { methods: ["password"], password: { user: { name: "admin", domain: Default, password } } };
  const response = await fetch(`${url}/identity/v3/auth/tokens`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ auth: { identity, scope: { project: { name: "demo", domain: Default } } } }),
  });
  return response.headers.get("x-subject-token") ?? "";
}
