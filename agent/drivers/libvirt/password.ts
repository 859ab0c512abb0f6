/** The administrator's password, set by the agent in the guest (nova/virt/libvirt/driver.py: set_admin_password). */
import { DriverError } from "../driver.ts";
import { GUEST_AGENT } from "./domain-xml.ts";
import { isLibvirtError, LibvirtError, VIR_ERR } from "./errors.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

/** nova: os_admin_user, where the image does not say. */
const ADMINISTRATOR = "root";

export async function setAdminPassword(libvirt: Libvirt, domain: Domain, password: string): Promise<void> {
  if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) {
    throw new DriverError("InstancePasswordSetFailed", "the guest does not run");
  }
  const devices = readElements(await libvirt.xml(domain));
  if (!devices.some((it) => it.path === "domain/devices/channel/target" && it.attributes.name === GUEST_AGENT)) {
    throw new DriverError("InstanceAgentNotEnabled", "the guest has no channel for an agent");
  }
  await libvirt.setUserPassword(domain, ADMINISTRATOR, password).catch(refused);
}

function refused(error: unknown): never {
  const cause = { cause: error };
  if (isLibvirtError(error, VIR_ERR.AGENT_UNRESPONSIVE, VIR_ERR.AGENT_UNSYNCED)) {
    throw new DriverError("NotSupported", "the guest's agent does not answer", cause);
  }
  if (isLibvirtError(error, VIR_ERR.NO_SUPPORT, VIR_ERR.OPERATION_UNSUPPORTED)) {
    throw new DriverError("SetAdminPasswdNotSupported", "this hypervisor cannot set a guest's password", cause);
  }
  if (error instanceof LibvirtError) {
    throw new DriverError("InstancePasswordSetFailed", "the guest's agent did not set the password", cause);
  }
  throw error;
}
