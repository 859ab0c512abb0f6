/** A server's addresses as the API shows them (nova/api/openstack/compute/views/addresses.py). */
import { addressesOf, type ServerAddress } from "../conductor/addresses.ts";
import type { ServerRecord } from "../conductor/record.ts";

const plain = ({ version, addr }: ServerAddress) => ({ version, addr });
const extended = (address: ServerAddress) => ({
  ...plain(address),
  "OS-EXT-IPS:type": "fixed",
  "OS-EXT-IPS-MAC:mac_addr": address.mac,
});

const byNetwork = (record: ServerRecord, one: (address: ServerAddress) => object): Record<string, object[]> =>
  Object.fromEntries([...addressesOf(record)].map(([network, all]) => [network, all.map(one)]));

/** As a server has them in its own view. */
export const addressesView = (record: ServerRecord) => byNetwork(record, extended);

/** As GET /servers/{id}/ips lists them. */
export const ipsView = (record: ServerRecord) => byNetwork(record, plain);
