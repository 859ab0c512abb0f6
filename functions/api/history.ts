/**
 * What changed at which microversion 2.x: the one place that says so (nova/api/openstack/compute/rest_api_version_history.rst).
 * Tables of fields and operations name a row of it; code that must differ asks `has`.
 */

/** The first and the last minor that has something; since 2.1 and until now where left out. */
export type Range = { since?: number; until?: number };

export const HISTORY = {
  // actions of servers
  "do.crash-dump": { since: 17 },
  "do.evacuate-force": { since: 29, until: 67 },
  "do.evacuate-scheduled": { since: 29 },
  "do.evacuate-shared-storage": { until: 13 },
  "do.get-console": { until: 5 },
  "do.evacuate-stopped": { since: 95 },
  "do.migrate-host": { since: 56 },
  "do.migrate-live-async": { since: 34 },
  "do.migrate-live-auto": { since: 25 },
  "do.migrate-live-disk": { until: 24 },
  "do.migrate-live-scheduled": { since: 30 },
  "do.migrate-live-force": { since: 30, until: 67 },
  "do.network": { until: 43 },
  "do.rebuild-key": { since: 54 },
  "do.rebuild-user-data": { since: 57 },
  "do.unshelve-host": { since: 91 },
  "do.unshelve-zone": { since: 77 },
  // aggregates
  "aggregate.images": { since: 81 },
  "aggregate.uuid": { since: 41 },
  // consoles
  "console-token.any-type": { since: 31 },
  "console.mks": { since: 8 },
  "console.remote": { since: 6 },
  // external events
  "event.accelerator": { since: 82 },
  "event.power-update": { since: 76 },
  "event.volume-extended": { since: 51 },
  "event.volume-reimaged": { since: 93 },
  // flavors
  "flavor.checked-specs": { since: 86 },
  "flavor.description": { since: 55 },
  "flavor.extra-specs": { since: 61 },
  "flavor.private-access-only": { since: 7 },
  "flavor.swap-number": { since: 75 },
  // hosts
  "host.api": { until: 42 },
  // hypervisors
  "hypervisor.cpu-info-object": { since: 28 },
  "hypervisor.paging": { since: 33 },
  "hypervisor.search": { until: 52 },
  "hypervisor.search-query": { since: 53 },
  "hypervisor.servers-always": { since: 75 },
  "hypervisor.uptime": { since: 88 },
  "hypervisor.usage": { until: 87 },
  "hypervisor.uuid": { since: 53 },
  // images: those made of servers, and all, which Nova passed on to the image service
  "image.id-in-body": { since: 45 },
  "image.metadata-quota": { until: 38 },
  "image.metadata-proxy": { until: 38 },
  "image.proxy": { until: 35 },
  // instance actions
  "action.changes-before": { since: 66 },
  "action.deleted-server": { since: 21 },
  "action.event-details": { since: 84 },
  "action.event-host": { since: 62 },
  "action.owner-events": { since: 51 },
  "action.paging": { since: 58 },
  // keypairs
  "keypair.import-only": { since: 92 },
  "keypair.paging": { since: 35 },
  "keypair.type": { since: 2 },
  "keypair.user": { since: 10 },
  // limits
  "limits.image-meta": { until: 38 },
  "limits.network": { until: 35 },
  "limits.personality": { until: 56 },
  // migrations
  "migration.abort": { since: 24 },
  "migration.abort-queued": { since: 65 },
  "migration.changes-before": { since: 66 },
  "migration.force-complete": { since: 22 },
  "migration.of-server": { since: 23 },
  "migration.owner": { since: 80 },
  "migration.paging": { since: 59 },
  "migration.type": { since: 23 },
  // networks, volumes and bare metal, which Nova passed on to other services
  "proxy.lists": { until: 35 },
  // queries
  "query.strict": { since: 75 },
  // quotas
  "quota.class-groups": { since: 50 },
  "quota.class-network": { until: 49 },
  "quota.files": { until: 56 },
  "quota.network": { until: 35 },
  // server groups
  "group.owner": { since: 13 },
  "group.policies": { until: 63 },
  "group.rules": { since: 64 },
  "group.soft-policies": { since: 15 },
  // servers
  "server.changes-before": { since: 66 },
  "server.checked-status-filter": { since: 38 },
  "server.description": { since: 19 },
  "server.destination": { since: 74 },
  "server.device-volume-type": { since: 67 },
  "server.diagnostics": { since: 48 },
  "server.embedded-flavor": { since: 47 },
  "server.extended-attributes": { since: 3 },
  "server.fqdn": { since: 94 },
  "server.full-update-view": { since: 75 },
  "server.groups": { since: 71 },
  "server.host-status": { since: 16 },
  "server.hostname": { since: 90 },
  "server.instance-name-filter": { until: 74 },
  "server.ip6-filter": { since: 5 },
  "server.lock-reason": { since: 73 },
  "server.locked": { since: 9 },
  "server.networks-required": { since: 37 },
  "server.personality": { until: 56 },
  "server.pinned-zone": { since: 96 },
  "server.strict-query": { since: 75 },
  "server.tags": { since: 26 },
  "server.tags-on-create": { since: 52 },
  "server.topology": { since: 78 },
  "server.trusted-certificates": { since: 63 },
  "server.user-filters": { since: 83 },
  // services
  "service.forced-down": { since: 11 },
  "service.uuid": { since: 53 },
  // usage
  "usage.paging": { since: 40 },
} as const satisfies Record<string, Range>;
export type Feature = keyof typeof HISTORY;

/** Whether 2.<minor> has `feature`. */
export function has(minor: number, feature: Feature): boolean {
  const { since = 1, until = Number.POSITIVE_INFINITY }: Range = HISTORY[feature];
  return since <= minor && minor <= until;
}
