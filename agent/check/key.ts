/** Whether the edge knows this host by its key. Pure. */
import { faultMessage, MAX_SKEW_MS } from "../edge.ts";
import type { Enrolment } from "../identity.ts";
import { skewOf } from "./clock.ts";
import type { Answer } from "./edge.ts";
import type { Finding } from "./finding.ts";

const check = "key";

export function checkKey(enrolment: Enrolment | null, answer: Answer | null): Finding {
  if (enrolment === null) return { check, state: "skipped", says: "this host is not enrolled yet" };
  if (answer === null) return { check, state: "skipped", says: "the edge did not answer" };
  const { status, body } = answer;
  if (status === 200) return known(enrolment, body);
  if (status === 401) return refused(enrolment, answer);
  const said = `the edge answered ${status}: ${faultMessage(body) ?? "no reason"}`;
  if (status === 404) {
    return {
      check,
      state: "warning",
      says: "the edge cannot tell: it is older than this agent",
      mend: "update the edge",
    };
  }
  if (status === 429) return { check, state: "failed", says: said, mend: "wait a minute, and check again" };
  return { check, state: "failed", says: said, mend: "see the edge's log: npx wrangler tail" };
}

function known({ host }: Enrolment, body: string): Finding {
  if (hostIn(body) === host) return { check, state: "ok", says: `the edge knows this host as ${host}` };
  return {
    check,
    state: "failed",
    says: "the edge takes this host for another",
    mend: "see that the URL is the edge's own",
  };
}

function refused({ edge, host }: Enrolment, answer: Answer): Finding {
  const skewMs = skewOf(answer);
  if (skewMs !== null && Math.abs(skewMs) > MAX_SKEW_MS) {
    return {
      check,
      state: "failed",
      says: "not accepted while the clock is wrong",
      mend: "set the clock, and check again",
    };
  }
  return {
    check,
    state: "failed",
    says: `the edge does not accept this host's key: ${host} was removed there, or enrolled with another key`,
    mend: `edgenova-agent enroll --edge ${edge} --host ${host} --join-token …  (a new one)`,
  };
}

function hostIn(body: string): unknown {
  const value: unknown = JSON.parse(body);
  return typeof value === "object" && value !== null && "host" in value ? value.host : undefined;
}
