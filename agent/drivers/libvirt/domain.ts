/** How libvirt's procedures name a domain (remote_protocol.x: remote_nonnull_domain). */
import { type XdrReader, XdrWriter } from "./xdr.ts";

const UUID_BYTES = 16;

/** `id` is -1 when the domain does not run. */
export type Domain = { name: string; uuid: string; id: number };

export function readDomain(reader: XdrReader): Domain {
  const name = reader.string();
  const uuid = reader
    .fixed(UUID_BYTES)
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  return { name, uuid, id: reader.int() };
}

export const uuidBytes = (uuid: string) => Buffer.from(uuid.replaceAll("-", ""), "hex");

/** The beginning of the arguments of every procedure that is about a domain. */
export const domainArgs = (domain: Domain) =>
  new XdrWriter().string(domain.name).fixed(uuidBytes(domain.uuid)).int(domain.id);
