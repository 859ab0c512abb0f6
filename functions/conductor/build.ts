/** Booting a server (nova: conductor build_instances, compute build_and_run_instance). */

import { err, ok } from "../result.ts";
import { type Context, callHost, type ServerFlow } from "./context.ts";
import { powered } from "./power.ts";
import { faultOf, instanceName } from "./record.ts";

/** Deliberately vague, as Nova's is: which filter removed whom is the admin's to know. */
const NO_VALID_HOST = "No valid host was found. There are not enough hosts available.";

/**
 * Whether the server's group has it on `host`: asked after the claim, in the one place that knows all of the group, as
 * two builds at once may have been sent to one host (nova: _validate_instance_group_policy).
 */
async function placed(context: Context, host: string | null): Promise<boolean> {
  const { uuid, server_group } = context.record();
  return !server_group || (await context.project().placeMember(uuid, host));
}

export const build: ServerFlow = {
  name: "build",
  event: "compute__do_build_and_run_instance",
  steps: [
    {
      name: "schedule",
      async run(context, memo) {
        const { uuid, flavor, availability_zone, requested_host, server_group } = context.record();
        const group = server_group ? await context.project().groupPlacement(uuid) : null;
        const chosen = await context.scheduler().select({
          server: uuid,
          vcpus: flavor.vcpus,
          memory_mb: flavor.ram,
          disk_gb: flavor.disk,
          availability_zone,
          requested_host,
          group,
        });
        if (!chosen.ok) return err({ code: 500, message: NO_VALID_HOST });
        const [hosts, zones] = [chosen.value.map((one) => one.host), chosen.value.map((one) => one.zone)];
        return ok({ ...memo, hosts, zones, at: 0 });
      },
      // No undo: a choice holds nothing.
    },
    {
      name: "claim",
      async run(context, memo) {
        const { uuid, generation, flavor } = context.record();
        for (let at = memo.at; at < memo.hosts.length; at++) {
          const host = memo.hosts[at] as string;
          // Written down before it is asked: a claim that this object never hears of must still be undone.
          if (at !== memo.at) context.note({ ...memo, at });
          const claimed = await context.host(host).claim({
            server: uuid,
            generation,
            vcpus: flavor.vcpus,
            memory_mb: flavor.ram,
            disk_gb: flavor.disk,
          });
          if (!claimed.ok) continue;
          if (!(await placed(context, host))) {
            await context.host(host).dismiss({ server: uuid, generation });
            continue;
          }
          const zone = memo.zones?.[at] ?? null;
          context.patch({ host, node: claimed.value.node, zone, task_state: "spawning" });
          return ok({ ...memo, at });
        }
        return err({ code: 500, message: NO_VALID_HOST });
      },
      async undo(context, memo) {
        const { uuid, generation } = context.record();
        for (const host of memo.hosts.slice(0, memo.at + 1))
          await context.host(host).dismiss({ server: uuid, generation });
        await placed(context, null);
        context.patch({ host: null, node: null });
      },
    },
    {
      name: "spawn",
      async run(context, memo) {
        const record = context.record();
        const { INSTANCE_BUILD_TIMEOUT } = context.config;
        const patienceMs = INSTANCE_BUILD_TIMEOUT === 0 ? Number.POSITIVE_INFINITY : INSTANCE_BUILD_TIMEOUT * 1000;
        const done = await callHost(
          context,
          "spawn",
          {
            display_name: record.display_name,
            instance_name: instanceName(record),
            project_id: record.project_id,
            vcpus: record.flavor.vcpus,
            memory_mb: record.flavor.ram,
            disk_gb: record.flavor.disk,
            image: record.image,
            metadata: record.metadata,
          },
          patienceMs,
        );
        if (!done.ok) return done;
        context.patch({
          vm_state: "active",
          task_state: null,
          power_state: powered(done.value),
          launched_at: new Date().toISOString(),
          progress: 100,
        });
        return ok(memo);
      },
      // No undo: dismissing the claim destroys the guest with it.
    },
  ],
  failed(context, failure) {
    context.patch({ vm_state: "error", task_state: null, fault: faultOf(failure) });
  },
};
