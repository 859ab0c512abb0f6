/** Builds that have begun, or wait for their turn: what ends their guest cuts them short. */
export class Builds {
  readonly #cuts = new Map<string, Set<AbortController>>();

  /** Does `work` with the signal that ends it. */
  async during<T>(uuid: string, work: (cut: AbortSignal) => Promise<T>): Promise<T> {
    const build = new AbortController();
    const builds = this.#cuts.get(uuid) ?? new Set();
    this.#cuts.set(uuid, builds.add(build));
    try {
      return await work(build.signal);
    } finally {
      builds.delete(build);
      if (builds.size === 0) this.#cuts.delete(uuid);
    }
  }

  cut(uuid: string, reason: Error): void {
    for (const build of this.#cuts.get(uuid) ?? []) build.abort(reason);
  }
}
