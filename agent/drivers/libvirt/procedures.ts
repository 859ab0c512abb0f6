/**
 * The procedures of libvirt's remote program that this driver calls, with their argument and answer structs.
 * Layouts: libvirt src/remote/remote_protocol.x. They never change; libvirt only adds.
 */
import { type Domain, domainArgs, readDomain, uuidBytes } from "./domain.ts";
import { isLibvirtError, VIR_ERR } from "./errors.ts";
import { MigrationProcedures } from "./migration-procedures.ts";
import { PROC } from "./procedure-numbers.ts";
import { MEMORY_CALL_TIMEOUT_MS, type RpcConnection } from "./rpc.ts";
import { type XdrReader, XdrWriter } from "./xdr.ts";

export type { Domain } from "./domain.ts";

/** remote_protocol.x: remote_auth_type. */
export const AUTH_NONE = 0;
/** virDomainState (libvirt-domain.h). */
export const DOMAIN_STATE = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const;
/** virDomainJobType: NONE while there is no job, COMPLETED for one that ended well. */
export const JOB = { NONE: 0, COMPLETED: 3 } as const;
/** virDomainGetJobStatsFlags: VIR_DOMAIN_JOB_STATS_COMPLETED. */
const JOB_STATS_COMPLETED = 1;
/** src/libvirt_internal.h: VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. Asking for it makes libvirtd send PINGs too. */
const FEATURE_KEEPALIVE = 10;
/** virDomainEventID: lifecycle. */
const EVENT_LIFECYCLE = 0;
/** virDomainEventType, and of virDomainEventSuspendedDetailType and ResumedDetailType what is MIGRATED or POSTCOPY. */
export const LIFECYCLE = { SUSPENDED: 3, RESUMED: 4 } as const;
export const SUSPENDED_TO_GO: readonly number[] = [1, 7];
export const RESUMED_FROM_AFAR: readonly number[] = [1, 3];
/** virDomainMetadataType: the element in a namespace. */
const METADATA_ELEMENT = 2;
/** MANAGED_SAVE, SNAPSHOTS_METADATA, NVRAM, CHECKPOINTS_METADATA: without them undefine refuses such a domain. */
const UNDEFINE_ALL = 1 | 2 | 4 | 16;
/** KEEP_NVRAM in the place of NVRAM. */
const UNDEFINE_BUT_FILES = 1 | 2 | 8 | 16;
/** virDomainXMLFlags: the stored description, also of a domain that runs. */
const XML_INACTIVE = 2;
/** virDomainSaveRestoreFlags: the guest runs when it comes back. */
const SAVE_RUNNING = 2;
/** virDomainInterfaceAddressesSource. */
export const ADDRESS_SOURCE = { LEASE: 0, AGENT: 1, ARP: 2 } as const;
/** remote_protocol.x: REMOTE_DOMAIN_INTERFACE_MAX, REMOTE_DOMAIN_IP_ADDR_MAX. */
const INTERFACES_MAX = 2048;
const ADDRESSES_MAX = 2048;
/** remote_protocol.x: REMOTE_VCPUINFO_MAX. */
const VCPUS_MAX = 16_384;
/** More domains than a host can hold; libvirt's own limit (REMOTE_DOMAIN_LIST_MAX). */
const DOMAINS_MAX = 16_384;
const AUTH_TYPES_MAX = 20;
/** remote_node_get_info_ret: `char model[32]`, and XDR gives every char a word. */
const NODE_MODEL_BYTES = 32 * 4;

/** Memory in KiB. */
export type NodeInfo = { memoryKib: number; cpus: number };

/** remote_domain_get_info_ret. Memory in KiB, time in nanoseconds. */
export type DomainInfo = { maxMemoryKib: number; memoryKib: number; vcpus: number };
/** remote_vcpu_info. `timeNs` is what the processor has used of the host. */
export type Vcpu = { number: number; timeNs: number };
/** remote_domain_block_stats_ret. -1 is a count that the hypervisor does not keep. */
export type BlockStats = Record<"readRequests" | "readBytes" | "writeRequests" | "writeBytes" | "errors", number>;

