/** Requests by the thousand, and what must hold of every answer. */
import { expect } from "vitest";
import type { CallOptions, TestEdge } from "../../edge.ts";

export type Step = {
  /** What is asked, for who reads the failure. */
  what: string;
  method: string;
  path: string;
  options?: CallOptions;
  /** The status, or those that it may be; any below 500 if absent. */
  status?: number | readonly number[];
  /** What the fault's message must speak of. */
  says?: string;
  /** The key that a body of success must have. */
  answers?: string;
};

/** So many requests are under way at a time. */
const AT_ONCE = 16;
/** So many failures are shown; the rest are like them. */
const SHOWN = 12;

/** Takes every step, and fails with those that went wrong. */
export async function walk(edge: TestEdge, steps: Iterable<Step>): Promise<void> {
  const failures: string[] = [];
  const left = steps[Symbol.iterator]();
  const walker = async () => {
    for (let next = left.next(); !next.done; next = left.next()) {
      const step = next.value;
      const wrong = await fault(edge, step);
      if (wrong !== null) failures.push(`${step.method} ${step.path}, ${step.what}: ${wrong}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, walker));
  expect(failures.slice(0, SHOWN), `${failures.length} went wrong`).toEqual([]);
}

/** What is wrong with the answer to one step; null if nothing is. */
async function fault(edge: TestEdge, step: Step): Promise<string | null> {
  const response = await edge.call(step.method, step.path, step.options);
  const text = await response.text();
  const { status } = response;
  const told = `${status} ${text.slice(0, 300)}`;
  const allowed = [step.status ?? []].flat();
  if (status >= 500 && !allowed.includes(status)) return `${told}: that is no caller's fault`;
  if (allowed.length > 0 && !allowed.includes(status)) return `${told}, not ${allowed.join(" or ")}`;
  const missing = headersMissing(step, response);
  if (missing !== null) return `${told}: ${missing}`;
  if (status < 400) return keyMissing(step, text) ? `${told}: it has no ${step.answers}` : null;
  const envelope = step.path.startsWith("/identity") ? keystoneFault(text, status) : novaFault(text, status);
  if (envelope === null) return `${told}: it is not the envelope`;
  if (/\bat .*:\d+:\d+/.test(envelope)) return `${told}: it tells of the inside`;
  return step.says === undefined || envelope.includes(step.says) ? null : `${told}: it does not speak of ${step.says}`;
}

const keyMissing = ({ answers }: Step, text: string) => answers !== undefined && !Object.hasOwn(parsed(text), answers);

const REQUEST_ID = /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function headersMissing({ path }: Step, { status, headers }: Response): string | null {
  if (!REQUEST_ID.test(headers.get("x-openstack-request-id") ?? "")) return "it has no request id";
  // Whoever is not known, or sends too much, is turned away before anything is negotiated.
  if (!path.startsWith("/compute/v2.1/") || status === 401 || status === 413) return null;
  if (!/^compute 2\.\d+$/.test(headers.get("openstack-api-version") ?? "")) return "it names no microversion";
  return headers.get("vary")?.includes("OpenStack-API-Version") ? null : "it does not vary by microversion";
}

/** The message in Nova's envelope, `{<name>: {code, message}}`; null when it is not one. */
function novaFault(text: string, status: number): string | null {
  const [fault, ...others] = Object.values(parsed(text)) as { code?: unknown; message?: unknown }[];
  const holds = others.length === 0 && fault?.code === status && typeof fault.message === "string";
  return holds ? String(fault.message) : null;
}

/** The message in Keystone's, `{error: {code, message, title}}`. */
function keystoneFault(text: string, status: number): string | null {
  const { error } = parsed(text) as { error?: { code?: unknown; message?: unknown; title?: unknown } };
  const holds = error?.code === status && typeof error.message === "string" && typeof error.title === "string";
  return holds ? String(error.message) : null;
}

function parsed(text: string): object {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
