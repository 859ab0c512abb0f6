/** /os-volumes_boot (nova/api/openstack/compute/routes.py): another name of /servers, from when booting from a volume was new. */
import type { Paths } from "./operation.ts";
import { servers } from "./servers.ts";

export const volumesBoot: Paths = Object.fromEntries(
  Object.entries(servers)
    .filter(([path]) => ["/servers", "/servers/detail", "/servers/:id"].includes(path))
    .map(([path, operations]) => [path.replace("/servers", "/os-volumes_boot"), operations]),
);
