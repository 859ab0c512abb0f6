/** What each method of the protocol means here: a call frame becomes work on the driver. */
import type { z } from "zod";
import type { CallFrame } from "../functions/protocol/frames.ts";
import { POWER_STATE } from "../functions/protocol/guest.ts";
import { type ImageRef, METHODS, type Method, type Value } from "../functions/protocol/methods.ts";
import type { Consoles } from "./console/consoles.ts";
import { tail } from "./console/output.ts";
import { type Driver, type Grace, movingOf } from "./drivers/driver.ts";
import { hostUptime } from "./host-uptime.ts";
import type { Moves } from "./move/moves.ts";
import type { Snapshots } from "./snapshots.ts";

/** Does what the call asks and resolves to its value. What the signal does to it: calls.ts. */
export type Work = (signal: AbortSignal) => Promise<Value<Method>>;
export type Host = {
  driver: Driver;
  consoles: Pick<Consoles, "open" | "close" | "share" | "list">;
  /** Whether the image is at hand; when it is not, it is being fetched from now on. */
  cacheImage(image: ImageRef): Promise<boolean>;
  snapshots: Pick<Snapshots, "take" | "upload" | "forget">;
  moves: Moves;
};

/** The work of a call, or the name of the first parameter that is wrong. */
export function bind(
  call: CallFrame,
  { driver, consoles, cacheImage, snapshots, moves }: Host,
): Work | { wrong: string } {
  const { server, params } = call;
  const powered = async (done: Promise<void>): Promise<Value<"power_on">> => {
    await done;
    const guest = await driver.getInfo(server);
    return { power_state: guest?.power_state ?? POWER_STATE.NOSTATE };
  };
  const nothing = async (done: Promise<void>): Promise<Value<"destroy">> => {
    await done;
    return {};
  };
  switch (call.method) {
    case "spawn":
      return withParams(METHODS.spawn.params, params, (p, signal) => powered(driver.spawn(server, p, signal)));
    case "destroy":
      return withParams(METHODS.destroy.params, params, () =>
        nothing(
          Promise.resolve(moves.forget(server))
            .then(() => driver.destroy(server))
            .then(() => snapshots.forget(server)),
        ),
      );
    case "power_on":
      return withParams(METHODS.power_on.params, params, () => powered(driver.powerOn(server)));
    case "power_off":
      return withParams(METHODS.power_off.params, params, ({ timeout }, hurry) =>
        powered(driver.powerOff(server, graceOf(timeout, hurry))),
      );
    case "reboot":
      return withParams(METHODS.reboot.params, params, (p, hurry) => powered(driver.reboot(server, p.type, hurry)));
    case "pause":
      return withParams(METHODS.pause.params, params, () => powered(driver.pause(server)));
    case "unpause":
      return withParams(METHODS.unpause.params, params, () => powered(driver.unpause(server)));
    case "suspend":
      return withParams(METHODS.suspend.params, params, () => powered(driver.suspend(server)));
    case "resume":
      return withParams(METHODS.resume.params, params, () => powered(driver.resume(server)));
    case "rescue":
      return withParams(METHODS.rescue.params, params, (p, signal) => powered(driver.rescue(server, p, signal)));
    case "unrescue":
      return withParams(METHODS.unrescue.params, params, () => powered(driver.unrescue(server)));
    case "rebuild":
      return withParams(METHODS.rebuild.params, params, (p, signal) => powered(driver.rebuild(server, p, signal)));
    case "snapshot":
      return withParams(METHODS.snapshot.params, params, (p, signal) => snapshots.take(server, p.image, signal));
    case "upload_snapshot":
      return withParams(METHODS.upload_snapshot.params, params, (p, signal) =>
        nothing(snapshots.upload(server, p.image, signal)),
      );
    case "migrate_disk_and_power_off":
      return withParams(METHODS.migrate_disk_and_power_off.params, params, ({ migration, timeout }, hurry) =>
        powered(movingOf(driver).migrateDiskAndPowerOff(server, migration, graceOf(timeout, hurry))),
      );
    case "send_disks":
      return withParams(METHODS.send_disks.params, params, (p, signal) => moves.sendDisks(server, p.peer, signal));
    case "receive_disks":
      return withParams(METHODS.receive_disks.params, params, (p, signal) =>
        moves.receiveDisks(server, p.peer, p.spec, signal),
      );
    case "finish_migration":
      return withParams(METHODS.finish_migration.params, params, (p) =>
        // Both ends have said that they have what they want.
        powered(Promise.resolve(moves.forget(server)).then(() => movingOf(driver).finishMigration(server, p))),
      );
    case "finish_revert_migration":
      return withParams(METHODS.finish_revert_migration.params, params, () =>
        powered(Promise.resolve(moves.forget(server)).then(() => movingOf(driver).finishRevertMigration(server))),
      );
    case "confirm_migration":
      return withParams(METHODS.confirm_migration.params, params, () =>
        nothing(movingOf(driver).confirmMigration(server)),
      );
    case "instance_on_disk":
      return withParams(METHODS.instance_on_disk.params, params, async (p) => ({
        on_disk: (await driver.moving?.instanceOnDisk(server, p.host)) ?? false,
      }));
    case "check_can_live_migrate_source":
      return withParams(METHODS.check_can_live_migrate_source.params, params, () =>
        movingOf(driver).checkSource(server),
      );
    case "check_can_live_migrate_destination":
      return withParams(METHODS.check_can_live_migrate_destination.params, params, (p) =>
        movingOf(driver).checkDestination(server, p),
      );
    case "pre_live_migration":
      return withParams(METHODS.pre_live_migration.params, params, (p, signal) =>
        nothing(moves.preLiveMigration(server, p, signal)),
      );
    case "live_migration":
      return withParams(METHODS.live_migration.params, params, (p, signal) => moves.liveMigration(server, p, signal));
    case "post_live_migration_at_destination":
      return withParams(METHODS.post_live_migration_at_destination.params, params, () =>
        powered(
          movingOf(driver)
            .postLiveMigration(server)
            .then(() => moves.forget(server)),
        ),
      );
    case "abort_live_migration":
      return withParams(METHODS.abort_live_migration.params, params, () =>
        nothing(movingOf(driver).abortLiveMigration(server)),
      );
    case "force_complete_live_migration":
      return withParams(METHODS.force_complete_live_migration.params, params, () =>
        nothing(movingOf(driver).forceCompleteLiveMigration(server)),
      );
    case "get_vnc_console":
      return withParams(METHODS.get_vnc_console.params, params, () => driver.getVncConsole(server));
    case "get_console_output":
      return withParams(METHODS.get_console_output.params, params, async (p) => ({
        output: tail(await driver.getConsoleOutput(server), p.length),
      }));
    case "get_diagnostics":
      return withParams(METHODS.get_diagnostics.params, params, () => driver.getDiagnostics(server));
    case "set_admin_password":
      return withParams(METHODS.set_admin_password.params, params, (p) =>
        nothing(driver.setAdminPassword(server, p.password)),
      );
    case "inject_nmi":
      return withParams(METHODS.inject_nmi.params, params, () => nothing(driver.injectNmi(server)));
    case "cache_image":
      return withParams(METHODS.cache_image.params, params, async (p) => ({ cached: await cacheImage(p.image) }));
    case "get_host_uptime":
      return withParams(METHODS.get_host_uptime.params, params, async () => ({ uptime: await hostUptime() }));
    case "open_console":
      return withParams(METHODS.open_console.params, params, (p) => nothing(consoles.open(server, p)));
    case "close_consoles":
      return withParams(METHODS.close_consoles.params, params, async (p) => {
        consoles.close(server, p);
        return {};
      });
    case "share_console":
      return withParams(METHODS.share_console.params, params, async (p) => {
        consoles.share(server, p.sharing);
        return {};
      });
    case "list_consoles":
      return withParams(METHODS.list_consoles.params, params, async () => ({ sessions: consoles.list(server) }));
  }
  return call.method satisfies never;
}

const graceOf = (seconds = 0, hurry: AbortSignal): Grace | undefined => (seconds > 0 ? { seconds, hurry } : undefined);

function withParams<P>(
  schema: z.ZodType<P>,
  params: unknown,
  run: (params: P, signal: AbortSignal) => Promise<Value<Method>>,
): Work | { wrong: string } {
  const parsed = schema.safeParse(params);
  if (!parsed.success) return { wrong: parsed.error.issues[0]?.path.join(".") || "params" };
  return (signal) => run(parsed.data, signal);
}
