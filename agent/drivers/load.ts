/** The one place that knows which hypervisors there are. Each is loaded only when chosen: its library may be missing. */
import type { AgentConfig } from "../config.ts";
import type { Driver, DriverContext } from "./driver.ts";

export const DRIVERS = ["libvirt", "fake"] as const;

/** `host`: its name at the edge. */
export type DriverChoice = { driver: (typeof DRIVERS)[number]; host: string; config: AgentConfig };

export async function loadDriver({ driver, host, config }: DriverChoice, context: DriverContext): Promise<Driver> {
  switch (driver) {
    case "fake": {
      const { FakeDriver } = await import("./fake/fake-driver.ts");
      return new FakeDriver(context, { ...config.fake, hostname: host });
    }
    case "libvirt": {
      const { LibvirtDriver } = await import("./libvirt/libvirt-driver.ts");
      return new LibvirtDriver(context, config.libvirt, { instancesPath: config.instances_path, host });
    }
  }
  return driver satisfies never;
}
