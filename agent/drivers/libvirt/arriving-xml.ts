/**
 * Whether a description that another host's libvirtd brings is of the guest that is to come, and names nothing of this
 * host but what that guest may have. Pure.
 *
 * libvirt does as a description says: a disk may be any file of the host, a socket's path is unlinked before it is bound,
 * a security label makes QEMU run as root. So what is not known here is refused, and with it every path.
 */
import { basename, dirname, join } from "node:path";
import type { ImageRef } from "../../../functions/protocol/methods.ts";
import type { Network } from "../../config.ts";
import { NAMESPACE } from "./domain-xml.ts";
import { CONSOLE_LOG, DISK, movesAlong, NVRAM } from "./guest-folder.ts";
import { readStrictly } from "./strict-xml.ts";
import type { Element } from "./xml.ts";

/** The guest as this host expects it, and what it may have here. */
export type Expected = {
  uuid: string;
  name: string;
  virtType: string;
  vcpus: number;
  memoryMib: number;
  folder: string;
  base: { path: string; format: ImageRef["disk_format"] };
  /** Whether libvirt would give the image to QEMU's user (reach.ts). */
  relabels: boolean;
  network: Network;
  emulator: string;
  /** Files of UEFI; their templates of variables lie beside them. */
  loaders: readonly string[];
};

/** What is only the guest's own, whatever is in it. */
const FREE = /^domain\/(metadata|cpu|features|clock|pm|cputune)(\/|$)/;
const PLAIN =
  /^domain(\/(uuid|name|title|description|memory|currentMemory|vcpu|on_\w+|resource(\/partition)?|seclabel(\/(label|imagelabel))?|devices(\/emulator)?|os(\/(type|loader|nvram|boot|bootmenu|firmware(\/feature)?))?))?$/;
/** The devices that a guest may have, and what may be in each. */
const DEVICES: Record<string, readonly string[]> = {
  disk: ["driver", "source", "seclabel", "backingStore", "format", "target", "iotune", "readonly", "boot"],
  controller: ["driver", "model", "target"],
  interface: ["mac", "source", "target", "model", "driver", "bandwidth", "inbound", "outbound", "virtualport"],
  serial: ["log", "target", "model"],
  console: ["log", "target"],
  channel: ["target"],
  input: ["driver"],
  graphics: ["listen"],
  audio: [],
  video: ["model", "acceleration", "driver"],
  watchdog: [],
  memballoon: ["stats", "driver"],
  rng: ["rate", "backend", "driver"],
};
const ANYWHERE = ["alias", "address", "parameters"];
const DEVICE = /^domain\/devices\/(\w+)(?:\/(.+))?$/;
/** The attributes of elements that reach out of the guest; those of others only say how it is made. */
const ATTRIBUTES: Record<string, readonly string[]> = {
  domain: ["type", "id"],
  "domain/os": ["firmware"],
  "domain/os/loader": ["readonly", "type", "secure", "format"],
  "domain/os/nvram": ["template", "format", "templateFormat"],
  "domain/seclabel": ["type", "model", "relabel"],
  "domain/devices/disk": ["type", "device", "model"],
  "domain/devices/interface": ["type"],
  "domain/devices/interface/source": ["network", "bridge", "portid"],
  "domain/devices/interface/target": ["dev"],
  "domain/devices/serial": ["type"],
  "domain/devices/console": ["type"],
  "domain/devices/channel": ["type"],
  "domain/devices/input": ["type", "bus", "model"],
  "domain/devices/graphics": ["type", "port", "autoport", "keymap", "sharePolicy"],
  "domain/devices/graphics/listen": ["type"],
  "domain/devices/audio": ["id", "type"],
};
const SOURCE = /^domain\/devices\/disk\/(backingStore\/)?source$/;

class Wrong extends Error {}
function need(holds: boolean, why: string): asserts holds {
  if (!holds) throw new Wrong(why);
}

/** Why the description is not one of the guest that is to come; null when it is. */
export function wrongOf(xml: string, expected: Expected): string | null {
  const elements = readStrictly(xml);
  if (elements === null) return "it is no plain XML";
  try {
    for (const element of elements) checkKnown(element);
    checkGuest(elements, expected);
    checkSystem(elements, expected);
    checkDevices(elements, expected);
    return null;
  } catch (error) {
    if (error instanceof Wrong) return error.message;
    throw error;
  }
}

