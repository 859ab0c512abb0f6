/** A guest's description as another host is to have it: with that host's paths. Pure. */
import { join, relative } from "node:path";
import { DriverError } from "../driver.ts";
import { escapeXml, readElements } from "./xml.ts";

/** Where a host has the guest's own files, and its image. */
export type Whereabouts = { folder: string; base: string };

const NVRAM = "domain/os/nvram";
const FILE_ATTRIBUTE = /\sfile\s*=\s*(?:"[^"]*"|'[^']*')/;

/** `xml` as libvirt writes it. MigrationError when it names a file that the other host need not have. */
export function movedXml(xml: string, from: Whereabouts, to: Whereabouts): string {
  const edits: { start: number; end: number; text: string }[] = [];
  for (const { path, attributes, text, start } of readElements(xml)) {
    const tagEnd = xml.indexOf(">", start);
    if (path.startsWith("domain/devices/") && attributes.file !== undefined) {
      const tag = xml.slice(start, tagEnd);
      const moved = tag.replace(
        FILE_ATTRIBUTE,
        () => ` file='${escapeXml(movedPath(attributes.file ?? "", from, to))}'`,
      );
      edits.push({ start, end: tagEnd, text: moved });
    }
    if (path === NVRAM && text !== "") {
      edits.push({ start: tagEnd + 1, end: xml.indexOf("<", tagEnd), text: escapeXml(movedPath(text, from, to)) });
    }
  }
  return edits.toReversed().reduce((all, { start, end, text }) => all.slice(0, start) + text + all.slice(end), xml);
}

function movedPath(path: string, from: Whereabouts, to: Whereabouts): string {
  if (path === from.base) return to.base;
  const name = relative(from.folder, path);
  if (name !== "" && !name.startsWith("..") && !name.startsWith("/")) return join(to.folder, name);
  throw new DriverError("MigrationError", "the guest has a file that its image and its own folder have not");
}
