/** What the two ends of a move are told of each other. */
import { z } from "zod";
import type { Failure } from "../conductor/saga.ts";
import type { MovePeer, MoveSide } from "../protocol/move.ts";
import { err, ok, type Result } from "../result.ts";
import { signMoveTicket } from "./ticket.ts";

/** `migration`: the move's uuid; the others are hosts. */
export type MoveEnds = { migration: string; source: string; destination: string };
/** What each end is told. */
export type MovePeers = Record<MoveSide, MovePeer>;

/** The longest that one move may take: the largest disks over the slowest lines. */
export const MOVE_LIFE_SECONDS = 7 * 24 * 3600;

const publicKey = z.object({ x: z.base64url().length(43) });

export async function movePeers(env: Env, ends: MoveEnds): Promise<Result<MovePeers, Failure>> {
  const { migration, source, destination } = ends;
  const there = await env.HOST.getByName(destination).state();
  const inbound = there?.inventory.migration_inbound ?? null;
  const told = async (side: MoveSide, host: string): Promise<MovePeer | null> => {
    const key = await env.HOST.getByName(host).agentKey();
    if (key === null) return null;
    const ticket = await signMoveTicket(env, { migration, side }, MOVE_LIFE_SECONDS);
    return { migration, host, public_key: publicKey.parse(JSON.parse(key)).x, ticket, inbound };
  };
  const [toSource, toDestination] = await Promise.all([told("source", destination), told("destination", source)]);
  if (toSource !== null && toDestination !== null) return ok({ source: toSource, destination: toDestination });
  const unknown = toSource === null ? destination : source;
  return err({ code: 500, message: "A host of the move is not enrolled.", details: `It is ${unknown}.` });
}
