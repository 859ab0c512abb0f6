/**
 * /extensions (nova/api/openstack/compute/extension_info.py): what was optional before microversions. Nova has kept the
 * list as it was at the end, and so do we: clients of that time look names up in it.
 */
import { notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";

/** By alias: the name, where it is not the alias itself in capitals, without `os-`. */
const RENAMED: Readonly<Record<string, string>> = {
  NMN: "Multinic",
  "OS-DCF": "DiskConfig",
  "OS-EXT-AZ": "ExtendedAvailabilityZone",
  "OS-EXT-IMG-SIZE": "ImageSize",
  "OS-EXT-IPS": "ExtendedIps",
  "OS-EXT-IPS-MAC": "ExtendedIpsMac",
  "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
  "OS-EXT-STS": "ExtendedStatus",
  "OS-EXT-VIF-NET": "ExtendedVIFNet",
  "OS-FLV-DISABLED": "FlavorDisabled",
  "OS-FLV-EXT-DATA": "FlavorExtraData",
  "OS-SCH-HNT": "SchedulerHints",
  "OS-SRV-USG": "ServerUsage",
  "os-access-ips": "AccessIPs",
  "os-baremetal-ext-status": "BareMetalExtStatus",
  "os-baremetal-nodes": "BareMetalNodes",
  "os-block-device-mapping-v2-boot": "BlockDeviceMappingV2Boot",
  "os-create-server-ext": "Createserverext",
  "os-instance_usage_audit_log": "OSInstanceUsageAuditLog",
};
const ALIASES = (
  "os-admin-actions os-admin-password os-agents os-aggregates os-assisted-volume-snapshots os-attach-interfaces " +
  "os-availability-zone os-block-device-mapping os-cell-capacities os-cells os-certificates os-cloudpipe " +
  "os-cloudpipe-update os-config-drive os-console-auth-tokens os-console-output os-consoles os-create-backup " +
  "os-deferred-delete os-evacuate os-extended-evacuate-find-host os-extended-floating-ips os-extended-hypervisors " +
  "os-extended-networks os-extended-quotas os-extended-rescue-with-image os-extended-services " +
  "os-extended-services-delete os-extended-status os-extended-volumes os-fixed-ips os-flavor-access " +
  "os-flavor-extra-specs os-flavor-manage os-flavor-rxtx os-flavor-swap os-floating-ip-dns os-floating-ip-pools " +
  "os-floating-ips os-floating-ips-bulk os-fping os-hide-server-addresses os-hosts os-hypervisor-status " +
  "os-hypervisors os-instance-actions os-keypairs os-lock-server os-migrate-server os-migrations " +
  "os-multiple-create os-networks os-networks-associate os-pause-server os-personality " +
  "os-preserve-ephemeral-rebuild os-quota-class-sets os-quota-sets os-rescue os-security-group-default-rules " +
  "os-security-groups os-server-diagnostics os-server-external-events os-server-group-quotas os-server-groups " +
  "os-server-list-multi-status os-server-password os-server-sort-keys os-server-start-stop os-services os-shelve " +
  "os-simple-tenant-usage os-suspend-server os-tenant-networks os-used-limits os-used-limits-for-admin os-user-data " +
  "os-user-quotas os-virtual-interfaces os-volume-attachment-update os-volumes"
).split(" ");

const EXTENSIONS = [...Object.keys(RENAMED), ...ALIASES].sort().map((alias) => ({
  alias,
  name: RENAMED[alias] ?? capitals(alias),
  description: "",
  links: [],
  // Nova's fixed words: there never was XML in v2.1, and nothing of the list has changed since.
  namespace: "http://docs.openstack.org/compute/ext/fake_xml",
  updated: "2014-12-03T00:00:00Z",
}));

/** `os-user-quotas` is UserQuotas. */
function capitals(alias: string): string {
  const words = alias.replace(/^os-/, "").split("-");
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("");
}

const RULE = "os_compute_api:extensions";

export const extensions: Paths = {
  "/extensions": {
    GET: operation({
      summary: "List what was optional before microversions",
      rule: RULE,
      role: "reader",
      status: 200,
      answers: "extensions",
      run: (c) => c.json({ extensions: EXTENSIONS }),
    }),
  },
  "/extensions/:alias": {
    GET: operation({
      summary: "Show one extension",
      rule: RULE,
      role: "reader",
      status: 200,
      answers: "extension",
      run: (c) => {
        const extension = EXTENSIONS.find(({ alias }) => alias === c.req.param("alias"));
        if (!extension) throw notFound("The resource could not be found.");
        return c.json({ extension });
      },
    }),
  },
};
