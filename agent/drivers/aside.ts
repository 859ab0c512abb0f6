/**
 * The folder of a guest that moves while it is off is kept beside the place where it was, as Nova keeps it
 * (nova/virt/libvirt/driver.py: <instance>_resize), until the move is confirmed, reverted or has failed. What takes its
 * place may be made on the same host, or where another host has the same folder.
 *
 *   own ------putAside------> aside ------setReplaced------> replaced ---dropAside---> own, the new one
 *    ^  <uuid>                  |  <uuid>_resize,               |  <uuid>_resize with `replaced` in it,
 *    |                          |  half a guest in <uuid>       |  a whole one in <uuid>
 *    +---------bringBack--------+-------------------------------+
 *
 * Each may be cut off at any point and done again. A folder <uuid>_resize that does not say whose it is, is rubbish.
 */
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { networkReason } from "../failure.ts";
import { syncDirectory } from "../state-dir.ts";

const SUFFIX = "_resize";
/** What is kept of the guest besides its files. */
const KEPT = "resize.json";
const REPLACED = "replaced";

/** `migration`: the move's uuid. `description`: the guest as it was, in its driver's own words. */
const kept = z.object({ migration: z.uuid(), description: z.string() });
export type Kept = z.infer<typeof kept>;

const FOLDER = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:_resize)?$/;

/** The guests that have a folder in `instances`, be it one that is aside. */
export async function guestsWithFolders(instances: string): Promise<string[]> {
  const names = await readdir(instances);
  return [...new Set(names.flatMap((name) => FOLDER.exec(name)?.[1] ?? []))];
}

/** Where the guest's `folder` is while it is aside. */
export const asideOf = (folder: string) => `${folder}${SUFFIX}`;

/** What is aside of the guest; null when nothing is. `replaced`: whether there is a whole guest in its place. */
export async function readAside(folder: string): Promise<(Kept & { replaced: boolean }) | null> {
  const aside = asideOf(folder);
  const text = await readGuestFile(join(aside, KEPT));
  return text === null ? null : { ...kept.parse(JSON.parse(text)), replaced: existsSync(join(aside, REPLACED)) };
}

/** The text of a file of a guest's, which may be on another machine's disk; null when there is none. */
export async function readGuestFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (networkReason(error) === "ENOENT") return null;
    throw error;
  }
}

/** Puts the guest's folder aside; nothing may be aside of it yet. */
export async function putAside(folder: string, what: Kept): Promise<void> {
  const aside = asideOf(folder);
  await rm(aside, { recursive: true, force: true });
  await writeFile(join(folder, KEPT), JSON.stringify(what), { mode: 0o600, flush: true });
  await rename(folder, aside);
  syncDirectory(dirname(folder));
}

/** A whole guest is in the place of the one that is aside, if one is. */
export async function setReplaced(folder: string): Promise<void> {
  const aside = asideOf(folder);
  if (!existsSync(aside)) return;
  await writeFile(join(aside, REPLACED), "", { mode: 0o600, flush: true });
  syncDirectory(aside);
}

/** Puts what is aside back, in place of whatever is there, once `restore` has made a guest of its description. */
export async function bringBack(folder: string, restore: (description: string) => Promise<void>): Promise<void> {
  const aside = asideOf(folder);
  const { description } = (await readAside(folder)) ?? {};
  if (description === undefined) return;
  await rm(join(aside, REPLACED), { force: true });
  await rm(folder, { recursive: true, force: true });
  await restore(description);
  await rename(aside, folder);
  syncDirectory(dirname(folder));
  await rm(join(folder, KEPT), { force: true });
}

/** Removes what is aside. */
export async function dropAside(folder: string): Promise<void> {
  const aside = asideOf(folder);
  // First: what is half removed is never brought back.
  await rm(join(aside, KEPT), { force: true });
  await rm(aside, { recursive: true, force: true });
}
