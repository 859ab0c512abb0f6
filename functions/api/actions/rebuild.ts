/** Rescuing and rebuilding (nova: rescue.py, servers.py _action_rebuild). */
import type { Context } from "hono";
import { z } from "zod";
import { tooManyItems } from "../../conductor/details.ts";
import type { Given } from "../../conductor/given.ts";
import type { ServerRecord } from "../../conductor/record.ts";
import { config } from "../../config.ts";
import { quotaMessage } from "../../project/quota.ts";
import type { AppEnv } from "../app-env.ts";
import { badRequest, forbidden } from "../fault.ts";
import { has } from "../history.ts";
import { boolean, name } from "../schema/fields.ts";
import { CREATE } from "../schema/server.ts";
import { versioned } from "../schema/versioned.ts";
import { checkFiles, generatePassword, keyOf } from "../server-given.ts";
import { checkFits, imageOf, schedulingProperties } from "../server-spec.ts";
import { shownServer } from "../server-view.ts";
import { serverOf, serverRecord } from "../servers.ts";
import { action, begin, plain, type ServerActions } from "./action.ts";

const rescue = z
  .strictObject({ adminPass: CREATE.adminPass.schema.optional(), rescue_image_ref: z.uuid().optional() })
  .nullable();

const rebuildServer = versioned({
  imageRef: { schema: z.uuid(), required: true },
  name: { schema: name },
  adminPass: CREATE.adminPass,
  metadata: CREATE.metadata,
  "OS-DCF:diskConfig": CREATE["OS-DCF:diskConfig"],
  accessIPv4: CREATE.accessIPv4,
  accessIPv6: CREATE.accessIPv6,
  preserve_ephemeral: { schema: boolean },
  personality: CREATE.personality,
  description: CREATE.description,
  key_name: { ...CREATE.key_name, on: "do.rebuild-key" },
  user_data: { ...CREATE.user_data, on: "do.rebuild-user-data" },
  trusted_image_certificates: CREATE.trusted_image_certificates,
  hostname: CREATE.hostname,
});
type Rebuild = z.infer<ReturnType<typeof rebuildServer>>;

export const rebuild: ServerActions = {
  rescue: action({
    summary: "Boot a server from a rescue image, its own disk beside it",
    rule: "os_compute_api:os-rescue",
    role: "member",
    value: rescue,
    status: 200,
    async run(c, value) {
      const image = value?.rescue_image_ref ? (await imageOf(c, value.rescue_image_ref)).ref : null;
      // A guest without a config drive never hears of it, and the answer has it all the same: both as in Nova.
      const admin_pass = value?.adminPass ?? generatePassword();
      await begin(c, "rescue", { memo: image ? { image } : {}, secrets: { admin_pass, files: [] } });
      return c.json(withPassword(c, {}, admin_pass));
    },
  }),
  unrescue: plain("unrescue", { summary: "End a rescue", rule: "os_compute_api:os-unrescue" }),
  rebuild: action({
    summary: "Build a server anew on its host, perhaps from another image",
    rule: "os_compute_api:servers:rebuild",
    role: "member",
    value: rebuildServer,
    status: 202,
    async run(c, asked) {
      const admin_pass = asked.adminPass ?? generatePassword();
      const files = asked.personality ?? [];
      const { change, given } = await changed(c, asked);
      const record = await begin(c, "rebuild", { change, given, secrets: { admin_pass, files } });
      const { minor, actor } = c.var;
      const server = {
        ...(await shownServer(c, record, "update")),
        ...(has(minor, "do.rebuild-key") ? { key_name: record.key_name } : {}),
        ...(has(minor, "do.rebuild-user-data") ? { user_data: await serverOf(c).stub.userData(actor) } : {}),
      };
      return c.json({ server: withPassword(c, server, admin_pass) }, 202);
    },
  }),
};

const withPassword = (c: Context<AppEnv>, answer: object, adminPass: string) =>
  config(c.env).ENABLE_INSTANCE_PASSWORD ? { ...answer, adminPass } : answer;

/** What a rebuild makes other, of the record and of what the guest is given. */
async function changed(
  c: Context<AppEnv>,
  asked: Rebuild,
): Promise<{ change: Partial<ServerRecord>; given: Partial<Given> }> {
  const record = await serverRecord(c);
  const [image, keypair] = await Promise.all([
    imageOf(c, asked.imageRef),
    keyOf(c, asked.key_name),
    checkFiles(c, asked.personality ?? []),
    checkItems(c, asked.metadata ?? {}),
  ]);
  checkFits(record.flavor, image);
  if (asked.preserve_ephemeral && record.ephemerals?.length) {
    throw badRequest("The current driver does not support preserving ephemeral partitions.");
  }
  const key = asked.key_name === undefined ? {} : { key_name: keypair?.name ?? null };
  return {
    change: {
      image: image.ref,
      progress: 0,
      image_properties: schedulingProperties(image.properties),
      ...key,
      ...(asked.name === undefined ? {} : { display_name: asked.name }),
      ...(asked.metadata === undefined ? {} : { metadata: asked.metadata }),
      ...(asked.description === undefined ? {} : { description: asked.description }),
      ...(asked.hostname === undefined ? {} : { hostname: asked.hostname }),
      ...(asked.accessIPv4 === undefined ? {} : { access_ip_v4: asked.accessIPv4 }),
      ...(asked.accessIPv6 === undefined ? {} : { access_ip_v6: asked.accessIPv6 }),
      ...(asked["OS-DCF:diskConfig"] === undefined ? {} : { disk_config: asked["OS-DCF:diskConfig"] }),
    },
    given: {
      ...(asked.key_name === undefined ? {} : { keypair }),
      ...(asked.user_data === undefined ? {} : { user_data: asked.user_data }),
    },
  };
}

async function checkItems(c: Context<AppEnv>, items: Record<string, string>): Promise<void> {
  const { project_id, user_id } = c.var.actor;
  const { metadata_items } = await c.env.PROJECT.getByName(project_id).limits(user_id);
  const tooMany = tooManyItems(items, metadata_items);
  if (tooMany !== null) throw forbidden(quotaMessage(tooMany));
}
