/**
 * What measures something of this host for the scheduler (nova/compute/monitors/base.py). One file a monitor: those in
 * this folder, and an operator's own in `compute_monitors_path`. `compute_monitors` says which of them run.
 */
import type { Metrics } from "../../functions/protocol/resources.ts";

export type Monitor = {
  /** `type.name`, as compute_monitors has it. */
  name: string;
  /**
   * What it measures now, by the names that METRICS_WEIGHT_SETTING uses. Asked once an update_resources_interval and
   * once a link, never twice at a time. What it throws, or gives that is no number, is logged and left out.
   */
  measure(): Metrics | Promise<Metrics>;
};
