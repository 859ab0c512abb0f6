/** An active image's bytes as an answer: all of them, or the one range that was asked for (RFC 9110 §14). */
import { Fault, notFound } from "../api/fault.ts";
import type { Image } from "./image.ts";

export async function imageBytes(env: Env, image: Image, range: string | undefined): Promise<Response> {
  const size = image.size ?? 0;
  const asked = range === undefined ? null : parseRange(range, size);
  if (asked === "unsatisfiable") {
    throw new Fault(416, "The range is not within the image.", { "Content-Range": `bytes */${size}` });
  }
  const options = asked === null ? {} : { range: asked };
  const object = image.bytes === null ? null : await env.IMAGE_BYTES.get(image.bytes, options);
  if (object === null) throw notFound(`The bytes of image ${image.id} are gone.`);
  const headers = new Headers({
    "content-type": "application/octet-stream",
    "content-length": String(asked?.length ?? size),
    "accept-ranges": "bytes",
  });
  if (asked === null && image.checksum !== null) headers.set("content-md5", image.checksum);
  if (asked !== null) {
    headers.set("content-range", `bytes ${asked.offset}-${asked.offset + asked.length - 1}/${size}`);
  }
  return new Response(object.body, { status: asked === null ? 200 : 206, headers });
}

/** The one range of a `Range` header; null, to be ignored, when it is of another unit, several, or malformed. */
export function parseRange(header: string, size: number): { offset: number; length: number } | "unsatisfiable" | null {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim());
  if (!match || (match[1] === "" && match[2] === "")) return null;
  const [first, last] = [match[1] ?? "", match[2] ?? ""];
  if (first === "") {
    const length = Math.min(Number(last), size);
    return length === 0 ? "unsatisfiable" : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== "" && Number(last) < offset) return null;
  return offset >= size ? "unsatisfiable" : { offset, length: end - offset + 1 };
}
