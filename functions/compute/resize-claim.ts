/** Whether a server that is on a host may have another size there, beside the one that it has. Pure. */
import type { ClaimRequest } from "./claims.ts";
import type { Allocation, Resize } from "./host-store.ts";

/** "held": it has it already. Null: it may, if there is room. Else why not. */
export function resizeAsked(
  held: Allocation | null,
  begun: Resize | null,
  { generation }: Pick<ClaimRequest, "generation">,
): "held" | "dismissed" | "leaving" | null {
  if (held === null) return "dismissed";
  if (begun === null || (begun.ended && begun.generation < generation)) return null;
  if (begun.generation < generation) return "leaving";
  return begun.generation === generation && !begun.ended ? "held" : "dismissed";
}
