/** What libvirt calls its failures, and what the edge may hear of them. */
import type { CallErrorCode } from "../../../functions/protocol/methods.ts";
import { diskIsFull } from "../../failure.ts";
import { DriverError } from "../driver.ts";
import { XdrError, type XdrReader } from "./xdr.ts";

/** libvirt include/libvirt/virterror.h: virErrorNumber; only those that this driver acts upon. */
export const VIR_ERR = {
  NO_SUPPORT: 3,
  NO_CONNECT: 5,
  INVALID_ARG: 8,
  XML_ERROR: 27,
  NO_DOMAIN: 42,
  AUTH_FAILED: 45,
  OPERATION_INVALID: 55,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  OPERATION_ABORTED: 78,
  NO_DOMAIN_METADATA: 80,
  OPERATION_UNSUPPORTED: 84,
  AGENT_UNRESPONSIVE: 86,
  ACCESS_DENIED: 88,
  AGENT_UNSYNCED: 97,
  NO_DOMAIN_BACKUP: 104,
} as const;

/** A failure that libvirt answered. Its message may name files of the host, so it is for the agent's own log alone. */
export class LibvirtError extends Error {
  override name = "LibvirtError";
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The head of virNetMessageError (virnetprotocol.x); what follows it repeats the message in parts. */
export function readError(reader: XdrReader): LibvirtError {
  const code = reader.int();
  reader.int(); // the part of libvirt that failed
  return new LibvirtError(code, reader.optional((r) => r.string()) ?? "no message");
}

export function isLibvirtError(error: unknown, ...codes: number[]): boolean {
  return error instanceof LibvirtError && codes.includes(error.code);
}

/** A rejection handler that passes over the libvirt errors named, and throws any other. */
export function unless(...codes: number[]) {
  return (error: unknown): undefined => {
    if (!isLibvirtError(error, ...codes)) throw error;
  };
}

/** A rejection handler that passes over all that libvirt refused, and throws any other. */
export function unlessRefused(error: unknown): undefined {
  if (!(error instanceof LibvirtError)) throw error;
}

const TOLD: Record<number, [CallErrorCode, string]> = {
  [VIR_ERR.NO_SUPPORT]: ["NotSupported", "this hypervisor cannot do that"],
  [VIR_ERR.OPERATION_UNSUPPORTED]: ["NotSupported", "this hypervisor cannot do that"],
  [VIR_ERR.CONFIG_UNSUPPORTED]: ["NotSupported", "this hypervisor lacks a device that the guest needs"],
  [VIR_ERR.XML_ERROR]: ["BuildAbortException", "the hypervisor refused the guest's description"],
  [VIR_ERR.NO_DOMAIN]: ["InstanceNotFound", "the hypervisor has no such guest"],
  [VIR_ERR.OPERATION_INVALID]: ["InstanceInvalidState", "the guest's state does not allow that"],
  [VIR_ERR.AUTH_FAILED]: ["HypervisorUnavailable", "libvirt refused the agent"],
  [VIR_ERR.ACCESS_DENIED]: ["HypervisorUnavailable", "libvirt refused the agent"],
  [VIR_ERR.OPERATION_TIMEOUT]: ["HypervisorUnavailable", "libvirt is busy with the guest"],
};

/** The failure as the edge may tell it: by libvirt's error number, never in libvirt's words. */
export function toDriverError(error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const cause = { cause: error };
  if (error instanceof LibvirtError) {
    if (error.message.includes("virtlogd")) {
      return new DriverError("HypervisorUnavailable", "virtlogd does not run on the host; start it", cause);
    }
    const [code, message] = TOLD[error.code] ?? ["Unexpected", "the hypervisor failed"];
    return new DriverError(code, `${message} (libvirt error ${error.code})`, cause);
  }
  if (error instanceof XdrError) {
    return new DriverError("HypervisorUnavailable", "libvirt's answer could not be read", cause);
  }
  if (error instanceof Error && error.name === "AbortError") {
    return new DriverError("BuildAbortException", "the build was given up", cause);
  }
  if (diskIsFull(error)) {
    return new DriverError("InsufficientFreeDisk", "the host's disk is full", cause);
  }
  return new DriverError("Unexpected", "the agent failed", cause);
}
