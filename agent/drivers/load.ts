/** The one place that knows which hypervisors there are. Each is loaded only when chosen: its library may be missing. */
import type { Driver, DriverContext } from "./driver.ts";

export const DRIVERS = ["libvirt", "fake"] as const;
export const VIRT_TYPES = ["auto", "kvm", "qemu"] as const;

export type DriverChoice =
  | { driver: "libvirt"; connectionUri: string; virtType: (typeof VIRT_TYPES)[number] }
  | { driver: "fake"; hostname: string; vcpus?: number; memory_mb?: number; local_gb?: number };

export async function loadDriver(choice: DriverChoice, context: DriverContext): Promise<Driver> {
  switch (choice.driver) {
    case "fake": {
      const { FakeDriver } = await import("./fake/fake-driver.ts");
      const { driver: _, ...options } = choice;
      return new FakeDriver(context, options);
    }
    case "libvirt": {
      const { LibvirtDriver } = await import("./libvirt/libvirt-driver.ts");
      const { connectionUri, virtType } = choice;
      return new LibvirtDriver(context, { connectionUri, virtType });
    }
  }
  return choice satisfies never;
}
