/** The agent's login to real VNC servers of every kind of security that it knows: TigerVNC's and QEMU's. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { vncResponse } from "../../agent/console/vnc-auth.ts";
import { connectVnc, type VncAccess, type VncConnection } from "../../agent/console/vnc-socket.ts";
import type { VncAddress } from "../../functions/protocol/guest.ts";
import { until } from "../edge.ts";
import { freePort } from "../free-port.ts";
import { needs } from "./requirement.ts";

const XVNC = "/usr/bin/Xtigervnc";
const QEMU = "/usr/bin/qemu-system-x86_64";
const missing = !needs(
  "the VNC servers' test",
  [XVNC, QEMU, "/usr/bin/openssl"],
  "tigervnc-standalone-server qemu-system-x86 openssl",
);
const PASSWORD = "secret12";
/** The key that VNC servers hide the passwords of their files with: TigerVNC's common/rfb/obfuscate.cxx. */
const FILE_KEY = Buffer.from([23, 82, 107, 6, 35, 78, 88, 7]).toString("latin1");
const NOBODY: VncAccess = { username: null, password: null };
const run = promisify(execFile);
/** PAM's settings are the machine's: the Plain types are tested where this process may have others of its own. */
const isRoot = process.geteuid?.() === 0;

let dir: string;
let children: ChildProcess[] = [];

