/**
 * The agent's options: one TOML file, keys as in nova.conf (nova/conf/compute.py, libvirt.py), each with its unit,
 * bounds and default. What a command line says besides wins over the file.
 */
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { resourceOptions } from "../functions/protocol/resources.ts";
import { Failure } from "./failure.ts";
import { readIfThere } from "./state-dir.ts";

const MAX_FILE_CHARS = 256 * 1024;
const MAX_INTERVAL_S = 31_536_000;
const MAX_INT = 2 ** 31 - 1;
/** What Nova's periodic tasks with an interval of 0 do (nova: periodic_task.DEFAULT_INTERVAL), seconds. */
const DEFAULT_INTERVAL_S = 60;

/** Seconds between runs of a periodic task: 0 is Nova's default tick, below 0 is never. */
const interval = (otherwise: number) =>
  z
    .number()
    .min(-1)
    .max(MAX_INTERVAL_S)
    .default(otherwise)
    .transform((seconds) => (seconds === 0 ? DEFAULT_INTERVAL_S : seconds));

export const CPU_MODES = ["none", "host-model", "host-passthrough", "custom", "maximum"] as const;
export const VIRT_TYPES = ["auto", "kvm", "qemu"] as const;

/** A flag of a CPU, or a model; as libvirt names them. */
const cpuName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const cpuFlag = /^[+-]?[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** An architecture and its machine, as in `x86_64=q35`. */
const machineType = /^\w{1,16}=[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Linux's limit on an interface's name is 15. */
const networkWord = /^(?:none|user|network:(?<network>[A-Za-z0-9_.-]{1,64})|bridge:(?<bridge>[A-Za-z0-9_.-]{1,15}))$/;

/** Where a host's guests have their one interface. */
export type Network = { kind: "none" | "user" } | { kind: "network" | "bridge"; name: string };

function readNetwork(text: string): Network {
  const { network, bridge } = networkWord.exec(text)?.groups ?? {};
  if (network !== undefined) return { kind: "network", name: network };
  if (bridge !== undefined) return { kind: "bridge", name: bridge };
  return { kind: text === "user" ? "user" : "none" };
}

const libvirt = z
  .strictObject({
    connection_uri: z.string().min(1).max(1024).default("qemu:///system"),
    /** The domain type; `auto` is kvm where the host can, else qemu. */
    virt_type: z.enum(VIRT_TYPES).default("auto"),
    /** How long a guest may take to shut down in a soft reboot, seconds. */
    wait_soft_reboot_seconds: z.number().min(0).max(3600).default(120),
    /**
     * Each guest's one interface: `none`; `user`, by which it reaches out and none reaches it; one of libvirt's networks
     * (`network:default`), or a bridge of the host (`bridge:br0`). Nova's Neutron would say.
     */
    network: z
      .string()
      .regex(networkWord, "It must be none, user, network:NAME or bridge:NAME.")
      .default("none")
      .transform(readNetwork),
    /** The machine of guests whose image names none, by architecture; of those that are not here it is q35. */
    hw_machine_type: z.array(z.string().regex(machineType, "It must be like x86_64=q35.")).max(16).default([]),
    /** Absent: host-model under KVM, maximum under TCG. */
    cpu_mode: z.enum(CPU_MODES).optional(),
    /** With cpu_mode custom: its first is what guests get. */
    cpu_models: z.array(z.string().regex(cpuName)).max(64).default([]),
    /** What guests' CPUs have besides, or, after a minus, have not. */
    cpu_model_extra_flags: z.array(z.string().regex(cpuFlag)).max(256).default([]),
  })
  .refine(({ cpu_mode, cpu_models }) => (cpu_mode === "custom") === cpu_models.length > 0, {
    path: ["cpu_models"],
    message: "It goes with cpu_mode custom, and that with it.",
  });

/** nova/conf/imagecache.py. There are no resized bases, so what Nova says of them is not here. */
const imageCache = z.strictObject({
  /** Between two looks for images to remove. */
  manager_interval: interval(2400),
  remove_unused_base_images: z.boolean().default(true),
  /** How long nothing may have used an image before it is removed, seconds. */
  remove_unused_original_minimum_age_seconds: z.number().min(0).max(MAX_INTERVAL_S).default(86_400),
  /** Images that are fetched ahead at a time; builds never wait for those. In Nova: hosts that fetch at a time. */
  precache_concurrency: z.int().min(1).max(1000).default(1),
});

/** The fake hypervisor's size: MiB, GiB. */
const fake = z.strictObject({
  vcpus: z.int().min(1).max(1_000_000).default(16),
  memory_mb: z.int().min(1).max(MAX_INT).default(32_768),
  local_gb: z.int().min(1).max(MAX_INT).default(500),
});

/** What becomes of guests whose servers are deleted (nova: compute/manager.py, _cleanup_running_deleted_instances). */
const RUNNING_DELETED_ACTIONS = ["noop", "log", "shutdown", "reap"] as const;

const workarounds = z.strictObject({
  /** Whether what happens to a guest by itself is told at once; else sync_power_state_interval is when it is seen. */
  handle_virt_lifecycle_events: z.boolean().default(true),
});

/** How the agent proves itself to VNC servers that ask, for guests whose driver knows nothing of it. */
const vnc = z.strictObject({
  /** VeNCrypt's Plain types; empty: none. */
  username: z.string().max(255).default(""),
  /** VNC authentication, and Plain; empty: none. */
  password: z.string().max(255).default(""),
  /** PEM files, as in Nova; without the first the server's certificate is not looked at. */
  vencrypt_ca_certs: z.string().max(4096).default(""),
  vencrypt_client_cert: z.string().max(4096).default(""),
  vencrypt_client_key: z.string().max(4096).default(""),
  /** Seconds of silence after which a viewer is sent an update of nothing: proxies end what is silent; 0 is never. */
  heartbeat: z.number().min(0).max(3600).default(25),
  /** Consoles that are open on this host at a time; more are refused. */
  max_sessions: z.int().min(1).max(100_000).default(1000),
});

const schema = z.strictObject({
  /** Guests that are built at a time; 0: any number. */
  max_concurrent_builds: z.int().min(0).max(1000).default(10),
  /** Snapshots that are taken or uploaded at a time; 0: any number. */
  max_concurrent_snapshots: z.int().min(0).max(1000).default(5),
  sync_power_state_interval: interval(600),
  /** Between looks at what addresses guests have. */
  heal_instance_info_cache_interval: interval(60),
  update_resources_interval: interval(0),
  vnc: vnc.prefault({}),
  /**
   * Where guests' files are; empty: in the agent's own folder. Hosts that have the same one mounted (NFS, CephFS) share
   * their storage. It is set before the first guest is made.
   */
  instances_path: z
    .string()
    .max(4096)
    .regex(/^(\/.*)?$/, "It must be a path from the root.")
    .default(""),
  /**
   * This host's address, at which other hosts reach it, to bring guests here without the edge; empty: all comes through the
   * edge. Nova's is in [libvirt].
   */
  migration_inbound_addr: z
    .string()
    .max(255)
    .refine((address) => address !== "0.0.0.0" && address !== "::", "It must be one that others can dial.")
    .default(""),
  /** 0: any that is free. */
  migration_inbound_port: z.int().min(0).max(65_535).default(16_515),
  /** How fast guests may leave this host, their disks and memory together, MiB/s; 0: no limit. */
  migration_bandwidth: z.int().min(0).max(MAX_INT).default(0),
  /** What measures this host for the scheduler, by name: `cpu.virt_driver`, and those of compute_monitors_path. */
  compute_monitors: z.array(z.string().min(1).max(64)).max(64).default([]),
  /** A folder of monitors of one's own, one file each; empty: none. */
  compute_monitors_path: z.string().max(4096).default(""),
  // What is not said here is as the edge's [vars] have it.
  ...resourceOptions.shape,
  running_deleted_instance_action: z.enum(RUNNING_DELETED_ACTIONS).default("reap"),
  /** How long its server must have been deleted, seconds. */
  running_deleted_instance_timeout: z.number().min(0).max(MAX_INTERVAL_S).default(0),
  /** Below 0 such guests are left alone. */
  running_deleted_instance_poll_interval: interval(1800),
  /** Between looks for files that deleted guests left, seconds. */
  instance_delete_interval: interval(300),
  maximum_instance_delete_attempts: z.int().min(1).max(1000).default(5),
  /** Whether guests that ran are started after the host was; else their servers become stopped. */
  resume_guests_state_on_host_boot: z.boolean().default(false),
  workarounds: workarounds.prefault({}),
  image_cache: imageCache.prefault({}),
  libvirt: libvirt.prefault({}),
  fake: fake.prefault({}),
});
export type AgentConfig = z.infer<typeof schema>;

const FILE = "agent.toml";

/** The options of `file`; without one those of `<state>/agent.toml`, if it is there. Throws `Failure`. */
export function loadConfig(stateDir: string, file?: string): AgentConfig {
  const path = file ?? join(stateDir, FILE);
  const text = readIfThere(path);
  // Only a file that was named must be there.
  if (text === null && file !== undefined) throw new Failure(`cannot read ${path}: ENOENT`);
  return parseConfig(text ?? "", path);
}

/** The options that `text` gives. Throws `Failure` with what is wrong, and where in `path`; it quotes no value. */
export function parseConfig(text: string, path = FILE): AgentConfig {
  if (text.length > MAX_FILE_CHARS) throw new Failure(`${path} is longer than ${MAX_FILE_CHARS} characters`);
  const parsed = schema.safeParse(toml(text, path));
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map((issue) => [...issue.path, issue.message].join(": ")).join("; ");
  throw new Failure(`${path}: ${wrong}`);
}

function toml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0];
    throw new Failure(`${path}, line ${error.line}: ${reason}`, { cause: error });
  }
}
