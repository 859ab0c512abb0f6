/** Whether the edge is in reach, step by step: its name, a connection, its certificate, and an answer. */
import { lookup } from "node:dns/promises";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { networkReason } from "../failure.ts";
import type { Identity } from "../identity.ts";
import type { Finding } from "./finding.ts";

const check = "edge";
const TIMEOUT_MS = 10_000;
const MAX_BODY_CHARS = 4096;

/** What came back, and the Unix times in ms between which the edge answered. */
export type Answer = { status: number; date: string | null; body: string; sentMs: number; heardMs: number };

/** `answer` null when there was none. `identity` null asks without a signature. */
export async function checkEdge(
  edge: string,
  identity: Identity | null,
): Promise<{ finding: Finding; answer: Answer | null }> {
  const url = new URL(edge);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = url.protocol === "https:";
  const port = Number(url.port) || (secure ? 443 : 80);
  const failed = (says: string, mend: string, answer: Answer | null = null) => {
    return { finding: { check, state: "failed", says, mend } satisfies Finding, answer };
  };
  try {
    await lookup(host);
  } catch (error) {
    return failed(
      `DNS: the name ${host} is not found (${networkReason(error)})`,
      `getent hosts ${host}; cat /etc/resolv.conf`,
    );
  }
  try {
    await opened(connectTcp({ host, port }), "connect");
  } catch (error) {
    return failed(
      `TCP: no connection to ${host}:${port} (${networkReason(error)})`,
      `${WAYS_OUT}: nc -vz ${host} ${port}`,
    );
  }
  if (secure) {
    try {
      await opened(connectTls({ host, port, servername: host }), "secureConnect");
    } catch (error) {
      return failed(
        `TLS: the certificate or the handshake is wrong (${networkReason(error)})`,
        tlsAdvice(error, { host, port }),
      );
    }
  }
  let answer: Answer;
  try {
    answer = await ask(edge, identity);
  } catch (error) {
    return failed(`HTTP: no answer (${networkReason(error)})`, `curl -v ${edge}/agent/v1/whoami`);
  }
  const { status, body } = answer;
  if (status >= 500) return failed(`HTTP: it answers ${status}`, `curl -v ${edge}/agent/v1/whoami`, answer);
  if (!isEdge(body)) {
    const stranger = `HTTP: ${edge} answers ${status}, and not as an edge does`;
    return failed(stranger, `curl -v ${edge}/agent/v1/whoami; is the URL right?`);
  }
  return { finding: { check, state: "ok", says: `${edge} answers in ${answer.heardMs - answer.sentMs} ms` }, answer };
}

const WAYS_OUT = "see whether a firewall lets this host out";

function tlsAdvice(error: unknown, { host, port }: { host: string; port: number }): string {
  const look = `openssl s_client -connect ${host}:${port} -servername ${host} </dev/null`;
  const reason = networkReason(error);
  if (/EXPIRED|NOT_YET_VALID/.test(reason)) return `see whether this host's clock is right: date; ${look}`;
  if (/SELF_SIGNED|LEAF_SIGNATURE|ISSUER/.test(reason)) {
    return `apt-get install ca-certificates; for a CA of your own: NODE_EXTRA_CA_CERTS=/path/ca.pem; ${look}`;
  }
  return look;
}

/** Resolves when the socket says so, and closes it. */
function opened(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`no answer in ${TIMEOUT_MS / 1000} s`)));
    socket.once(event, resolve);
    socket.once("error", reject);
  }).finally(() => socket.destroy());
}

async function ask(edge: string, identity: Identity | null): Promise<Answer> {
  const headers = identity === null ? {} : { authorization: `Bearer ${await identity.assertion()}` };
  const sentMs = Date.now();
  const response = await fetch(`${edge}/agent/v1/whoami`, {
    headers,
    redirect: "manual", // an assertion is for the edge alone
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const heardMs = Date.now();
  const body = (await response.text()).slice(0, MAX_BODY_CHARS);
  return { status: response.status, date: response.headers.get("date"), body, sentMs, heardMs };
}

/** An edge answers with one object: its fault, or the host. */
function isEdge(body: string): boolean {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null && Object.keys(value).length === 1;
  } catch {
    return false;
  }
}
