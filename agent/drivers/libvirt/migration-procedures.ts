/** The procedures of libvirt's remote program that are about live migration. Layouts: remote_protocol.x. */
import { type Domain, domainArgs } from "./domain.ts";
import { PROC } from "./procedure-numbers.ts";
import type { RpcConnection } from "./rpc.ts";
import { readNumbers, type TypedParam, writeTypedParams } from "./typed-params.ts";
import { XdrWriter } from "./xdr.ts";

/** virDomainMigrateFlags. */
export const MIGRATE = {
  LIVE: 1 << 0,
  PEER2PEER: 1 << 1,
  PERSIST_DEST: 1 << 3,
  UNDEFINE_SOURCE: 1 << 4,
  /** libvirt's own: the guest is paused at its source. */
  PAUSED: 1 << 5,
  NON_SHARED_DISK: 1 << 6,
  NON_SHARED_INC: 1 << 7,
  UNSAFE: 1 << 9,
  ABORT_ON_ERROR: 1 << 12,
  AUTO_CONVERGE: 1 << 13,
  POSTCOPY: 1 << 15,
} as const;
/** virDomainXMLFlags: INACTIVE, and what another host can be told. */
const XML_INACTIVE = 2;
const XML_MIGRATABLE = 8;
/** remote_protocol.x: REMOTE_DOMAIN_JOB_STATS_MAX. */
const JOB_STATS_MAX = 64;
/** A guest that writes much may take days; whether libvirtd still lives, the keepalive tells. */
const MIGRATION_TIMEOUT_MS = 14 * 86_400_000;
/** virDomainState, and the reasons of its PAUSED that are about post-copy (virDomainPausedReason). */
const PAUSED = 3;
const POST_COPY: Record<number, PostCopy> = { 12: "active", 13: "failed" };
/** virCPUCompareResult. */
const CPU_INCOMPATIBLE = 0;

const nullable = (writer: XdrWriter, text: string | null) => writer.optional(text, (w, v) => w.string(v));

export type MigrationOrder = { dconnuri: string; params: readonly TypedParam[]; flags: number };

/** A virDomainJobType, and the figures of the job (VIR_DOMAIN_JOB_*). */
export type JobStats = { type: number; figures: ReadonlyMap<string, number> };

/** How it is with a guest whose memory is still to follow it. */
export type PostCopy = "active" | "failed";

/** The virtual machine that a guest is to run in. */
export type GuestMachine = { machine: string; virtType: string };

export class MigrationProcedures {
  readonly #rpc: RpcConnection;

  constructor(rpc: RpcConnection) {
    this.#rpc = rpc;
  }

  /** virDomainMigrateToURI3, peer to peer: resolves when the guest runs at the other end. */
  async perform(domain: Domain, { dconnuri, params, flags }: MigrationOrder): Promise<void> {
    const args = nullable(domainArgs(domain), dconnuri);
    writeTypedParams(args, params)
      .uint(0) // no cookie
      .uint(flags);
    await this.#rpc.call(PROC.DOMAIN_MIGRATE_PERFORM3_PARAMS, args.bytes(), MIGRATION_TIMEOUT_MS);
  }

  /** The job that is under way now. */
  async job(domain: Domain): Promise<JobStats> {
    const answer = await this.#rpc.call(PROC.DOMAIN_GET_JOB_STATS, domainArgs(domain).uint(0).bytes());
    return { type: answer.int(), figures: readNumbers(answer, JOB_STATS_MAX) };
  }

  async setMaxDowntime(domain: Domain, ms: number): Promise<void> {
    const args = domainArgs(domain).hyper(ms).uint(0);
    await this.#rpc.call(PROC.DOMAIN_MIGRATE_SET_MAX_DOWNTIME, args.bytes());
  }

  /** The guest goes on at the other end at once, and its memory follows. */
  async startPostCopy(domain: Domain): Promise<void> {
    await this.#rpc.call(PROC.DOMAIN_MIGRATE_START_POST_COPY, domainArgs(domain).uint(0).bytes());
  }

  /** Null: the guest was not switched to another host. */
  async postCopy(domain: Domain): Promise<PostCopy | null> {
    const answer = await this.#rpc.call(PROC.DOMAIN_GET_STATE, domainArgs(domain).uint(0).bytes());
    return answer.int() === PAUSED ? (POST_COPY[answer.int()] ?? null) : null;
  }

  /** The description, as it runs or as it is stored, without what is this host's alone. */
  async xml(domain: Domain, which: "live" | "stored"): Promise<string> {
    const flags = XML_MIGRATABLE | (which === "stored" ? XML_INACTIVE : 0);
    return (await this.#rpc.call(PROC.DOMAIN_GET_XML_DESC, domainArgs(domain).uint(flags).bytes())).string();
  }

  /** Bytes: of the disk as the guest sees it, and those that it takes of the host. `target` as `vda`. */
  async blockInfo(domain: Domain, target: string): Promise<{ capacity: number; allocation: number }> {
    const args = domainArgs(domain).string(target).uint(0);
    const answer = await this.#rpc.call(PROC.DOMAIN_GET_BLOCK_INFO, args.bytes());
    const allocation = answer.hyper();
    return { allocation, capacity: answer.hyper() };
  }

  /** Whether a guest with this CPU can run here. Fails when the description is none. */
  async offersCpu(cpuXml: string, { machine, virtType }: GuestMachine): Promise<boolean> {
    const args = new XdrWriter();
    for (const text of [null, "x86_64", machine, virtType]) nullable(args, text);
    const answer = await this.#rpc.call(PROC.CONNECT_COMPARE_HYPERVISOR_CPU, args.string(cpuXml).uint(0).bytes());
    return answer.int() > CPU_INCOMPATIBLE;
  }

  /** What guests of this machine can have; fails when there is no such machine. */
  async domainCapabilities({ machine, virtType }: GuestMachine): Promise<string> {
    const args = new XdrWriter();
    for (const text of [null, "x86_64", machine, virtType]) nullable(args, text);
    return (await this.#rpc.call(PROC.CONNECT_GET_DOMAIN_CAPABILITIES, args.uint(0).bytes())).string();
  }
}
