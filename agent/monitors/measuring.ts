/** Runs the monitors, and trusts none of them: what one does wrong is its own loss. */
import { MAX_METRICS, type Metrics, metricName, metricValue } from "../../functions/protocol/resources.ts";
import { describe } from "../failure.ts";
import type { Log } from "../log.ts";
import type { Monitor } from "./monitor.ts";

/** The hello of a link waits no longer for a monitor. */
const MEASURE_TIMEOUT_MS = 5000;
const MAX_LOGGED = 5;

export class Measuring {
  readonly #monitors: readonly Monitor[];
  readonly #log: Log;
  readonly #timeoutMs: number;
  readonly #running = new Map<Monitor, Promise<unknown>>();
  /** Of those that run, who were waited for long enough. */
  readonly #late = new Set<Monitor>();

  constructor(monitors: readonly Monitor[], log: Log, timeoutMs = MEASURE_TIMEOUT_MS) {
    this.#monitors = monitors;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
  }

  /** What all of them measure now: MAX_METRICS at the most; null when there is no monitor. Never rejects. */
  async measure(): Promise<Metrics | null> {
    if (this.#monitors.length === 0) return null;
    const all = await Promise.all(this.#monitors.map((monitor) => this.#ask(monitor)));
    const found = all.flat();
    if (found.length > MAX_METRICS) this.#log("metrics.cut", { metrics: found.length, kept: MAX_METRICS });
    return Object.fromEntries(found.slice(0, MAX_METRICS));
  }

  async #ask(monitor: Monitor): Promise<[string, number][]> {
    let timer: NodeJS.Timeout | undefined;
    try {
      if (this.#late.has(monitor)) throw new Error("it has not answered yet");
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          this.#late.add(monitor);
          reject(new Error("it did not answer in time"));
        }, this.#timeoutMs);
      });
      return this.#numbers(monitor, await Promise.race([this.#run(monitor), late]));
    } catch (error) {
      this.#log("monitor.failed", { monitor: monitor.name, message: describe(error) });
      return [];
    } finally {
      clearTimeout(timer);
    }
  }

  /** The measurement that is under way, if one is, else a new one. */
  #run(monitor: Monitor): Promise<unknown> {
    const running = this.#running.get(monitor);
    if (running) return running;
    const measure = async () => monitor.measure();
    const run = measure().finally(() => {
      this.#running.delete(monitor);
      this.#late.delete(monitor);
    });
    this.#running.set(monitor, run);
    return run;
  }

  #numbers(monitor: Monitor, given: unknown): [string, number][] {
    if (typeof given !== "object" || given === null) throw new Error("it gave no object");
    const all: [string, unknown][] = Object.entries(given);
    const entries = all.slice(0, MAX_METRICS);
    if (all.length > MAX_METRICS) this.#log("monitor.cut", { monitor: monitor.name, metrics: all.length });
    const isMetric = (entry: [string, unknown]): entry is [string, number] =>
      metricName.safeParse(entry[0]).success && metricValue.safeParse(entry[1]).success;
    const bad = entries.filter((entry) => !isMetric(entry)).map(([name]) => name.slice(0, 64));
    if (bad.length > 0) {
      this.#log("monitor.rubbish", { monitor: monitor.name, count: bad.length, metrics: bad.slice(0, MAX_LOGGED) });
    }
    return entries.filter(isMetric);
  }
}