function checkKnown({ path, attributes, text }: Element): void {
  if (path.startsWith("domain/metadata/")) return;
  const [, device = "", inside] = DEVICE.exec(path) ?? [];
  const known = FREE.test(path) || PLAIN.test(path) || isKnownOf(DEVICES[device], inside);
  need(known, `it has ${path}, which is unknown here`);
  const may = ATTRIBUTES[path] ?? (SOURCE.test(path) ? ["file", "index"] : undefined);
  for (const [name, value] of Object.entries(attributes)) {
    // libvirt takes an attribute by its name in any namespace.
    need(!name.includes(":") && !name.startsWith("xmlns"), `it has a namespace in ${path}`);
    need(may === undefined || may.includes(name), `it has ${path}/@${name}, which is unknown here`);
    need(!value.includes("/") || PATHS.has(`${path}/@${name}`), `it has a path in ${path}/@${name}`);
  }
  need(!text.includes("/") || PATHS.has(path), `it has a path in ${path}`);
}

/** Where a path may be; each is looked at below. */
const PATHS = new Set([
  ...["domain/title", "domain/description", "domain/resource/partition", "domain/devices/emulator"],
  ...["domain/os/loader", "domain/os/nvram", "domain/os/nvram/@template", "domain/devices/rng/backend"],
  ...["domain/devices/disk/source/@file", "domain/devices/disk/backingStore/source/@file"],
  ...["domain/devices/serial/log/@file", "domain/devices/console/log/@file"],
]);

function isKnownOf(inside: readonly string[] | undefined, path: string | undefined): boolean {
  if (inside === undefined) return false;
  const names = path?.split("/") ?? [];
  // The limits of a disk are many, and numbers.
  if (names[0] === "iotune") return names.length < 3;
  return names.every((name) => inside.includes(name) || ANYWHERE.includes(name));
}

function checkGuest(elements: readonly Element[], expected: Expected): void {
  const text = (path: string) => only(elements, path).text;
  need(only(elements, "domain").attributes.type === expected.virtType, "it is of another virt_type");
  need(text("domain/uuid") === expected.uuid && text("domain/name") === expected.name, "it is of another guest");
  const memory = only(elements, "domain/memory");
  const kib = memory.attributes.unit === "KiB" ? Number(memory.text) : Number.NaN;
  need(kib === expected.memoryMib * 1024, "it has not the memory that its flavor has");
  need(Number(text("domain/vcpu")) === expected.vcpus, "it has not the CPUs that its flavor has");
  const [mark] = all(elements, "domain/metadata/edgenova:guest");
  need(mark?.attributes["xmlns:edgenova"] === NAMESPACE, "it is no guest of edgenova");
}

/** What this host would do, or have, for it. */
function checkSystem(elements: readonly Element[], { folder, emulator, loaders }: Expected): void {
  need(only(elements, "domain/devices/emulator").text === emulator, `its emulator is not this host's ${emulator}`);
  for (const { text } of all(elements, "domain/resource/partition")) need(text === "/machine", "it has a partition");
  for (const { text, attributes } of all(elements, "domain/os/loader")) {
    need(loaders.includes(text) && attributes.readonly === "yes", "its firmware is none of this host's");
  }
  for (const { text, attributes } of all(elements, "domain/os/nvram")) {
    const { template } = attributes;
    const beside = loaders.some((it) => template === undefined || template === join(dirname(it), basename(template)));
    need(text === join(folder, NVRAM) && beside, "its UEFI's variables are elsewhere");
  }
  for (const { path, text } of elements) {
    need(
      !/^domain\/on_/.test(path) || /^(destroy|restart|preserve|pause|ignore)$/.test(text),
      `it has ${path} ${text}`,
    );
  }
  for (const { attributes } of all(elements, "domain/seclabel")) {
    need(attributes.type === "dynamic" && attributes.relabel !== "no", "it has a security label of its own");
  }
}

