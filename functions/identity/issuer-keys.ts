/** The outside issuer's public keys, kept between requests. */
import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWSHeaderParameters } from "jose";
import { z } from "zod";

/** Keys are asked for again after this: a key that the issuer withdrew is trusted no longer than that. */
const MAX_AGE_MS = 10 * 60_000;
/** A key that is unknown may be new; strangers who invent names of keys cost one request in this time. */
const COOLDOWN_MS = 30_000;
const TIMEOUT_MS = 5000;
const MAX_CHARACTERS = 262_144;

const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })).max(100) });

type Keys = ReturnType<typeof createLocalJWKSet>;
type Load = () => Promise<z.infer<typeof keySet>>;

/** The issuer's keys could not be had: not the caller's fault. */
export class IssuerUnreachable extends Error {
  override name = "IssuerUnreachable";
}

export class IssuerKeys {
  readonly #load: Load;
  readonly #clock: () => number;
  #keys: Keys | null = null;
  #at = Number.NEGATIVE_INFINITY;

  constructor(load: Load, clock: () => number = Date.now) {
    this.#load = load;
    this.#clock = clock;
  }

  /** The key for a JWT, as jose asks for it. */
  async find(header: JWSHeaderParameters, token: FlattenedJWSInput) {
    const known = this.#keys === null || this.#age() > MAX_AGE_MS ? await this.#fresh() : this.#keys;
    try {
      return await known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#age() <= COOLDOWN_MS) throw error;
      return (await this.#fresh())(header, token);
    }
  }

  #age(): number {
    return this.#clock() - this.#at;
  }

  async #fresh(): Promise<Keys> {
    const at = this.#clock();
    const keys = createLocalJWKSet(await this.#load());
    this.#keys = keys;
    this.#at = at;
    return keys;
  }
}

const known = new Map<string, IssuerKeys>();

/** This isolate's copy of the keys at `url`. */
export function issuerKeys(url: string): IssuerKeys {
  const found = known.get(url);
  if (found) return found;
  const keys = new IssuerKeys(() => load(url));
  known.set(url, keys);
  return keys;
}

async function load(url: string): Promise<z.infer<typeof keySet>> {
  try {
    const response = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    const text = await response.text();
    if (text.length > MAX_CHARACTERS) throw new Error("its answer is too long");
    return keySet.parse(JSON.parse(text));
  } catch (error) {
    throw new IssuerUnreachable("The issuer's keys could not be fetched", { cause: error });
  }
}
