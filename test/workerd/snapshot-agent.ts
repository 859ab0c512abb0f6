/** A scripted agent that takes snapshots, and brings them to the bucket as an agent's parts do, without the HTTP. */
import { env } from "cloudflare:test";
import { createHash } from "node:crypto";
import { z } from "zod";
import type { SnapshotFile } from "../../functions/protocol/methods.ts";
import type { Call, ScriptedAgent } from "./scripted-agent.ts";

const BYTES = new TextEncoder().encode("a disk");
export const FILE: SnapshotFile = {
  disk_format: "qcow2",
  size: BYTES.length,
  sha512: createHash("sha512").update(BYTES).digest("hex"),
};
const params = z.object({ image: z.string() });

export function takesSnapshots(agent: ScriptedAgent): ScriptedAgent {
  const act = agent.answer;
  agent.answer = (call) => {
    if (call.method === "snapshot") return { ok: true, value: FILE };
    if (call.method !== "upload_snapshot") return act(call);
    void bring(agent, call);
    return null;
  };
  return agent;
}

/** What a host does of an upload. */
export async function bring(agent: ScriptedAgent, call: Call): Promise<void> {
  const images = env.IMAGES.getByName("default");
  const { image } = params.parse(call.params);
  const pending = await images.pendingUpload(image);
  if (pending) {
    const { key, upload_id } = pending.upload;
    const multipart = env.IMAGE_BYTES.resumeMultipartUpload(key, upload_id);
    await multipart.complete([await multipart.uploadPart(1, BYTES)]);
    const checksum = createHash("md5").update(BYTES).digest("hex");
    const { size, sha512, disk_format } = FILE;
    await images.activate(image, { size, checksum, os_hash_value: sha512, bytes: key, disk_format });
  }
  agent.send({ t: "result", call: call.id, outcome: { ok: true, value: {} } });
}
