/** The guests of a fake host, in memory and in one file, so that they outlive the agent as real ones do. */
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { powerState } from "../../../functions/protocol/guest.ts";
import { guestSpec, imageRef } from "../../../functions/protocol/methods.ts";
import type { GuestInfo } from "../driver.ts";
import { guestClock } from "./guest-clock.ts";

/** A time is in milliseconds since 1970; null means never. */
export const storedGuest = z.object({
  uuid: z.uuid(),
  spec: guestSpec,
  /** Whether a config drive was made for it. */
  config_drive: z.boolean().default(false),
  power_state: powerState,
  ...guestClock.shape,
  /** The image it was booted from instead of its own disk. */
  rescue: imageRef.nullable().default(null),
  /** What its kernel said since its boot, and how long after it. */
  messages: z.array(z.object({ after_ms: z.number(), text: z.string() })).default([]),
  /** Its administrator's password was set from outside. The password itself is not kept. */
  password_set: z.boolean().default(false),
  vanish_at: z.number().nullable(),
  crash_at: z.number().nullable(),
});
export type StoredGuest = z.infer<typeof storedGuest>;

/** `boot_id`: the run of the machine that they were last seen in. */
const storedGuests = z.object({
  version: z.literal(1),
  boot_id: z.string().default("first"),
  guests: z.array(storedGuest),
});

type Log = (event: string, fields?: Record<string, unknown>) => void;

export function infoOf({ uuid, power_state }: StoredGuest): GuestInfo {
  return { uuid, power_state };
}

export class GuestStore {
  readonly #path: string;
  readonly #log: Log;
  readonly #guests = new Map<string, StoredGuest>();
  #bootId = "first";
  #writing: Promise<void> = Promise.resolve();
  /** A write that has not started yet: it will take along all that changes until then. */
  #queued: Promise<void> | null = null;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** Reads the file. One that cannot be understood is renamed and logged, and there are no guests then. */
  async load(): Promise<void> {
    const text = await readFile(this.#path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    if (text === null) return;
    const parsed = storedGuests.safeParse(json(text));
    if (parsed.success) {
      for (const guest of parsed.data.guests) this.#guests.set(guest.uuid, guest);
      this.#bootId = parsed.data.boot_id;
      return;
    }
    const aside = `${this.#path}.bad-${Date.now()}`;
    await rename(this.#path, aside);
    this.#log("fake.guests_set_aside", { path: aside, reason: parsed.error.issues[0]?.message ?? "not JSON" });
  }

  /** Says which run of the machine it is; of another than before, each guest is what `restarted` makes of it. */
  async boot(bootId: string, restarted: (guest: StoredGuest) => StoredGuest): Promise<void> {
    if (bootId === this.#bootId) return;
    this.#bootId = bootId;
    for (const guest of this.all()) this.#guests.set(guest.uuid, restarted(guest));
    await this.#save();
  }

  get(uuid: string): StoredGuest | undefined {
    return this.#guests.get(uuid);
  }

  all(): StoredGuest[] {
    return [...this.#guests.values()];
  }

  /** Keeps a guest; resolves when it is on disk. When that fails, the guest is as it was before. */
  put(guest: StoredGuest): Promise<void> {
    return this.#change(guest.uuid, guest);
  }

  /** Forgets a guest, in the same way. */
  delete(uuid: string): Promise<void> {
    return this.#change(uuid, undefined);
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await (this.#queued ?? this.#writing).catch(() => {});
  }

  async #change(uuid: string, guest: StoredGuest | undefined): Promise<void> {
    const before = this.#guests.get(uuid);
    this.#set(uuid, guest);
    try {
      await this.#save();
    } catch (error) {
      if (this.#guests.get(uuid) === guest) this.#set(uuid, before);
      throw error;
    }
  }

  #set(uuid: string, guest: StoredGuest | undefined): void {
    if (guest) this.#guests.set(uuid, guest);
    else this.#guests.delete(uuid);
  }

  #save(): Promise<void> {
    this.#queued ??= this.#writing
      .catch(() => {})
      .then(() => {
        this.#queued = null;
        this.#writing = this.#write();
        return this.#writing;
      });
    return this.#queued;
  }

  /** A reader finds the old file or the new one, whole, whenever the machine stops. */
  async #write(): Promise<void> {
    const text = JSON.stringify({ version: 1, boot_id: this.#bootId, guests: this.all() });
    const next = `${this.#path}.new`;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    const file = await open(next, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, this.#path);
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
