/** Enrolment: the one time that a join token buys a host its place. */
import { z } from "zod";
import { explainRefusal, parseEdge } from "./edge.ts";
import { Failure, networkReason } from "./failure.ts";
import { type Enrolment, ensureKey, readEnrolment, writeEnrolment } from "./identity.ts";

const ENROLL_TIMEOUT_MS = 30_000;
const HOST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
const enrolled = z.object({ host: z.string().min(1).max(255) });

export type EnrollRequest = { edge: string; joinToken: string; host: string; stateDir: string };

/**
 * Tells the edge this host's public key and stores what it answers. May be repeated after any failure: the same key is
 * sent again, and the edge answers the same. Throws `Failure` with a message for the person who typed the command.
 */
export async function enroll(request: EnrollRequest): Promise<Enrolment> {
  const edge = parseEdge(request.edge);
  const { joinToken, host, stateDir } = request;
  if (!HOST_NAME.test(host)) throw new Failure(`"${host}" is not a host name: use letters, digits, ".", "_" and "-"`);
  const before = readEnrolment(stateDir);
  if (before !== null && (before.edge !== edge || before.host !== host)) {
    // The journal in this directory belongs to the old name: its generations would be told to another edge.
    throw new Failure(`${stateDir} already belongs to host ${before.host} at ${before.edge}: choose another --state`);
  }
  const public_key = await ensureKey(stateDir);
  const response = await post(`${edge}/agent/v1/enroll`, { join_token: joinToken, host, public_key });
  const body = await response.text().catch(() => "");
  if (response.status !== 201) {
    const date = response.headers.get("date");
    throw new Failure(explainRefusal({ status: response.status, date, body }, Date.now()));
  }
  const answer = enrolled.safeParse(parse(body));
  if (!answer.success) throw new Failure(`${edge} answered 201 with a body that is not an enrolment: is it an edge?`);
  const enrolment = { edge, host: answer.data.host };
  writeEnrolment(stateDir, enrolment);
  return enrolment;
}

async function post(url: string, body: unknown): Promise<Response> {
  try {
    return await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      // A redirect would hand the join token to whoever it names.
      redirect: "manual",
      signal: AbortSignal.timeout(ENROLL_TIMEOUT_MS),
    });
  } catch (error) {
    throw new Failure(`cannot reach the edge at ${new URL(url).origin}: ${networkReason(error)}`, { cause: error });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
