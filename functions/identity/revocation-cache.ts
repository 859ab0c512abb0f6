/**
 * The revocations as an isolate knows them, so that a token is checked without a hop: the copy is refreshed behind
 * an answer when it is over FRESH_MS old, and before one only when it is over STALE_MS old. So a token that was
 * taken back is refused after STALE_MS at the latest, everywhere.
 */
import { issuedMs, type Revocation, subjectsOf } from "./revocations.ts";
import type { TokenClaims } from "./token.ts";

export const FRESH_MS = 1500;
export const STALE_MS = 5000;

type Source = (since: number) => Promise<Revocation[]>;
type Clock = () => number;

export class RevocationCache {
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Revocation>();
  #seq = 0;
  /** When the copy was asked for, milliseconds; nothing revoked before then is missing. */
  #at = Number.NEGATIVE_INFINITY;
  /** When a refresh behind an answer began; one is enough, and one that was cut off is tried again. */
  #refreshing = Number.NEGATIVE_INFINITY;

  constructor(source: Source, clock: Clock = Date.now) {
    this.#source = source;
    this.#clock = clock;
  }

  /** Whether the token was taken back. `behind` keeps a promise going after the answer (waitUntil). */
  async revoked(said: TokenClaims, behind: (work: Promise<unknown>) => void): Promise<boolean> {
    const age = this.#clock() - this.#at;
    if (age > STALE_MS) await this.#refresh();
    else if (age > FRESH_MS && this.#clock() - this.#refreshing > FRESH_MS) {
      this.#refreshing = this.#clock();
      // A failure shows when the copy is stale: then the request that needs it fails.
      behind(this.#refresh().catch(() => undefined));
    }
    const issued = issuedMs(said);
    return subjectsOf(said).some((subject) => (this.#entries.get(subject)?.before ?? -1) >= issued);
  }

  /** Something was taken back through this isolate: its next request must know. */
  expire(): void {
    this.#at = Number.NEGATIVE_INFINITY;
  }

  /** Requests never wait for each other's: a promise belongs to the request that made it. */
  async #refresh(): Promise<void> {
    const asked = this.#clock();
    for (const entry of await this.#source(this.#seq)) {
      this.#entries.set(entry.subject, entry);
      this.#seq = Math.max(this.#seq, entry.seq);
    }
    this.#at = Math.max(this.#at, asked);
    for (const [subject, { until }] of this.#entries) if (until <= asked) this.#entries.delete(subject);
  }
}

const caches = new WeakMap<object, RevocationCache>();

/** This isolate's copy. */
export function revocationsOf(env: Env): RevocationCache {
  const known = caches.get(env);
  if (known) return known;
  const cache = new RevocationCache((since) => env.IDENTITY.getByName("default").revocations(since));
  caches.set(env, cache);
  return cache;
}
