/** The moves of this host's guests: each has one link, which lasts until the move is over here. */
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import type { MovePeer, MoveSide } from "../../functions/protocol/move.ts";
import {
  type ArrivalOrder,
  type DepartureOrder,
  type Driver,
  DriverError,
  type LiveProgress,
  type Moving,
  movingOf,
} from "../drivers/driver.ts";
import type { Identity } from "../identity.ts";
import type { Log } from "../log.ts";
import { reportOf } from "../progress.ts";
import type { Bandwidth } from "./bandwidth.ts";
import { copyDisks } from "./copy-disks.ts";
import type { DirectListener } from "./direct.ts";
import { Link } from "./link.ts";
import type { Moves } from "./moves.ts";
import { receiveDisks, refuseDisks } from "./receive-disks.ts";
import { sendDisks } from "./send-disks.ts";

/**
 * How long an end that has all it wants, or cannot take it, stays to say so, unless it hears that both have: the other may
 * have been killed before it could keep that, and then asks again.
 */
const LINGER_MS = 60_000;

export type HostMovesOptions = {
  driver: Pick<Driver, "moving">;
  identity: Pick<Identity, "edge" | "signer">;
  listener: DirectListener | null;
  bandwidth: Bandwidth;
  log: Log;
  /** The guest's screen is not to be looked at here any more. */
  onScreenGone?(server: string): void;
  /** How long the other host may be away. */
  nobodyMs?: number;
};

const notAside = () => new DriverError("InstanceInvalidState", "the guest's disks are not aside for this migration");

export class HostMoves implements Moves {
  readonly #options: HostMovesOptions;
  readonly #links = new Map<string, Link>();

  constructor(options: HostMovesOptions) {
    this.#options = options;
  }

  async sendDisks(server: string, peer: MovePeer, signal: AbortSignal): Promise<{ bytes: number }> {
    const disks = await this.#moving.disksOf(server, peer.migration);
    if (disks === null) throw notAside();
    const link = this.#link(server, "source", peer);
    const { log } = this.#options;
    const send = (signal: AbortSignal) => sendDisks(disks, { link, log, signal });
    const sent = await this.#orForgotten(server, link, () => send(signal));
    this.#linger(server, link, async (signal) => {
      for (; !signal.aborted; await send(signal)) await link.whenDown(signal);
    });
    return sent;
  }

  async receiveDisks(server: string, peer: MovePeer, spec: GuestSpec, signal: AbortSignal): Promise<{ bytes: number }> {
    const moving = this.#moving;
    const { identity, log } = this.#options;
    const here = await moving.disksOf(server, peer.migration);
    if (here !== null) {
      await copyDisks(here, await moving.prepareDisks(server, spec, signal), signal);
      return { bytes: 0 };
    }
    if (peer.public_key === identity.signer.publicKey) throw notAside();
    // First, so that the source finds this host while its image is fetched.
    const link = this.#link(server, "destination", peer);
    try {
      const pathOf = await moving.prepareDisks(server, spec, signal);
      return await receiveDisks({ link, pathOf, log, signal });
    } catch (error) {
      // The source may come later, or not have heard of it: its guest is off as long as it waits for this host.
      refuseDisks(link, error);
      throw error;
    } finally {
      if (signal.aborted) this.#close(server, link);
      else this.#linger(server, link, async () => undefined);
    }
  }

  async preLiveMigration(server: string, order: ArrivalOrder & { peer: MovePeer }, signal: AbortSignal): Promise<void> {
    const moving = this.#moving;
    const link = this.#link(server, "destination", order.peer);
    await this.#orForgotten(server, link, () => moving.preLiveMigration(server, order, link, signal));
  }

  async liveMigration(
    server: string,
    order: Omit<DepartureOrder, "to"> & { peer: MovePeer },
    signal: AbortSignal,
  ): Promise<{ aborted: boolean }> {
    const moving = this.#moving;
    const link = this.#link(server, "source", order.peer);
    const report = reportOf();
    const progress = (progress: LiveProgress) => {
      const of = progress.memory_total + progress.disk_total;
      report("memory", {
        bytes: Math.max(0, of - progress.memory_remaining - progress.disk_remaining),
        of,
        ...progress,
      });
    };
    const news = { progress, switched: () => this.#options.onScreenGone?.(server) };
    const abort = () => {
      // Where it has not begun, or is over, the link's end is enough.
      moving.abortLiveMigration(server).catch(() => link.close());
    };
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await moving.liveMigration(server, { ...order, to: order.peer.host }, link, news);
    } finally {
      signal.removeEventListener("abort", abort);
      this.#close(server, link);
    }
  }

  forget(server: string): void {
    this.#links.get(server)?.close();
    this.#links.delete(server);
  }

  /** Leaves every guest as it is, and disks as far as they have come. */
  stop(): void {
    for (const server of this.#links.keys()) this.forget(server);
    this.#options.listener?.stop();
  }

  get #moving(): Moving {
    return movingOf(this.#options.driver);
  }

  /** A new link for this server's move; what there was of an earlier one ends. */
  #link(server: string, side: MoveSide, peer: MovePeer): Link {
    this.forget(server);
    const { identity, listener, bandwidth, log, nobodyMs } = this.#options;
    const end = { side, peer, signer: identity.signer, edge: identity.edge, listener };
    const link = new Link({ ...end, bandwidth, log, ...(nobodyMs === undefined ? {} : { nobodyMs }) });
    this.#links.set(server, link);
    return link;
  }

  async #orForgotten<T>(server: string, link: Link, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#close(server, link);
      throw error;
    }
  }

  /** Keeps the link for a while, or until it is forgotten, and answers the other end meanwhile. */
  #linger(server: string, link: Link, answer: (signal: AbortSignal) => Promise<void>): void {
    const over = new AbortController();
    const timer = setTimeout(() => this.#close(server, link), LINGER_MS).unref();
    void link.closed.then(() => {
      clearTimeout(timer);
      over.abort();
    });
    answer(over.signal).catch(() => this.#close(server, link));
  }

  #close(server: string, link: Link): void {
    link.close();
    if (this.#links.get(server) === link) this.#links.delete(server);
  }
}
