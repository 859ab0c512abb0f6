/** The parts of a host's inventory: its processors, what its own configuration says of its resources, its metrics. */
import { z } from "zod";

const short = z.string().min(1).max(64);
const number = z.int().min(0).max(1_000_000);

export const MAX_CPU_FEATURES = 1024;
/** nova: the libvirt driver's cpu_info. `topology`: of each NUMA cell its sockets, of each its cores, of each its threads. */
export const cpuInfo = z.object({
  vendor: z.string().max(64),
  model: z.string().max(64),
  arch: short,
  features: z.array(short).max(MAX_CPU_FEATURES),
  topology: z.object({ cells: number, sockets: number, cores: number, threads: number }),
});
export type CpuInfo = z.infer<typeof cpuInfo>;

const ratio = z.number().gt(0).max(1000);
/** As much as Nova's columns hold. */
export const amount = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
/** nova.conf of a compute host, as far as it says anything of these (nova/conf/compute.py). */
export const resourceOptions = z.object({
  /** vcpus that may be claimed for each that the host has. */
  cpu_allocation_ratio: ratio.optional(),
  ram_allocation_ratio: ratio.optional(),
  disk_allocation_ratio: ratio.optional(),
  /** The ratios of a host that never had any. */
  initial_cpu_allocation_ratio: ratio.optional(),
  initial_ram_allocation_ratio: ratio.optional(),
  initial_disk_allocation_ratio: ratio.optional(),
  /** vcpus that no guest gets. */
  reserved_host_cpus: amount.optional(),
  /** MiB. */
  reserved_host_memory_mb: amount.optional(),
  /** MiB. */
  reserved_host_disk_mb: amount.optional(),
});
export type ResourceOptions = z.infer<typeof resourceOptions>;

export const MAX_METRICS = 64;
/** Nanoseconds of a thousand processors in a thousand years are less; and sums of such numbers are still numbers. */
const MAX_METRIC = 1e24;
export const metricName = z.string().regex(/^[\w.:-]{1,64}$/);
export const metricValue = z.number().min(-MAX_METRIC).max(MAX_METRIC);
/** What a host's monitors measured, by name (nova: MonitorMetric). */
export const metrics = z
  .record(metricName, metricValue)
  .refine((all) => Object.keys(all).length <= MAX_METRICS, "They are too many.");
export type Metrics = z.infer<typeof metrics>;
