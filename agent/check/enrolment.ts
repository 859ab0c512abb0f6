/** Whether this host has a place at an edge, and its key. */
import { Failure } from "../failure.ts";
import { type Identity, loadIdentity, readEnrolment } from "../identity.ts";
import type { Finding } from "./finding.ts";

const ENROLL = "edgenova-agent enroll --edge https://… --join-token …  (an admin of the edge makes the token)";

/** `identity` null where there is none to be had. */
export async function checkEnrolment(stateDir: string): Promise<{ finding: Finding; identity: Identity | null }> {
  const found = (state: Finding["state"], says: string, mend?: string): Finding => {
    return { check: "enrolment", state, says, ...(mend === undefined ? {} : { mend }) };
  };
  try {
    if (readEnrolment(stateDir) === null) {
      return {
        finding: found("failed", `not enrolled yet: there is no host.json in ${stateDir}`, ENROLL),
        identity: null,
      };
    }
    const identity = await loadIdentity(stateDir);
    return { finding: found("ok", `host ${identity.host} at ${identity.edge}`), identity };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const mend = error.message.startsWith("cannot read") ? "run it as the user that the agent runs as" : ENROLL;
    return { finding: found("failed", error.message, mend), identity: null };
  }
}
