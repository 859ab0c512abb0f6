/** The real agent in a process of its own, with the bench's driver or the fake one. */
import { startAgent } from "../../agent/agent.ts";
import { parseConfig } from "../../agent/config.ts";
import { loadDriver } from "../../agent/drivers/load.ts";
import { enroll } from "../../agent/enroll.ts";
import { loadIdentity } from "../../agent/identity.ts";
import { createLog } from "../../agent/log.ts";
import { BenchDriver } from "./bench-driver.ts";
import { childOptions, serveParent } from "./child.ts";

export type BenchAgentOptions = {
  edge: string;
  joinToken: string;
  host: string;
  stateDir: string;
  /** The UNIX socket of every guest's screen; null: the fake driver with its own. */
  screen: string | null;
};

const { edge, joinToken, host, stateDir, screen } = childOptions<BenchAgentOptions>();
await enroll({ edge, joinToken, host, stateDir });
// As in production the log is written; stdout is /dev/null here.
const write = createLog(process.stdout);
let isUp = (): void => undefined;
const up = new Promise<void>((resolve) => {
  isUp = resolve;
});
const config = parseConfig(
  "[fake]\nvcpus = 1000\nmemory_mb = 1_000_000\nlocal_gb = 100_000\n[vnc]\nmax_sessions = 10_000",
);
const agent = await startAgent({
  stateDir,
  identity: await loadIdentity(stateDir),
  config,
  driverName: screen === null ? "fake" : "bench",
  loadDriver: async (context) =>
    screen === null ? loadDriver({ driver: "fake", host, config }, context) : new BenchDriver(screen),
  version: "bench",
  log: (event, fields) => {
    write(event, fields);
    if (event === "link.up") isUp();
  },
});
await up;
serveParent({}, { stop: () => agent.stop() });
