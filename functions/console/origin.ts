/** Whose pages may open consoles (nova: console/websocketproxy.py verify_origin_proto). */
type OriginConfig = { CONSOLE_ALLOWED_ORIGINS: string[]; NOVNCPROXY_BASE_URL: string };

/**
 * Whether a page of `origin` may open a console at `url`. No Origin is no browser, and allowed. Ours is the one that
 * was called, or that console links name; others come from CONSOLE_ALLOWED_ORIGINS, an origin or a bare host name.
 */
export function originAllowed(origin: string | null, url: URL, options: OriginConfig): boolean {
  if (origin === null) return true;
  if (!URL.canParse(origin)) return false;
  const from = new URL(origin);
  if (from.origin === "null") return false;
  const base = options.NOVNCPROXY_BASE_URL;
  const ours = [url.origin.replace(/^ws/, "http"), ...(base === "" ? [] : [new URL(base).origin])];
  return [...ours, ...options.CONSOLE_ALLOWED_ORIGINS].some((one) => one === from.origin || one === from.hostname);
}

/**
 * Which pages may show ours in a frame, as a CSP directive (CSP 3 §6.4.2.1); null when none are named, which leaves
 * it open, as dashboards are on origins of their own.
 */
export function frameAncestors({ CONSOLE_ALLOWED_ORIGINS: origins }: Pick<OriginConfig, "CONSOLE_ALLOWED_ORIGINS">) {
  return origins.length === 0 ? null : `frame-ancestors 'self' ${origins.join(" ")}`;
}
