import type { NetworkInterfaceInfo } from "node:os";
import { expect, it } from "vitest";
import { hostIp } from "../../agent/host-ip.ts";

const address = (text: string, family: "IPv4" | "IPv6", internal = false): NetworkInterfaceInfo => {
  const rest = { address: text, netmask: "", mac: "", internal, cidr: null };
  return family === "IPv6" ? { ...rest, family, scopeid: 0 } : { ...rest, family };
};

it.each([
  [[address("127.0.0.1", "IPv4", true), address("192.0.2.7", "IPv4")], "192.0.2.7"],
  [[address("2001:db8::7", "IPv6"), address("192.0.2.7", "IPv4")], "192.0.2.7"],
  [[address("fe80::1", "IPv6"), address("169.254.3.3", "IPv4"), address("2001:db8::7", "IPv6")], "2001:db8::7"],
  [[address("127.0.0.1", "IPv4", true)], undefined],
])("of %j is %s", (addresses, expected) => {
  expect(hostIp({ eth0: addresses })).toBe(expected);
});
