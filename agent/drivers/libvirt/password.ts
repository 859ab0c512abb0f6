/** The administrator's password, set by the agent in the guest (nova/virt/libvirt/driver.py: set_admin_password). */
import { DriverError } from "../driver.ts";
import { isLibvirtError, LibvirtError, VIR_ERR } from "./errors.ts";
import { agentOf, askAgent, isSilent } from "./guest-agent.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

/** Where neither os_admin_user of the image says it, nor its os_type. */
const ADMINISTRATOR = "root";
const TOLD = "domain/metadata/edgenova:guest/edgenova:admin_user";
const AGENT_SECONDS = 30;

export async function setAdminPassword(libvirt: Libvirt, domain: Domain, password: string): Promise<void> {
  if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) {
    throw new DriverError("InstancePasswordSetFailed", "the guest does not run");
  }
  const elements = readElements(await libvirt.xml(domain));
  if (agentOf(elements) === null) {
    throw new DriverError("InstanceAgentNotEnabled", "the guest has no channel for an agent");
  }
  const user = elements.find(({ path }) => path === TOLD)?.text || ADMINISTRATOR;
  const set = () => libvirt.setUserPassword(domain, user, password);
  await askAgent(libvirt, domain, AGENT_SECONDS, set).catch(refused);
}

function refused(error: unknown): never {
  const cause = { cause: error };
  if (isSilent(error)) {
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
