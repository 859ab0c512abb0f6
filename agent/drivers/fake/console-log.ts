/** What a fake guest has printed on its serial console since its boot, from its row alone. Pure. */
import { MAX_CONSOLE_BYTES } from "../../../functions/protocol/methods.ts";
import { age } from "./guest-clock.ts";
import type { StoredGuest } from "./guest-store.ts";
import { BOOT_MS } from "./screen.ts";

const MINUTE_MS = 60_000;
/** Minutes that are told of: about as many lines as MAX_CONSOLE_BYTES hold. */
const MAX_MINUTES = 2000;

type Line = { after_ms: number; text: string };

/** The last MAX_CONSOLE_BYTES of it, as UTF-8. */
export function consoleLog(guest: StoredGuest, now: number): Buffer {
  const ran = age(guest, now);
  const lines = [...boot(guest), ...guest.messages, ...minutes(ran)]
    .filter(({ after_ms }) => after_ms < ran)
    .toSorted((a, b) => a.after_ms - b.after_ms);
  const text = lines.map(({ after_ms, text }) => `[${(after_ms / 1000).toFixed(6).padStart(12)}] ${text}\n`).join("");
  const login = ran > BOOT_MS ? `\n${plain(guest.spec.display_name)} login: ` : "";
  return Buffer.from(text + login).subarray(-MAX_CONSOLE_BYTES);
}

function boot({ spec, rescue }: StoredGuest): Line[] {
  const disks = [
    ...(rescue === null ? [] : [`rescue image ${rescue.id}`]),
    `${spec.disk_gb} GiB, from image ${spec.image.id}`,
    ...spec.ephemerals.map(({ size, format }) => `${size} GiB, ${format}`),
    ...(spec.swap_mb === 0 ? [] : [`${spec.swap_mb} MiB, swap`]),
  ];
  const kernel = [
    "Linux version 6.12.0-fake (edgenova)",
    "Command line: root=/dev/vda1 console=ttyS0",
    `Memory: ${spec.memory_mb * 1024}K available`,
    `smpboot: Allowing ${spec.vcpus} CPUs`,
    ...disks.map((disk, i) => `virtio_blk: [vd${String.fromCharCode("a".charCodeAt(0) + i)}] ${disk}`),
  ];
  const last = [`systemd: Hostname set to <${plain(spec.display_name)}>`, "systemd: Reached target multi-user.target"];
  return [
    ...kernel.map((text, i) => ({ after_ms: i * 20, text })),
    ...last.map((text, i) => ({ after_ms: BOOT_MS - 20 + i * 10, text })),
  ];
}

function minutes(ran: number): Line[] {
  const last = Math.floor(ran / MINUTE_MS);
  const first = Math.max(1, last - MAX_MINUTES + 1);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => {
    const minute = first + i;
    return { after_ms: minute * MINUTE_MS, text: `up ${minute} min, load average: 0.00` };
  });
}

/** One line, whatever the name holds. */
function plain(name: string): string {
  return name.replace(/\p{Cc}+/gu, " ");
}
