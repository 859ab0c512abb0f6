/**
 * Tells listeners of power states that nobody asked for.
 *
 * An event of libvirt is only a hint to look: the state is read after the driver's own work on the guest has ended,
 * and told when it differs from the last one known. So the STOPPED in the middle of our reboot is never a false
 * SHUTDOWN (Nova instead holds every STOPPED back for 15 s), and a restart of libvirtd heals by the same comparison.
 */
import { POWER_STATE, type PowerState } from "../../../functions/protocol/guest.ts";
import type { LifecycleListener } from "../driver.ts";

type InTurn = (uuid: string, work: () => Promise<void>) => Promise<void>;
type ReadState = (uuid: string) => Promise<PowerState | null>;

export class PowerWatch {
  readonly #known = new Map<string, PowerState>();
  readonly #listeners = new Set<LifecycleListener>();
  readonly #due = new Set<string>();
  readonly #inTurn: InTurn;
  readonly #read: ReadState;
  readonly #coming: (uuid: string) => boolean;

  /**
   * `read` gives a guest's state, null when it is gone; `inTurn` runs work when no other has the guest. Nothing is told
   * of a guest that is `coming` from another host: it is that host's until it has come.
   */
  constructor(inTurn: InTurn, read: ReadState, coming: (uuid: string) => boolean = () => false) {
    this.#inTurn = inTurn;
    this.#read = read;
    this.#coming = coming;
  }

  get guests(): string[] {
    return [...this.#known.keys()];
  }

  listen(listener: LifecycleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Something may have changed. Hints that come before the look are one. */
  hint(uuid: string): void {
    if (this.#due.has(uuid)) return;
    this.#due.add(uuid);
    // A look that fails has lost libvirt; the hints that follow the reconnection cover it.
    this.#inTurn(uuid, () => this.look(uuid, "news")).catch(() => {});
  }

  /** Reads a guest's state and takes note of it. To be called in the guest's turn. */
  async look(uuid: string, why: "asked" | "news"): Promise<void> {
    // Before the read: a hint that comes while it is under way may be about something newer.
    this.#due.delete(uuid);
    this.see(uuid, await this.#read(uuid), why);
  }

  /** Takes note of a state; tells the listeners when it is news to them, and not what the driver itself was asked for. */
  see(uuid: string, state: PowerState | null, why: "asked" | "news"): void {
    if (this.#coming(uuid)) return;
    const before = this.#known.get(uuid) ?? null;
    if (state === null) this.#known.delete(uuid);
    else this.#known.set(uuid, state);
    if (why === "asked" || before === state) return;
    for (const listener of this.#listeners) listener({ uuid, power_state: state ?? POWER_STATE.NOSTATE });
  }
}
