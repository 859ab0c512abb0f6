/**
 * The files of a config drive, in OpenStack's layout, as cloud-init's ConfigDrive source reads it
 * (nova/api/metadata/base.py metadata_for_config_drive). Pure.
 *
 *   ec2/<version>/{meta-data.json,user-data}
 *   openstack/<version>/{meta_data.json,user_data,vendor_data.json,network_data.json,vendor_data2.json}
 *   openstack/content/0000 …            the injected files, to which meta_data.json points
 */
import type { ConfigDrive, GuestSpec } from "../functions/protocol/methods.ts";

/** Nova's versions by date, "latest" the last, and what each brought to the drive. */
const VERSIONS = [
  "2012-08-10",
  "2013-04-04",
  "2013-10-17",
  "2015-10-15",
  "2016-06-30",
  "2016-10-06",
  "2017-02-22",
  "2018-08-27",
  "2020-10-14",
  "latest",
] as const;
const RANDOM_SEED = "2013-04-04";
const VENDOR_DATA = "2013-10-17";
const NETWORK_DATA = "2015-10-15";
const PROJECT_ID = "2015-10-15";
const DEVICES = "2016-06-30";
const VENDOR_DATA_2 = "2016-10-06";
const DEDICATED_CPUS = "2020-10-14";

/** The versions of Amazon's layout that Nova does not leave out ([api]config_drive_skip_versions). */
const EC2_VERSIONS = ["2009-04-04", "latest"] as const;

/** As many random bytes as Nova gives a guest to start its own generator with. */
export const SEED_BYTES = 512;

/** Nothing of these is there: a guest has no network, no device with a tag, no CPU of its own, and no vendor. */
const NETWORKS = { links: [], networks: [], services: [] };
const VENDOR = {};
const VENDOR_2 = { static: {} };

export type DriveFiles = ReadonlyMap<string, string | Buffer>;
export type DriveParts = { uuid: string; spec: GuestSpec; drive: ConfigDrive; seed: Buffer };

/** The bytes of each file by its path on the drive. `seed` is SEED_BYTES of chance. */
export function configDriveFiles(parts: DriveParts): DriveFiles {
  const { drive } = parts;
  const files = new Map<string, string | Buffer>();
  const json = (path: string, value: object) => files.set(path, JSON.stringify(value));
  const userData = drive.user_data === null ? null : Buffer.from(drive.user_data, "base64");

  for (const version of EC2_VERSIONS) {
    if (userData) files.set(`ec2/${version}/user-data`, userData);
    json(`ec2/${version}/meta-data.json`, ec2MetaData(parts));
  }
  for (const version of VERSIONS) {
    const folder = `openstack/${version}`;
    json(`${folder}/meta_data.json`, metaData(parts, version));
    if (userData) files.set(`${folder}/user_data`, userData);
    // Dates sort as text, and "latest" after all of them.
    if (version >= VENDOR_DATA) json(`${folder}/vendor_data.json`, VENDOR);
    if (version >= NETWORK_DATA) json(`${folder}/network_data.json`, NETWORKS);
    if (version >= VENDOR_DATA_2) json(`${folder}/vendor_data2.json`, VENDOR_2);
  }
  for (const [i, { contents }] of drive.files.entries()) {
    files.set(`openstack/${contentPath(i)}`, Buffer.from(contents, "base64"));
  }
  return files;
}

const contentPath = (index: number) => `content/${String(index).padStart(4, "0")}`;

function metaData({ uuid, spec, drive, seed }: DriveParts, version: (typeof VERSIONS)[number]): object {
  const { metadata, display_name, project_id } = spec;
  const { keys, files, admin_pass, hostname, launch_index, availability_zone } = drive;
  return {
    uuid,
    ...(Object.keys(metadata).length > 0 ? { meta: metadata } : {}),
    ...(files.length > 0 ? { files: files.map(({ path }, i) => ({ path, content_path: `/${contentPath(i)}` })) } : {}),
    ...(admin_pass ? { admin_pass } : {}),
    ...(keys.length > 0 ? { public_keys: publicKeys(drive), keys } : {}),
    hostname,
    name: display_name,
    launch_index,
    availability_zone,
    ...(version >= RANDOM_SEED ? { random_seed: seed.toString("base64") } : {}),
    ...(version >= PROJECT_ID ? { project_id } : {}),
    ...(version >= DEVICES ? { devices: [] } : {}),
    ...(version >= DEDICATED_CPUS ? { dedicated_cpus: [] } : {}),
  };
}

const publicKeys = ({ keys }: ConfigDrive) => Object.fromEntries(keys.map(({ name, data }) => [name, data]));

/** Amazon's ids are made of ours, which Nova counts up in its database. */
function ec2MetaData({ uuid, spec, drive }: DriveParts): object {
  const { hostname, keys } = drive;
  return {
    "ami-id": ec2Id("ami", spec.image.id),
    "ami-launch-index": drive.launch_index,
    // This is what Nova says here, too.
    "ami-manifest-path": "FIXME",
    "instance-id": ec2Id("i", uuid),
    hostname,
    "local-ipv4": null,
    "reservation-id": drive.reservation_id,
    "security-groups": ["default"],
    ...(keys.length > 0
      ? { "public-keys": Object.fromEntries(keys.map(({ data }, i) => [String(i), { "openssh-key": data }])) }
      : {}),
    "local-hostname": hostname,
    "public-hostname": hostname,
    "public-ipv4": "",
    "instance-type": drive.instance_type,
    "block-device-mapping": { ami: "vda", root: "/dev/vda" },
    placement: { "availability-zone": drive.availability_zone },
    "instance-action": "none",
  };
}

const ec2Id = (kind: string, uuid: string) => `${kind}-${uuid.replaceAll("-", "").slice(0, 17)}`;
