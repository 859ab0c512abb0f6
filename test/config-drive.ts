/** A guest with all that a config drive can tell. */
import type { ConfigDrive, GuestSpec } from "../functions/protocol/methods.ts";

export const DRIVE_UUID = "6f1c2a3b-0000-4000-8000-00000000000c";
export const USER_DATA = "#cloud-config\nhostname: ünïcode\n";
/** Bytes that are no text. */
export const FILE_BYTES = Buffer.from([0, 255, 254, 10, 13, 0, 128]);
export const PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd5 me@home";
export const ADMIN_PASS = `p"as\\s</é\n`;

export const FULL_DRIVE: ConfigDrive = {
  hostname: "web-1",
  launch_index: 2,
  reservation_id: "r-1",
  availability_zone: "mars",
  instance_type: "m1.tiny",
  keys: [{ name: "mine", type: "ssh", data: PUBLIC_KEY }],
  admin_pass: ADMIN_PASS,
  files: [
    { path: "/etc/motd", contents: Buffer.from("hello\n").toString("base64") },
    { path: "/../../etc/bytes", contents: FILE_BYTES.toString("base64") },
  ],
  user_data: Buffer.from(USER_DATA).toString("base64"),
};

export function specWithDrive(drive: Partial<ConfigDrive> | null = {}, change: Partial<GuestSpec> = {}): GuestSpec {
  return {
    display_name: "web ünït",
    instance_name: "instance-0000000c",
    project_id: "demo",
    vcpus: 1,
    memory_mb: 64,
    disk_gb: 0,
    ephemerals: [],
    swap_mb: 0,
    image: { id: "5c2f8c1e-9d47-4a65-b0e2-7c51d8f9a023", disk_format: "iso", size: 1, sha512: "0".repeat(128) },
    metadata: { role: "web" },
    config_drive: drive === null ? null : { ...FULL_DRIVE, ...drive },
    ...change,
  };
}
