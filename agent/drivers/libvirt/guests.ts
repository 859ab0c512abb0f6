/** Which of libvirt's domains are guests of ours, and how they are. A domain may vanish between any two calls. */
import { POWER_STATE, type PowerState } from "../../../functions/protocol/guest.ts";
import type { GuestInfo } from "../driver.ts";
import { NAMESPACE } from "./domain-xml.ts";
import { isLibvirtError, unless, VIR_ERR } from "./errors.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";

/** nova/virt/libvirt/guest.py: LIBVIRT_POWER_STATE. */
const POWER_OF: Record<number, PowerState> = {
  [DOMAIN_STATE.NOSTATE]: POWER_STATE.NOSTATE,
  [DOMAIN_STATE.RUNNING]: POWER_STATE.RUNNING,
  [DOMAIN_STATE.BLOCKED]: POWER_STATE.RUNNING,
  [DOMAIN_STATE.PAUSED]: POWER_STATE.PAUSED,
  [DOMAIN_STATE.SHUTDOWN]: POWER_STATE.SHUTDOWN,
  [DOMAIN_STATE.SHUTOFF]: POWER_STATE.SHUTDOWN,
  [DOMAIN_STATE.CRASHED]: POWER_STATE.CRASHED,
  [DOMAIN_STATE.PMSUSPENDED]: POWER_STATE.SUSPENDED,
};

/** Whether a QEMU process is there, be it paused. */
export const runs = (domain: Domain) => domain.id !== -1;

/** The domain of a uuid, and whether our metadata marks it. Null when there is none. */
export async function lookup(libvirt: Libvirt, uuid: string): Promise<{ domain: Domain; ours: boolean } | null> {
  try {
    const domain = await libvirt.lookup(uuid);
    const mark = await libvirt.metadata(domain, NAMESPACE).catch(unless(VIR_ERR.NO_DOMAIN_METADATA));
    return { domain, ours: mark !== undefined };
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return null;
    throw error;
  }
}

/** The guest's domain; null when there is none, or one that is not ours. */
export async function find(libvirt: Libvirt, uuid: string): Promise<Domain | null> {
  const found = await lookup(libvirt, uuid);
  return found?.ours ? found.domain : null;
}

/** The guest's power state in Nova's terms; null when there is no such guest of ours. */
export async function powerOf(libvirt: Libvirt, uuid: string): Promise<PowerState | null> {
  const domain = await find(libvirt, uuid);
  if (!domain) return null;
  const state = await libvirt.state(domain).catch(unless(VIR_ERR.NO_DOMAIN));
  if (state === undefined) return null;
  if (state === DOMAIN_STATE.SHUTOFF && (await isSaved(libvirt, domain))) return POWER_STATE.SUSPENDED;
  return POWER_OF[state] ?? POWER_STATE.NOSTATE;
}

/** Whether the guest's memory is on the host's disk: libvirt calls it off, and Nova suspended. */
async function isSaved(libvirt: Libvirt, domain: Domain): Promise<boolean> {
  return (await libvirt.hasManagedSave(domain).catch(unless(VIR_ERR.NO_DOMAIN))) === true;
}

export async function listOurs(libvirt: Libvirt): Promise<GuestInfo[]> {
  const domains = await libvirt.listDomains();
  const guests = domains.map(async ({ uuid }) => {
    const power_state = await powerOf(libvirt, uuid);
    return power_state === null ? [] : [{ uuid, power_state }];
  });
  return (await Promise.all(guests)).flat();
}

/**
 * Ends a guest's QEMU at once, and forgets its saved memory, which must never meet another disk or a later boot.
 * One that stopped by itself in the meantime is no failure.
 */
export async function stop(libvirt: Libvirt, domain: Domain): Promise<void> {
  if (runs(domain)) await libvirt.destroy(domain).catch(unless(VIR_ERR.OPERATION_INVALID));
  if (await isSaved(libvirt, domain)) await libvirt.removeManagedSave(domain);
}

/** Makes a guest run with what was in its memory, if that is there. One that runs already is no failure. */
export async function goOn(libvirt: Libvirt, domain: Domain): Promise<void> {
  if ((await libvirt.state(domain)) === DOMAIN_STATE.PAUSED) await libvirt.resume(domain);
  else await libvirt.start(domain).catch(unless(VIR_ERR.OPERATION_INVALID));
}
