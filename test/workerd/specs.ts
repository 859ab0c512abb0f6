import type { CreateSpec } from "../../functions/conductor/record.ts";
import type { Actor } from "../../functions/identity/actor.ts";

export const ADMIN: Actor = {
  request_id: "req-0",
  user_id: "u",
  user_name: "u",
  project_id: "p",
  app_credential: null,
  is_admin: true,
  may_write: true,
  may_read: true,
  is_manager: false,
  is_service: false,
};
export const MEMBER: Actor = { ...ADMIN, is_admin: false };

/** A server of 1 vcpu, 1024 MiB and 10 GiB. */
export function specOf(change: Partial<CreateSpec> = {}): CreateSpec {
  const uuid = crypto.randomUUID();
  return {
    uuid,
    project_id: "p",
    user_id: "u",
    display_name: "a",
    description: null,
    hostname: "a",
    metadata: {},
    tags: [],
    flavor: {
      flavorid: "1",
      name: "f",
      vcpus: 1,
      ram: 1024,
      disk: 10,
      ephemeral: 0,
      swap: 0,
      rxtx_factor: 1,
      is_public: true,
      disabled: false,
      description: null,
      extra_specs: {},
    },
    image: { id: crypto.randomUUID(), disk_format: "raw", size: 512, sha512: "0".repeat(128) },
    availability_zone: null,
    requested_host: null,
    key_name: null,
    access_ip_v4: "",
    access_ip_v6: "",
    config_drive: false,
    server_group: null,
    disk_config: "MANUAL",
    reservation_id: "r-1",
    launch_index: 0,
    created_at: new Date().toISOString(),
    ...change,
  };
}
