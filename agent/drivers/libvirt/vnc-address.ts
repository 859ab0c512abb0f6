/** Where a live domain shows its screen. Pure. */
import type { VncAddress } from "../../../functions/protocol/guest.ts";
import { readElements } from "./xml.ts";

const LOOPBACK: Record<string, "127.0.0.1" | "::1"> = {
  "127.0.0.1": "127.0.0.1",
  "::1": "::1",
  localhost: "127.0.0.1",
};

/** Where a live domain's VNC server listens; null when it has none that is on this host alone. */
export function vncOf(domainXml: string): VncAddress | null {
  for (const { path, attributes, parent } of readElements(domainXml)) {
    const graphics = path === "domain/devices/graphics" ? attributes : parent?.attributes;
    const isListen = path === "domain/devices/graphics/listen";
    if (!(isListen || path === "domain/devices/graphics") || graphics?.type !== "vnc") continue;
    const socket = attributes.socket;
    if (socket !== undefined && socket.length > 0) return { transport: "unix", path: socket };
    const host = LOOPBACK[(isListen ? attributes.address : attributes.listen) ?? ""];
    const port = Number(graphics.port);
    if (host !== undefined && Number.isInteger(port) && port > 0 && port <= 65_535) {
      return { transport: "tcp", host, port };
    }
  }
  return null;
}
