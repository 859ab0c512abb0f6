/**
 * Nova's times, SCALE times shorter: what is cut off for CUT_MS is
 * cut off for 5 minutes of these, five times longer than anything waits. CRASH_CUT_SECONDS=300 makes it true ones.
 */
const SCALE = 20;
export const SCALED_VARS = {
  REPORT_INTERVAL: String(10 / SCALE),
  SERVICE_DOWN_TIME: String(60 / SCALE),
  RPC_RESPONSE_TIMEOUT: String(60 / SCALE),
};
export const SCALED_TOML = `sync_power_state_interval = ${600 / SCALE / 10}\nupdate_resources_interval = ${60 / SCALE}\n`;
export const CUT_MS = Number(process.env.CRASH_CUT_SECONDS ?? 300 / SCALE) * 1000;