/** remote_domain_interface. `mac` null is an interface that has none, as a guest's own loopback may. */
export type InterfaceAddresses = { mac: string | null; addresses: string[] };

function readInterface(reader: XdrReader): InterfaceAddresses {
  reader.string(); // what the guest, or the host, calls it
  const mac = reader.optional((r) => r.string());
  const addresses = reader.array(ADDRESSES_MAX, (r) => {
    r.int(); // its family, as can be seen of it
    const address = r.string();
    r.uint(); // the length of its network's prefix
    return address;
  });
  return { mac, addresses };
}

export type LifecycleEvent = { uuid: string; event: number; detail: number };

/** Null when the message is no lifecycle event. */
export function readLifecycleEvent(procedure: number, payload: XdrReader): LifecycleEvent | null {
  if (procedure !== PROC.DOMAIN_EVENT_CALLBACK_LIFECYCLE) return null;
  payload.int(); // our callback's id; we register one
  const { uuid } = readDomain(payload);
  return { uuid, event: payload.int(), detail: payload.int() };
}

/** libvirt's API over one connection. Every method rejects with LibvirtError or HypervisorUnavailable. */
export class Libvirt {
  readonly migration: MigrationProcedures;
  readonly #rpc: RpcConnection;

  constructor(rpc: RpcConnection) {
    this.#rpc = rpc;
    this.migration = new MigrationProcedures(rpc);
  }

  close(): void {
    this.#rpc.close();
  }

  /** The ways in that the server offers this process; a root caller of the unix socket gets none but AUTH_NONE. */
  async authTypes(): Promise<number[]> {
    return (await this.#rpc.call(PROC.AUTH_LIST)).array(AUTH_TYPES_MAX, (r) => r.int());
  }

  /** `name` is the driver's URI without query, as in `qemu:///system`. */
  async open(name: string): Promise<void> {
    await this.#rpc.call(
      PROC.CONNECT_OPEN,
      new XdrWriter()
        .optional(name, (w, v) => w.string(v))
        .uint(0)
        .bytes(),
    );
  }

  async startKeepalive(): Promise<void> {
    const answer = await this.#rpc.call(PROC.CONNECT_SUPPORTS_FEATURE, new XdrWriter().int(FEATURE_KEEPALIVE).bytes());
    if (answer.int() === 1) this.#rpc.startKeepalive();
  }

  /** From now on lifecycle events of all domains arrive on the connection. */
  async watchLifecycle(): Promise<void> {
    const args = new XdrWriter().int(EVENT_LIFECYCLE).optional(null, () => {});
    await this.#rpc.call(PROC.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, args.bytes());
  }

