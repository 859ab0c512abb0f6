/** Whether this host has a place at an edge, and its key. */
import { Failure } from "../failure.ts";
import { type Identity, loadIdentity, readEnrolment } from "../identity.ts";
import type { Finding } from "./finding.ts";

const check = "enrolment";
const ENROLL = "edgenova-agent enroll --edge https://… --join-token …  (an admin of the edge makes the token)";

/** `identity` null where there is none to be had. */
export async function checkEnrolment(stateDir: string): Promise<{ finding: Finding; identity: Identity | null }> {
  const failed = (says: string, mend: string) => {
    return { finding: { check, state: "failed", says, mend } satisfies Finding, identity: null };
  };
  try {
    if (readEnrolment(stateDir) === null) {
      return failed(`not enrolled yet: there is no host.json in ${stateDir}`, ENROLL);
    }
    const identity = await loadIdentity(stateDir);
    return { finding: { check, state: "ok", says: `host ${identity.host} at ${identity.edge}` }, identity };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const mend = error.message.startsWith("cannot read") ? "run it as the user that the agent runs as" : ENROLL;
    return failed(error.message, mend);
  }
}
