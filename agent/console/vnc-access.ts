/** What the agent logs in to VNC servers with, read once at its start. */
import { readFileSync } from "node:fs";
import type { AgentConfig } from "../config.ts";
import { Failure, networkReason } from "../failure.ts";
import type { VncAccess } from "./vnc-socket.ts";

/** Throws `Failure` when a file that is named cannot be read. */
export function vncAccess(vnc: AgentConfig["vnc"]): VncAccess {
  const ca = pem(vnc.vencrypt_ca_certs);
  const cert = pem(vnc.vencrypt_client_cert);
  const key = pem(vnc.vencrypt_client_key);
  return {
    username: vnc.username === "" ? null : vnc.username,
    password: vnc.password === "" ? null : vnc.password,
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  };
}

function pem(path: string): Buffer | null {
  if (path === "") return null;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(`cannot read ${path}, which [vnc] names: ${networkReason(error)}`, { cause: error });
  }
}