  async type(): Promise<string> {
    return (await this.#rpc.call(PROC.CONNECT_GET_TYPE)).string();
  }

  /** The hypervisor's version as major * 1,000,000 + minor * 1,000 + release. */
  async version(): Promise<number> {
    return (await this.#rpc.call(PROC.CONNECT_GET_VERSION)).hyper();
  }

  async hostname(): Promise<string> {
    return (await this.#rpc.call(PROC.CONNECT_GET_HOSTNAME)).string();
  }

  async nodeInfo(): Promise<NodeInfo> {
    const answer = await this.#rpc.call(PROC.NODE_GET_INFO);
    answer.fixed(NODE_MODEL_BYTES);
    return { memoryKib: answer.hyper(), cpus: answer.int() };
  }

  async capabilities(): Promise<string> {
    return (await this.#rpc.call(PROC.CONNECT_GET_CAPABILITIES)).string();
  }

  async listDomains(): Promise<Domain[]> {
    const args = new XdrWriter().int(1).uint(0);
    return (await this.#rpc.call(PROC.CONNECT_LIST_ALL_DOMAINS, args.bytes())).array(DOMAINS_MAX, readDomain);
  }

  async lookup(uuid: string): Promise<Domain> {
    return readDomain(await this.#rpc.call(PROC.DOMAIN_LOOKUP_BY_UUID, new XdrWriter().fixed(uuidBytes(uuid)).bytes()));
  }

  /** A virDomainState. */
  async state(domain: Domain): Promise<number> {
    return (await this.#rpc.call(PROC.DOMAIN_GET_STATE, domainArgs(domain).uint(0).bytes())).int();
  }

  /** The metadata element of a namespace; NO_DOMAIN_METADATA when the domain has none. */
  async metadata(domain: Domain, namespace: string): Promise<string> {
    const args = domainArgs(domain)
      .int(METADATA_ELEMENT)
      .optional(namespace, (w, v) => w.string(v))
      .uint(0);
    return (await this.#rpc.call(PROC.DOMAIN_GET_METADATA, args.bytes())).string();
  }

  /** The live description of a domain that runs, the stored one of a domain that does not. */
  async xml(domain: Domain): Promise<string> {
    return (await this.#rpc.call(PROC.DOMAIN_GET_XML_DESC, domainArgs(domain).uint(0).bytes())).string();
  }

  /** The stored description: what the domain is at its next start. */
  async storedXml(domain: Domain): Promise<string> {
    return (await this.#rpc.call(PROC.DOMAIN_GET_XML_DESC, domainArgs(domain).uint(XML_INACTIVE).bytes())).string();
  }

  async info(domain: Domain): Promise<DomainInfo> {
    const answer = await this.#rpc.call(PROC.DOMAIN_GET_INFO, domainArgs(domain).bytes());
    answer.uint(); // the state
    return { maxMemoryKib: answer.hyper(), memoryKib: answer.hyper(), vcpus: answer.uint() };
  }

  async vcpus(domain: Domain, count: number): Promise<Vcpu[]> {
    const args = domainArgs(domain).int(count).int(0); // no maps of where they may run
    return (await this.#rpc.call(PROC.DOMAIN_GET_VCPUS, args.bytes())).array(VCPUS_MAX, (r) => {
      const number = r.uint();
      r.int(); // its state
      const timeNs = r.hyper();
      r.int(); // the host's processor that it runs on
      return { number, timeNs };
    });
  }

  /** `target` is the disk's name in the description, as `vda`. */
  async blockStats(domain: Domain, target: string): Promise<BlockStats> {
    const answer = await this.#rpc.call(PROC.DOMAIN_BLOCK_STATS, domainArgs(domain).string(target).bytes());
    const next = () => answer.signedHyper();
    return { readRequests: next(), readBytes: next(), writeRequests: next(), writeBytes: next(), errors: next() };
  }

  async define(xml: string): Promise<Domain> {
    return readDomain(await this.#rpc.call(PROC.DOMAIN_DEFINE_XML, new XdrWriter().string(xml).bytes()));
  }

  /** A domain with a managed save goes on from there, and has it no more. */
  async start(domain: Domain): Promise<void> {
    const args = domainArgs(domain).uint(0).bytes();
    await this.#rpc.call(PROC.DOMAIN_CREATE_WITH_FLAGS, args, MEMORY_CALL_TIMEOUT_MS);
  }

  /** Stops the domain's processors. */
  async suspend(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_SUSPEND, domainArgs(domain).bytes());
  }

  async resume(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_RESUME, domainArgs(domain).bytes());
  }

  /** Writes the domain's memory to a file that libvirt keeps, and ends it. */
  async managedSave(domain: Domain): Promise<void> {
    const args = domainArgs(domain).uint(SAVE_RUNNING).bytes();
    await this.#rpc.call(PROC.DOMAIN_MANAGED_SAVE, args, MEMORY_CALL_TIMEOUT_MS);
  }

  async hasManagedSave(domain: Domain): Promise<boolean> {
    const args = domainArgs(domain).uint(0).bytes();
    return (await this.#rpc.call(PROC.DOMAIN_HAS_MANAGED_SAVE_IMAGE, args)).int() === 1;
  }

  /** Fails when there is none. */
  async removeManagedSave(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_MANAGED_SAVE_REMOVE, domainArgs(domain).uint(0).bytes());
  }

  async injectNmi(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_INJECT_NMI, domainArgs(domain).uint(0).bytes());
  }

  /** How long libvirt waits for the guest's agent in any call from now on, seconds; without it, for ever. */
  async setAgentTimeout(domain: Domain, seconds: number): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_AGENT_SET_RESPONSE_TIMEOUT, domainArgs(domain).int(seconds).uint(0).bytes());
  }

  /** What one of ADDRESS_SOURCE knows of the domain's interfaces. */
  async interfaceAddresses(domain: Domain, source: number): Promise<InterfaceAddresses[]> {
    const args = domainArgs(domain).uint(source).uint(0).bytes();
    return (await this.#rpc.call(PROC.DOMAIN_INTERFACE_ADDRESSES, args)).array(INTERFACES_MAX, readInterface);
  }

  /** By the guest's own agent: all its file systems hold still until `thaw`. */
  async freeze(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_FSFREEZE, domainArgs(domain).uint(0).uint(0).bytes());
  }

  async thaw(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_FSTHAW, domainArgs(domain).uint(0).uint(0).bytes());
  }

  /** By the guest's own agent. */
  async setUserPassword(domain: Domain, user: string, password: string): Promise<void> {
    const args = domainArgs(domain)
      .optional(user, (w, v) => w.string(v))
      .optional(password, (w, v) => w.string(v))
      .uint(0);
    await this.#rpc.call(PROC.DOMAIN_SET_USER_PASSWORD, args.bytes());
  }

  /** Presses the power button. The guest may ignore it. */
  async shutdown(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_SHUTDOWN, domainArgs(domain).bytes());
  }

  /** Pulls the plug. */
  async destroy(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_DESTROY_FLAGS, domainArgs(domain).uint(0).bytes());
  }

  /** `files` false leaves the file of its UEFI's variables. A hypervisor that has nothing of this knows no such flag. */
  async undefine(domain: Domain, { files } = { files: true }): Promise<void> {
    const undefine = (flags: number) =>
      this.#rpc.call(PROC.DOMAIN_UNDEFINE_FLAGS, domainArgs(domain).uint(flags).bytes());
    await undefine(files ? UNDEFINE_ALL : UNDEFINE_BUT_FILES).catch((error: unknown) => {
      if (!isLibvirtError(error, VIR_ERR.INVALID_ARG)) throw error;
      return undefine(0);
    });
  }

  /** Begins to copy disks as they are now, as the XML says (https://libvirt.org/formatbackup.html). */
  async backupBegin(domain: Domain, xml: string): Promise<void> {
    const args = domainArgs(domain)
      .string(xml)
      .optional<string>(null, () => {}) // no checkpoint
      .uint(0);
    await this.#rpc.call(PROC.DOMAIN_BACKUP_BEGIN, args.bytes());
  }

  /** The backup under way; NO_DOMAIN_BACKUP when there is none. */
  async backupXml(domain: Domain): Promise<string> {
    return (await this.#rpc.call(PROC.DOMAIN_BACKUP_GET_XML_DESC, domainArgs(domain).uint(0).bytes())).string();
  }

  /** The virDomainJobType of the domain's job now, or of the one that ended last. */
  async job(domain: Domain, which: "now" | "last"): Promise<number> {
    const args = domainArgs(domain).uint(which === "last" ? JOB_STATS_COMPLETED : 0);
    return (await this.#rpc.call(PROC.DOMAIN_GET_JOB_STATS, args.bytes())).int();
  }

  async abortJob(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_ABORT_JOB, domainArgs(domain).bytes());
  }
}
