/** What POST /servers brings for the guest itself: key, user data, files, password (nova/compute/api.py create). */
import { Buffer } from "node:buffer";
import type { Context } from "hono";
import type { Given, Secrets } from "../conductor/given.ts";
import { config } from "../config.ts";
import type { InjectedFile, PublicKey } from "../protocol/methods.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, forbidden } from "./fault.ts";
import type { CreateBody } from "./schema/server.ts";

type Asked = CreateBody["server"];

/** nova: password_length, DEFAULT_PASSWORD_SYMBOLS: no two that look alike. */
const PASSWORD_LENGTH = 12;
const SYMBOLS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const EACH_KIND = [/[0-9]/, /[A-Z]/, /[a-z]/];

/** What is given; 400 for a key that is not the caller's, 403 for files beyond their quotas. */
export async function givenOf(c: Context<AppEnv>, server: Asked): Promise<{ given: Given; secrets: Secrets }> {
  const files = server.personality ?? [];
  const [keypair] = await Promise.all([keyOf(c, server.key_name), checkFiles(c, files)]);
  return {
    given: { user_data: server.user_data || null, keypair },
    secrets: { admin_pass: server.adminPass ?? generatePassword(), files },
  };
}

/**
 * Whether the server gets a config drive (nova: virt/configdrive.py required_by). Nova's metadata service would tell a
 * guest without one what its user gave it; there is none here, so what only a drive can bring makes one too.
 */
export function getsConfigDrive(c: Context<AppEnv>, server: Asked, properties: Record<string, string>): boolean {
  const { config_drive, user_data, personality, key_name, adminPass } = server;
  const given = user_data || personality?.length || key_name || adminPass;
  const mandatory = properties.img_config_drive === "mandatory";
  return Boolean(config_drive || given) || mandatory || config(c.env).FORCE_CONFIG_DRIVE;
}

/** Twelve characters of chance, some of each kind. */
export function generatePassword(): string {
  for (;;) {
    // The bytes above the last multiple would favour the first symbols.
    const bytes = [...crypto.getRandomValues(new Uint8Array(4 * PASSWORD_LENGTH))];
    const fair = bytes.filter((byte) => byte < 256 - (256 % SYMBOLS.length));
    const password = fair.slice(0, PASSWORD_LENGTH).map((byte) => SYMBOLS[byte % SYMBOLS.length]);
    const text = password.join("");
    if (text.length === PASSWORD_LENGTH && EACH_KIND.every((kind) => kind.test(text))) return text;
  }
}

/** The caller's key of that name; 400 when there is none. */
export async function keyOf(c: Context<AppEnv>, name: string | null | undefined): Promise<PublicKey | null> {
  if (!name) return null;
  const pair = await c.env.KEYPAIRS.getByName(c.var.actor.user_id).get(name);
  if (pair === null) throw badRequest("Invalid key_name provided.");
  return { name: pair.name, type: pair.type, data: pair.public_key };
}

/** nova: _check_injected_file_quota. Of a path and a content that are both too long, the path is told. */
export async function checkFiles(c: Context<AppEnv>, files: readonly InjectedFile[]): Promise<void> {
  if (files.length === 0) return;
  const { project_id, user_id } = c.var.actor;
  const limits = await c.env.PROJECT.getByName(project_id).limits(user_id);
  const beyond = (used: number, limit: number) => limit !== -1 && used > limit;
  const longest = (text: (file: InjectedFile) => string, encoding: "utf8" | "base64") =>
    Math.max(...files.map((file) => Buffer.byteLength(text(file), encoding)));
  const [path, content] = [limits.injected_file_path_bytes, limits.injected_file_content_bytes];
  if (beyond(files.length, limits.injected_files)) throw forbidden("Personality file limit exceeded");
  if (
    beyond(
      longest((file) => file.path, "utf8"),
      path,
    )
  ) {
    throw forbidden(`Personality file path exceeds maximum ${path}`);
  }
  if (
    beyond(
      longest((file) => file.contents, "base64"),
      content,
    )
  ) {
    throw forbidden(`Personality file content exceeds maximum ${content}`);
  }
}