describe.skipIf(missing)("a VNC server", () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "edgenova-vnc-"));
    const at = (name: string) => join(dir, name);
    const openssl = (command: string) => run("openssl", command.split(" "), { cwd: dir });
    const selfSigned = (name: string) =>
      openssl(
        `req -x509 -newkey rsa:2048 -nodes -keyout ${name}-key.pem -out ${name}-cert.pem -days 2 -subj /CN=${name}`,
      );
    await selfSigned("ca");
    await openssl("req -newkey rsa:2048 -nodes -keyout server-key.pem -out request -subj /CN=host");
    writeFileSync(
      at("extensions"),
      "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\n",
    );
    await openssl(
      "x509 -req -in request -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile extensions -out server-cert.pem",
    );
    await selfSigned("other");
    writeFileSync(at("passwd"), vncResponse(FILE_KEY, Buffer.from(PASSWORD.padEnd(16, "\0"))).subarray(0, 8), {
      mode: 0o600,
    });
  });
  afterEach(() => {
    for (const child of children) child.kill();
    children = [];
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  function start(command: string, args: string[]): () => string {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
    children.push(child);
    let said = "";
    child.stderr?.on("data", (bytes: Buffer) => {
      said = (said + bytes).slice(-2000);
    });
    return () => said;
  }

  async function xvnc(type: string, prefix: string[] = []): Promise<VncAddress> {
    const port = await freePort();
    const display = `:${port}`;
    const files = [
      "-PasswordFile",
      join(dir, "passwd"),
      "-X509Cert",
      join(dir, "server-cert.pem"),
      "-X509Key",
      join(dir, "server-key.pem"),
    ];
    const args = [
      display,
      "-rfbport",
      String(port),
      "-localhost",
      "-SecurityTypes",
      type,
      "-PlainUsers",
      "root",
      "-nolisten",
      "tcp",
      ...files,
    ];
    const [command = XVNC, ...rest] = [...prefix, XVNC, ...args];
    start(command, rest);
    return { transport: "tcp", host: "127.0.0.1", port };
  }

  async function qemu(vnc: string, objects: string[]): Promise<VncAddress> {
    const path = join(dir, `${children.length}.sock`);
    rmSync(path, { force: true });
    start(QEMU, [
      "-nodefaults",
      "-display",
      "none",
      "-S",
      ...objects.flatMap((one) => ["-object", one]),
      "-vnc",
      `unix:${path}${vnc}`,
    ]);
    return { transport: "unix", path };
  }

  /** Resolves once the server is there, with the login or with why there is none. */
  function loggedIn(address: VncAddress, access: VncAccess): Promise<VncConnection | string> {
    return until(async () => {
      try {
        return await connectVnc(address, access);
      } catch (error) {
        const why = (error as Error).message;
        return why === "the server's screen does not answer" ? null : why;
      }
    }, "the VNC server answers");
  }

  async function shows(address: VncAddress, access: VncAccess, name: RegExp): Promise<void> {
    const connection = await loggedIn(address, access);
    if (typeof connection === "string") throw new Error(connection);
    expect(connection.serverInit.subarray(24).toString()).toMatch(name);
    const first = new Promise<Buffer>((resolve) => {
      connection.onBytes = (bytes, done) => {
        resolve(Buffer.from(bytes.subarray(0, 4)));
        done();
      };
    });
    connection.socket.resume();
    connection.socket.write(Buffer.from([3, 0, 0, 0, 0, 0, 0, 8, 0, 8]));
    // A FramebufferUpdate of at least one rectangle.
    const head = connection.early.length > 0 ? connection.early : await first;
    expect(head.readUInt8(0)).toBe(0);
    expect(head.readUInt16BE(2)).toBeGreaterThan(0);
    connection.socket.destroy();
  }

  const ca = () => readFileSync(join(dir, "ca-cert.pem"));
  const secret: VncAccess = { username: null, password: PASSWORD };

  it.each(["None", "TLSNone", "X509None"])("of TigerVNC with %s", async (type) => {
    await shows(await xvnc(type), NOBODY, /./);
  });

  it.each(["VncAuth", "TLSVnc", "X509Vnc"])("of TigerVNC with %s wants the password", async (type) => {
    const address = await xvnc(type);
    await shows(address, secret, /./);
    expect(await loggedIn(address, { ...secret, password: "wrong" })).toMatch(/did not take the host's credentials/);
    expect(await loggedIn(address, NOBODY)).toMatch(/has none for it|no credentials for it/);
  });

  it.skipIf(!isRoot).each(["TLSPlain", "X509Plain"])(
    "of TigerVNC with %s wants a name and a password",
    async (type) => {
      const script = join(dir, "check.sh");
      writeFileSync(script, '#!/bin/sh\nread -r secret\n[ "$secret" = sesame ] && [ "$PAM_USER" = root ]\n', {
        mode: 0o755,
      });
      mkdirSync(join(dir, "pam.d"), { recursive: true });
      const rules = `auth required pam_exec.so expose_authtok ${script}\naccount required pam_permit.so\n`;
      for (const service of ["vnc", "tigervnc"]) writeFileSync(join(dir, "pam.d", service), rules);
      const mount = `mount --bind ${join(dir, "pam.d")} /etc/pam.d && exec "$@"`;
      const address = await xvnc(type, ["/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, "sh"]);
      await shows(address, { username: "root", password: "sesame" }, /./);
      expect(await loggedIn(address, { username: "root", password: "wrong" })).toMatch(/did not take/);
      expect(await loggedIn(address, secret)).toMatch(/no credentials for it/);
    },
  );

  it("that proves itself is believed by the CA that the host names, and by no other", async () => {
    const address = await xvnc("X509None");
    await shows(address, { ...NOBODY, ca: ca() }, /./);
    await expect(connectVnc(address, { ...NOBODY, ca: readFileSync(join(dir, "other-cert.pem")) })).rejects.toThrow(
      /no TLS with the screen: [A-Z_]*(SIGN|CERT)/,
    );
  });

  it.each([
    ["nothing", "", []],
    ["a password", ",password-secret=s", [`secret,id=s,data=${PASSWORD}`]],
    ["TLS", ",tls-creds=a", ["tls-creds-anon,id=a,endpoint=server"]],
    [
      "TLS and a password",
      ",tls-creds=a,password-secret=s",
      ["tls-creds-anon,id=a,endpoint=server", `secret,id=s,data=${PASSWORD}`],
    ],
  ])("of QEMU on a UNIX socket that wants %s", async (_, vnc, objects) => {
    await shows(await qemu(vnc, objects), secret, /QEMU/);
  });

  it("of QEMU that proves itself", async () => {
    const creds = `tls-creds-x509,id=t,dir=${dir},endpoint=server,verify-peer=no`;
    await shows(await qemu(",tls-creds=t", [creds]), { ...NOBODY, ca: ca() }, /QEMU/);
  });
});