function checkDevices(elements: readonly Element[], expected: Expected): void {
  const { folder, network } = expected;
  const each = (path: string) => all(elements, `domain/devices/${path}`);
  for (const { path, attributes } of elements) {
    const label = DEVICE.test(path) && path.endsWith("/seclabel");
    need(!label || attributes.relabel === "no", "a disk has a security label of its own");
  }
  for (const disk of each("disk")) checkDisk(elements, disk, expected);
  for (const port of [...each("serial"), ...each("console")]) need(port.attributes.type === "pty", "a port is no pty");
  for (const { attributes } of [...each("serial/log"), ...each("console/log")]) {
    need(attributes.file === join(folder, CONSOLE_LOG), "it logs elsewhere");
  }
  for (const { attributes } of each("channel")) need(attributes.type === "unix", "a channel is no socket");
  for (const { attributes } of each("input")) {
    need(/^(tablet|keyboard|mouse)$/.test(attributes.type ?? ""), "it has an input of the host");
  }
  for (const { attributes } of each("graphics")) need(attributes.type === "vnc", "its screen is no VNC");
  need(each("graphics/listen").length === each("graphics").length, "its screen listens elsewhere");
  for (const { attributes } of each("graphics/listen"))
    need(attributes.type === "socket", "its screen listens elsewhere");
  for (const { attributes } of each("watchdog")) need(attributes.action !== "dump", "its memory would be dumped here");
  for (const { attributes } of each("audio")) need(attributes.type === "none", "it has sound of the host");
  for (const { text, attributes } of each("rng/backend")) {
    need(attributes.model === "random" && text === "/dev/urandom", "its random numbers are from elsewhere");
  }
  for (const { attributes } of each("interface")) need(attributes.type === network.kind, "it is in another network");
  for (const { attributes } of each("interface/source")) {
    const of = network.kind === "network" ? attributes.network : attributes.bridge;
    need("name" in network && of === network.name, "it is in another network");
  }
  for (const { attributes } of each("interface/target")) {
    need(/^vnet\d+$/.test(attributes.dev ?? ""), "it has an interface of the host");
  }
}

/** Its own file, or the image; each format is named, so that none is guessed of a tenant's bytes. */
function checkDisk(elements: readonly Element[], disk: Element, expected: Expected): void {
  const { folder, base } = expected;
  const { type, device = "disk" } = disk.attributes;
  need(type === "file" && (device === "disk" || device === "cdrom"), "a disk is no file");
  const format = child(elements, disk, "driver").attributes.type;
  const source = child(elements, disk, "source");
  const { file = "" } = source.attributes;
  const below = child(elements, disk, "backingStore");
  const leans = below.attributes.type !== undefined || elements.some(({ parent }) => parent === below);
  const name = basename(file);
  if (file === base.path) {
    need(device === "cdrom" && format === "raw" && !leans, "it could write to its image");
    checkShared(elements, source, expected);
    return;
  }
  need(file === join(folder, name) && movesAlong(name), "a disk is not the guest's own");
  need(format === (name === DISK ? "qcow2" : "raw"), "a disk is of another format");
  if (!leans) return;
  need(name === DISK && below.attributes.type === "file", "a disk leans on what it must not");
  const under = child(elements, below, "source");
  need(under.attributes.file === base.path, "a disk leans on what is not its image");
  checkShared(elements, under, expected);
  need(child(elements, below, "format").attributes.type === base.format, "a disk's image is of another format");
  const end = child(elements, below, "backingStore");
  const more = end.attributes.type !== undefined || elements.some(({ parent }) => parent === end);
  need(!more, "a disk's image leans on another");
}

/** QEMU's user is to read the image, and no more. */
function checkShared(elements: readonly Element[], source: Element, { relabels }: Expected): void {
  if (relabels) need(child(elements, source, "seclabel").attributes.relabel === "no", "its image could be given away");
}

const all = (elements: readonly Element[], path: string) => elements.filter((element) => element.path === path);

function only(elements: readonly Element[], path: string): Element {
  return one(all(elements, path), path);
}

function child(elements: readonly Element[], parent: Element, name: string): Element {
  const path = `${parent.path}/${name}`;
  return one(
    elements.filter((element) => element.parent === parent && element.path === path),
    path,
  );
}

function one(found: readonly Element[], path: string): Element {
  const [element] = found;
  need(element !== undefined && found.length === 1, `it has not one ${path}`);
  return element;
}
