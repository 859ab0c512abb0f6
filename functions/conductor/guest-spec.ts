/** From a server's record to the guest that a driver builds (nova: virt/driver.py spawn's arguments). Pure. */
import type { Hardware } from "../protocol/hardware.ts";
import type { ConfigDrive, GuestSpec } from "../protocol/methods.ts";
import type { Context } from "./context.ts";
import type { Given, Secrets } from "./given.ts";
import { hardwareOf } from "./hardware.ts";
import { instanceName, type ServerRecord } from "./record.ts";

export type GuestParts = {
  record: ServerRecord;
  given: Given;
  /** Null once the first build has ended: a rebuild or a rescue brings its own. */
  secrets: Secrets | null;
  /** Where a server is that no aggregate puts elsewhere. */
  defaultZone: string;
};

/** The guest of the server that a flow works on, as it is but for `change`. */
export function guestSpecOf(context: Context, change: Partial<ServerRecord> = {}): GuestSpec {
  return guestSpec({
    record: { ...context.record(), ...change },
    given: context.given(),
    secrets: context.secrets(),
    defaultZone: context.config.DEFAULT_AVAILABILITY_ZONE,
  });
}

export function guestSpec(parts: GuestParts): GuestSpec {
  const { record } = parts;
  return {
    display_name: record.display_name,
    instance_name: instanceName(record),
    project_id: record.project_id,
    vcpus: record.flavor.vcpus,
    memory_mb: record.flavor.ram,
    disk_gb: record.flavor.disk,
    ephemerals: record.ephemerals ?? [],
    swap_mb: record.swap_mb ?? 0,
    image: record.image,
    hardware: hardware(record),
    metadata: record.metadata,
    config_drive: record.config_drive ? configDrive(parts) : null,
  };
}

/** A server of before values were checked is made as it was then: of what its host chooses. */
function hardware({ flavor, image_properties: properties = {} }: ServerRecord): Hardware {
  const told = hardwareOf({ properties, extra_specs: flavor.extra_specs, vcpus: flavor.vcpus });
  return told.ok ? told.value : {};
}

function configDrive({ record, given, secrets, defaultZone }: GuestParts): ConfigDrive {
  return {
    hostname: record.hostname,
    launch_index: record.launch_index,
    reservation_id: record.reservation_id,
    availability_zone: record.zone ?? record.availability_zone ?? defaultZone,
    instance_type: record.flavor.name,
    keys: given.keypair ? [given.keypair] : [],
    admin_pass: secrets?.admin_pass ?? null,
    files: secrets?.files ?? [],
    user_data: given.user_data,
  };
}
