/** What cloud-init makes of a config drive: Debian's own package reads the image that a guest would get. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Not on the PATH of every user. */
const BLKID = "/usr/sbin/blkid";

export const CLOUD_INIT_NEEDS = {
  paths: [
    "/usr/bin/genisoimage",
    "/usr/bin/xorriso",
    BLKID,
    "/usr/lib/python3/dist-packages/cloudinit/sources/DataSourceConfigDrive.py",
  ],
  apt: "genisoimage xorriso util-linux cloud-init",
};

/** The results of its reader; what is bytes there is text in base64 here. */
export type SeenByCloudInit = {
  metadata: Record<string, unknown>;
  userdata: string;
  files: Record<string, string>;
  "ec2-metadata": Record<string, unknown>;
  vendordata: unknown;
  vendordata2: unknown;
  version: number;
  public_keys: string[];
  network_config: unknown;
};

// As DataSourceConfigDrive._get_data and network_config do it, after it has mounted what is labelled config-2.
const READ = `
import base64, json, sys
from cloudinit import sources
from cloudinit.sources.DataSourceConfigDrive import read_config_drive
from cloudinit.sources.helpers import openstack
found = read_config_drive(sys.argv[1])
found["public_keys"] = sources.normalize_pubkey_data(found["metadata"].get("public_keys"))
found["network_config"] = openstack.convert_net_json(found["networkdata"], known_macs={})
print(json.dumps(found, default=lambda it: base64.b64encode(it).decode()))
`;

/** Unpacks the image into a new folder beside it, and has cloud-init read that. */
export async function readByCloudInit(image: string): Promise<SeenByCloudInit> {
  const tree = `${image}.read`;
  await run("xorriso", ["-osirrox", "on", "-indev", image, "-extract", "/", tree]);
  // Debian's, whatever other Python there is.
  return JSON.parse((await run("/usr/bin/python3", ["-c", READ, tree])).stdout);
}

/** What the image says of itself: the label that cloud-init looks for, and the names it has beside ISO 9660's. */
export async function labelOf(image: string): Promise<{ label: string; version: string }> {
  const value = async (tag: string) => (await run(BLKID, ["-p", "-s", tag, "-o", "value", image])).stdout.trim();
  return { label: await value("LABEL"), version: await value("VERSION") };
}
