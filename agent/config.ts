/**
 * The agent's options: one TOML file, keys as in nova.conf (nova/conf/compute.py, libvirt.py), each with its unit,
 * bounds and default. What a command line says besides wins over the file.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { z } from "zod";
import { Failure, networkReason } from "./failure.ts";

const MAX_FILE_CHARS = 256 * 1024;
const MAX_INTERVAL_S = 31_536_000;
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

export const VIRT_TYPES = ["auto", "kvm", "qemu"] as const;

const libvirt = z.strictObject({
  connection_uri: z.string().min(1).max(1024).default("qemu:///system"),
  /** The domain type; `auto` is kvm where the host can, else qemu. */
  virt_type: z.enum(VIRT_TYPES).default("auto"),
  /** How long a guest may take to shut down in a soft reboot, seconds. */
  wait_soft_reboot_seconds: z.number().min(0).max(3600).default(120),
});

/** The fake hypervisor's size: MiB, GiB. */
const fake = z.strictObject({
  vcpus: z.int().min(1).max(1_000_000).default(16),
  memory_mb: z.int().min(1).default(32_768),
  local_gb: z.int().min(1).default(500),
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
});

const schema = z.strictObject({
  /** Guests that are built at a time. */
  max_concurrent_builds: z.int().min(1).max(1000).default(10),
  sync_power_state_interval: interval(600),
  update_resources_interval: interval(0),
  vnc: vnc.prefault({}),
  libvirt: libvirt.prefault({}),
  fake: fake.prefault({}),
});
export type AgentConfig = z.infer<typeof schema>;

const FILE = "agent.toml";

/** The options of `file`; without one those of `<state>/agent.toml`, if it is there. Throws `Failure`. */
export function loadConfig(stateDir: string, file?: string): AgentConfig {
  const path = file ?? join(stateDir, FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (file === undefined && networkReason(error) === "ENOENT") return parseConfig("", path);
    throw new Failure(`cannot read ${path}: ${networkReason(error)}`, { cause: error });
  }
  return parseConfig(text, path);
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
