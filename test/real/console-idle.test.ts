/** A console that nobody uses, behind Debian's nginx, which cuts off what is silent. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { freePort } from "../free-port.ts";
import { RfbClient } from "../rfb-client.ts";
import { needs } from "./requirement.ts";

const NGINX = "/usr/sbin/nginx";
const missing = !needs("the test of an idle console", [NGINX], "nginx-light");
/** What is a minute in most proxies; CONSOLE_IDLE_S=60 makes it one. */
const SILENCE_S = Number(process.env.CONSOLE_IDLE_S ?? 1);
/** As far apart as the agent's are by default, beside a minute; so many are ten times that long. */
const HEARTBEAT_S = (SILENCE_S * 25) / 60;
const HEARTBEATS = 24;
const TIMEOUT_MS = 30_000 + SILENCE_S * 12_000;

describe.skipIf(missing)("an idle console behind a proxy", () => {
  let edge: TestEdge;
  let dir: string;
  let proxy: ChildProcess;
  let port: number;
  let ws: WebSocket | undefined;

  beforeAll(async () => {
    edge = await startTestEdge();
    dir = mkdtempSync(join(tmpdir(), "edgenova-nginx-"));
    mkdirSync(join(dir, "logs"));
    port = await freePort();
    writeFileSync(join(dir, "nginx.conf"), configured(port, edge.url));
    proxy = spawn(NGINX, ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", join(dir, "error.log")], { stdio: "ignore" });
    await until(() => fetch(`http://127.0.0.1:${port}/`).catch(() => null), "nginx answers");
  });
  afterEach(() => ws?.terminate());
  afterAll(async () => {
    proxy?.kill();
    await edge?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  /** The screen of a new server on a host of its own, opened through the proxy; it is asked for nothing. */
  async function open(host: string, toml: string) {
    await edge.agent(host, { toml });
    const name = `${host}-server`;
    const server = await edge.cloud.createServer(name, await demoImage(edge.cloud, name), "1");
    const { status } = await edge.cloud.built(server, 20_000);
    expect(status).toBe("ACTIVE");
    const url = new URL(await edge.cloud.consoleUrl(server));
    const socket = new WebSocket(`ws://127.0.0.1:${port}/?token=${url.searchParams.get("token")}`);
    ws = socket;
    let ended = false;
    const client = new RfbClient((bytes) => socket.send(bytes), { timeoutMs: 15_000 });
    socket.on("message", (data) => client.feed(data as Buffer));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      ended = true;
    });
    await client.ready();
    return { client, isOpen: () => !ended };
  }

  it("is cut off when the agent sends no heartbeats", { timeout: TIMEOUT_MS }, async () => {
    const { isOpen } = await open("silent", "[vnc]\nheartbeat = 0");
    await until(() => !isOpen(), "it is cut off", TIMEOUT_MS);
    await edge.call("PUT", "/compute/v2.1/os-services/disable", {
      body: { host: "silent", binary: "nova-compute" },
      minor: 1,
    });
  });

  it("lasts by the agent's heartbeats, and is a screen afterwards", { timeout: TIMEOUT_MS }, async () => {
    const { client, isOpen } = await open("beating", `[vnc]\nheartbeat = ${HEARTBEAT_S}`);
    const over = () => client.updates >= HEARTBEATS || !isOpen();
    await until(over, "ten times the proxy's patience are over", TIMEOUT_MS);
    expect(isOpen()).toBe(true);
    client.watch();
    await client.waitForScreen(() => true);
  });
});

function configured(port: number, edge: string): string {
  return `daemon off; master_process off; pid nginx.pid; worker_processes 1;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${edge};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $http_host;
      proxy_read_timeout ${SILENCE_S}s;
      proxy_send_timeout ${SILENCE_S}s;
    }
  }
}`;
}
