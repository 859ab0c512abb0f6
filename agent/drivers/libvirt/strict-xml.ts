/**
 * XML that another host wrote, for libvirt to read: taken apart only where libvirt cannot understand it differently.
 * libvirt refuses what is not well-formed; what is left of what the two could disagree about is refused here.
 */
import { type Element, readElements } from "./xml.ts";

/** Comments, CDATA, instructions, and document types, whose entities could be anything. */
const BEYOND = /<[!?]/;
const CONTROL = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;
const TAG = /<\/?[A-Za-z][\w:.-]*(?:\s+[\w:.-]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*\/?>/g;

/** The elements of a document; null when it has more than tags, attributes and text. */
export function readStrictly(xml: string): Element[] | null {
  if (!xml.startsWith("<") || BEYOND.test(xml) || CONTROL.test(xml)) return null;
  const brackets = xml.split("<").length - 1;
  const tags = xml.match(TAG)?.length ?? 0;
  return brackets === tags ? readElements(xml) : null;
}
